/**
 * Log records on the console.
 *
 * @module
 */

import { LogLevel } from "../network/log.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { SourceLocation } from "./source_location.ts";

/** Writes bytes somewhere at once and tells how many were taken. */
export type SyncWriter = (bytes: Uint8Array) => number;

/** How records look: for people, or as one JSON object for each, on a line. */
export type LogFormat = "text" | "json";

/** The console, where records of some level and above are shown at once. */
export class ConsoleLog {
  readonly level: LogLevel;
  readonly #format: LogFormat;
  readonly #write: SyncWriter;
  #cluster: string | null = null;
  #node: string | null = null;

  constructor(
    level: LogLevel = LogLevel.WARNING,
    format: LogFormat = "text",
    write: SyncWriter = (bytes) => Deno.stderr.writeSync(bytes),
  ) {
    this.level = level;
    this.#format = format;
    this.#write = write;
  }

  /** Tells who is writing from now on. Only objects have room for it. */
  identify(cluster: string, nid: Nid | null): void {
    this.#cluster = cluster;
    this.#node = nid === null ? null : nodeName(nid);
  }

  /**
   * Shows a record, whatever its level. Never throws: a closed terminal must not stop a node.
   *
   * @param date in seconds since the Unix epoch.
   * @param name who writes.
   */
  show(
    date: number,
    level: LogLevel,
    name: string,
    source: SourceLocation | null,
    message: string,
  ): void {
    const text = this.#format === "json"
      ? this.#object(date, level, name, source, message)
      : textLines(date, level, name, source, message);
    try {
      let bytes = new TextEncoder().encode(text);
      while (bytes.length > 0) bytes = bytes.subarray(this.#write(bytes));
    } catch {
      // Nowhere to tell it.
    }
  }

  #object(
    date: number,
    level: LogLevel,
    name: string,
    source: SourceLocation | null,
    message: string,
  ): string {
    const object = {
      time: new Date(date * 1000).toISOString(),
      level: LogLevel[level],
      name,
      cluster: this.#cluster,
      node: this.#node,
      source: source === null ? null : `${source.path}:${source.line}`,
      message,
    };
    return `${JSON.stringify(object)}\n`;
  }
}

function textLines(
  date: number,
  level: LogLevel,
  name: string,
  source: SourceLocation | null,
  message: string,
): string {
  const prefix = consolePrefix(date, level, name, source);
  return message.split("\n").map((line) => `${prefix} ${line}\n`).join("");
}

/**
 * What starts each line of a record: local date, level, who, module and line, as in
 * `2026-11-22 10:11:27.2470 WARNING   NEO        [            pt:483]`.
 */
function consolePrefix(
  date: number,
  level: LogLevel,
  name: string,
  source: SourceLocation | null,
): string {
  const module = source === null ? "" : source.path.replace(/^.*\/|\.[jt]s$/g, "");
  const line = source === null ? "" : String(source.line);
  return `${localDate(date)} ${LogLevel[level].padEnd(9)} ${name.padEnd(10)} ` +
    `[${module.padStart(14)}:${line.padStart(3)}]`;
}

/** A date in local time with four decimals, truncated. */
export function localDate(date: number): string {
  const d = new Date(Math.floor(date) * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  const fraction = String(Math.floor((date % 1) * 10_000)).padStart(4, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ` +
    `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${fraction}`;
}
