/**
 * The virtual disk: a database engine whose commits take virtual time, and that loses in a crash what
 * was not durable.
 *
 * @module
 */

import { DatabaseError } from "../storage/database/database.ts";
import type { Engine, Row, Value, Write } from "../storage/database/sql.ts";
import { SqliteConnection } from "../storage/database/sqlite_connection.ts";
import { sqliteDialect } from "../storage/database/sqlite_dialect.ts";
import type { VirtualClock } from "./clock.ts";
import type { Random } from "./random.ts";

const IN_MEMORY = {
  path: ":memory:",
  cacheSize: null,
  journalMode: "memory",
  synchronous: null,
} as const;
/** Milliseconds of a commit without fsync. */
const COMMIT_TIME = 0.05;

/** How a disk behaves when nothing goes wrong. */
export interface DiskOptions {
  /** Mean duration of an fsync, in milliseconds. */
  readonly fsync: number;
  /** Mean duration of a read in milliseconds, 0 to read at once. */
  readonly read: number;
  /** See {@linkcode Engine}. */
  readonly eager: boolean;
}

/** The disk of a machine, with one database. It outlives the processes that use it. */
export class Disk {
  /** Milliseconds on top of each access. */
  slowness = 0;
  /** Whether it refuses to work. */
  broken = false;
  #connection: SqliteConnection | null = null;
  /** All that is committed, and the number of commits that a crash can't undo. */
  readonly #commits: (readonly Write[])[] = [];
  #durable = 0;
  #engine: VirtualEngine | null = null;
  #crashes = 0;

  constructor(
    readonly host: string,
    readonly clock: VirtualClock,
    readonly random: Random,
    readonly options: DiskOptions,
  ) {}

  /** Number of commits. */
  get commits(): number {
    return this.#commits.length;
  }

  /** Opens the database for the only process that may use it. */
  open(): Promise<Engine> {
    const crashes = this.#crashes;
    return new Promise((resolve, reject) => {
      this.clock.after(this.random.exponential(1 + this.slowness), () => {
        // The process that waits is gone.
        if (this.#crashes !== crashes) return;
        if (this.broken) return reject(new DatabaseError("the disk can't be read"));
        if (this.#engine?.open === true) return reject(new DatabaseError("the database is locked"));
        this.#engine = new VirtualEngine(this);
        resolve(this.#engine);
      });
    });
  }

  /** The process that uses it is gone. With `power`, what was not durable may be lost. */
  crash(power: boolean): void {
    this.#crashes++;
    const running = this.#engine?.kill() ?? null;
    this.#engine = null;
    if (running !== null && this.random.chance(0.5)) this.apply(running, false);
    if (!power) return;
    const kept = this.random.int(this.#durable, this.#commits.length);
    if (kept === this.#commits.length) return;
    this.#commits.length = kept;
    this.#connection?.close();
    this.#connection = null;
  }

  /** Loses everything. No process may use it. */
  wipe(): void {
    this.#commits.length = 0;
    this.#durable = 0;
    this.discard();
  }

  /** All the rows of a query. */
  read(sql: string, parameters: readonly Value[]): readonly Row[] {
    return this.#open().all(sql, parameters);
  }

  /** Commits. */
  apply(writes: readonly Write[], durable: boolean): void {
    this.#open().commit(writes, false, () => {});
    this.#commits.push(writes);
    if (durable) this.#durable = this.#commits.length;
  }

  /** Frees what it takes. */
  discard(): void {
    this.#connection?.close();
    this.#connection = null;
  }

  #open(): SqliteConnection {
    if (this.#connection === null) {
      this.#connection = new SqliteConnection(IN_MEMORY);
      for (const writes of this.#commits) this.#connection.commit(writes, false, () => {});
    }
    return this.#connection;
  }
}

/** The disk as a process sees it. */
class VirtualEngine implements Engine {
  readonly dialect = sqliteDialect;
  open = true;
  onLost: (error: Error) => void = () => {};
  readonly #disk: Disk;
  #lost = false;
  #running: readonly Write[] | null = null;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  get eager(): boolean {
    return this.#disk.options.eager;
  }

  read(sql: string, parameters: readonly Value[]): Promise<readonly Row[]> {
    const { clock, random, options, slowness } = this.#disk;
    const read = () => {
      if (this.#lost || this.#disk.broken) throw this.#lose("the disk can't be read");
      return this.#disk.read(sql, parameters);
    };
    return new Promise((resolve, reject) => {
      const settle = () => {
        try {
          if (this.open) resolve(read());
        } catch (error) {
          reject(error);
        }
      };
      if (options.read === 0) settle();
      else clock.after(random.exponential(options.read + slowness), settle);
    });
  }

  commit(writes: readonly Write[], durable: boolean): Promise<void> {
    const { clock, random, options, slowness } = this.#disk;
    if (this.#running !== null) throw new Error("a commit is running already");
    this.#running = writes;
    const time = durable ? options.fsync : COMMIT_TIME;
    return new Promise((resolve, reject) => {
      clock.after(random.exponential(time + slowness), () => {
        if (!this.open) return;
        this.#running = null;
        try {
          const broken = this.#lost || this.#disk.broken;
          // When the connection to a server breaks, nobody knows what it did.
          if (!broken || !this.#lost && random.chance(0.3)) this.#disk.apply(writes, durable);
          if (broken) throw this.#lose("the disk is full");
          resolve();
        } catch (error) {
          reject(error instanceof DatabaseError ? error : this.#lose(String(error)));
        }
      });
    });
  }

  devicePath(): Promise<string[]> {
    return Promise.resolve([this.#disk.host, "disk"]);
  }

  close(): Promise<void> {
    this.open = false;
    return Promise.resolve();
  }

  /** Nothing settles any more. Returns what was being committed. */
  kill(): readonly Write[] | null {
    if (!this.open) return null;
    this.open = false;
    return this.#running;
  }

  #lose(text: string): DatabaseError {
    this.#lost = true;
    return new DatabaseError(text);
  }
}
