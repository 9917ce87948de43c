/**
 * The log of a program: warnings on the console, everything in the log database if there is one.
 *
 * @module
 */

import { errorText, type Log, LogLevel, type PacketRecord } from "../network/log.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import { ConsoleLog } from "./console_log.ts";
import { LOG_BACKLOG, LogDatabase } from "./log_database.ts";
import { neologProtocol } from "./neolog_protocol.ts";
import { CallSite } from "./source_location.ts";
import { wallClock } from "./wall_clock.ts";

/** Settings of a {@linkcode NodeLog}. */
export interface NodeLogOptions {
  /** Path of the log database, `null` for none. */
  readonly database?: string | null;
  /** Writes each record to the database at once, instead of keeping the recent past in memory. */
  readonly immediate?: boolean;
  /** Bytes the database may grow to, 0 (the default) meaning any. */
  readonly maxSize?: number;
  /** Former databases to keep when it has grown so much, 0 (the default) to stop writing instead. */
  readonly keep?: number;
  readonly console?: ConsoleLog;
  /** Tells apart the logs of several nodes in one process. */
  readonly name?: string | null;
  /** Seconds since the Unix epoch. */
  readonly now?: () => number;
}

/** A {@linkcode Log} with what the process that owns it needs. */
export class NodeLog implements Log {
  readonly packet: ((record: PacketRecord) => void) | null;
  /** Describes the node, for state dumps. Whoever runs a node sets it. */
  describe: (() => string) | null = null;
  readonly #console: ConsoleLog;
  readonly #database: LogDatabase | null;
  readonly #name: string | null;
  readonly #now: () => number;
  #nid: Nid | null = null;

  /** @throws {ConfigError} if the database can't be used. */
  constructor(options: NodeLogOptions = {}) {
    this.#console = options.console ?? new ConsoleLog();
    this.#name = options.name ?? null;
    this.#now = options.now ?? wallClock();
    const path = options.database ?? null;
    this.#database = path === null ? null : new LogDatabase(path, {
      now: this.#now,
      // Not to the database: it is the one that failed.
      warn: (message) => this.#show(LogLevel.WARNING, null, message),
      protocol: neologProtocol,
      backlog: options.immediate === true ? 0 : LOG_BACKLOG,
      maxSize: options.maxSize ?? 0,
      keep: options.keep ?? 0,
    });
    this.packet = this.#database?.addPacket.bind(this.#database) ?? null;
  }

  debug(message: string): void {
    this.#add(LogLevel.DEBUG, this.debug, message);
  }

  info(message: string): void {
    this.#add(LogLevel.INFO, this.info, message);
  }

  warning(message: string): void {
    this.#add(LogLevel.WARNING, this.warning, message);
  }

  error(message: string): void {
    this.#add(LogLevel.ERROR, this.error, message);
  }

  identify(cluster: string, nid: Nid | null): void {
    this.#database?.identify({ name: this.#name, cluster, nid });
    this.#console.identify(cluster, nid);
    if (nid !== null && nid !== this.#nid) {
      this.#add(LogLevel.INFO, this.identify, `Node ID: ${nodeName(nid)}`);
    }
    this.#nid = nid;
  }

  /** Bytes of the log database. */
  get size(): number {
    return this.#database?.size ?? 0;
  }

  /** Why nothing can be written to the log database at present, `null` if it can. */
  get failure(): string | null {
    return this.#database?.failure ?? null;
  }

  flush(): void {
    this.#database?.flush();
  }

  /** Closes the log database and opens what is now at the same path: to be called after a rename. */
  reopen(): void {
    this.#database?.reopen();
  }

  /** Records a description of the state of the node, without showing it on the console. */
  dump(text: string): void {
    this.#database?.add(LogLevel.INFO, new CallSite(this.dump), text);
  }

  /** What `describe` tells. Never throws, as it is used when things go wrong. */
  state(): string {
    try {
      return this.describe?.() ?? "nothing to describe";
    } catch (error) {
      return `can't describe the state: ${errorText(error)}`;
    }
  }

  /** Records the state. */
  dumpState(title: string): void {
    this.dump(`${title}\n${this.state()}`);
  }

  /** Writes what is kept in memory and closes the database. Records made later only reach the console. */
  close(): void {
    this.#database?.close();
  }

  #add(level: LogLevel, below: (...args: never[]) => unknown, message: string): void {
    const shown = level >= this.#console.level;
    if (this.#database === null && !shown) return;
    const site = new CallSite(below);
    if (shown) this.#show(level, site, message);
    this.#database?.add(level, site, message);
  }

  #show(level: LogLevel, site: CallSite | null, message: string): void {
    const name = this.#name ?? "NEO";
    this.#console.show(this.#now(), level, name, site?.location() ?? null, message);
  }
}
