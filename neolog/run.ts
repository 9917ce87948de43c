/**
 * Shows logs, once or for ever.
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import { errorText } from "../network/log.ts";
import { recordFilter } from "./filter.ts";
import { recordFormatter } from "./format.ts";
import type { LogFile, LogTable } from "./log_file.ts";
import { merge } from "./merge.ts";
import { fileIdentity, openLogFile } from "./open.ts";
import type { NeologOptions } from "./options.ts";

/** What the viewer uses of its process. */
export interface Viewer {
  /** Shows lines. @throws {Error} if nobody reads them any more. */
  print(text: string): void;
  /** Tells what is wrong with a file. */
  complain(message: string): void;
  /** Makes a process write its log. */
  flush(pid: string): Promise<void>;
}

/** Characters that are written at once. */
const BATCH = 1 << 16;

/** A log and what it was opened as. */
class FollowedLog {
  #identity: string | null;
  #next: string | null = null;

  private constructor(
    readonly path: string,
    private readonly options: NeologOptions,
    private file: LogFile,
    identity: string | null,
  ) {
    this.#identity = identity;
  }

  static async open(path: string, options: NeologOptions): Promise<FollowedLog> {
    const identity = await fileIdentity(path);
    return new FollowedLog(path, options, await openLogFile(path, options, options), identity);
  }

  get tables(): readonly LogTable[] {
    return this.file.tables;
  }

  /** Notices that another file is at the path. What is read after that is the end of this one. */
  async look(): Promise<void> {
    this.#next = await fileIdentity(this.path);
  }

  /** Goes on with the file that took the place of a rotated one. @throws {ConfigError} */
  async replace(): Promise<void> {
    const next = this.#next;
    if (next === null || next === this.#identity) return;
    const file = await openLogFile(this.path, this.options, this.options);
    this.file.close();
    this.file = file;
    this.#identity = next;
  }

  close(): void {
    this.file.close();
  }
}

/**
 * Shows the records of some logs.
 *
 * @returns whether all could be read.
 * @throws {ConfigError} if a file is not a log.
 */
export async function showLogs(
  paths: readonly string[],
  options: NeologOptions,
  viewer: Viewer,
  signal?: AbortSignal,
): Promise<boolean> {
  const logs: FollowedLog[] = [];
  try {
    for (const path of paths) logs.push(await FollowedLog.open(path, options));
    let whole = show(logs, options, viewer);
    while (options.follow && !signal?.aborted) {
      for (const pid of options.flush) await viewer.flush(pid);
      try {
        await sleep(options.sleepInterval * 1000, undefined, { ...signal && { signal } });
      } catch {
        break;
      }
      for (const log of logs) await log.look();
      whole = show(logs, options, viewer) && whole;
      for (const log of logs) {
        // It may not be complete yet: the next time will tell.
        await log.replace().catch(() => {});
      }
    }
    return whole;
  } finally {
    for (const log of logs) log.close();
  }
}

function show(logs: readonly FollowedLog[], options: NeologOptions, viewer: Viewer): boolean {
  const isShown = recordFilter(options);
  const format = recordFormatter(options);
  const owners = new Map<LogTable, string>();
  for (const { path, tables } of logs) for (const table of tables) owners.set(table, path);
  // Of the records of one moment, texts come first, whatever their file.
  const tables = [...owners.keys()].sort((a, b) => a.order - b.order);
  let whole = true;
  let text = "";
  const records = merge(tables, (table, error) => {
    whole = false;
    viewer.complain(`${owners.get(table)}, table ${table.name}: ${errorText(error)}`);
  });
  for (const record of records) {
    if (isShown(record)) text += format(record);
    if (text.length < BATCH) continue;
    viewer.print(text);
    text = "";
  }
  if (text !== "") viewer.print(text);
  return whole;
}
