/**
 * Keeps what one client can make the node hold in memory within limits, without ever blocking what
 * other transactions wait for.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { violation } from "./failure.ts";

/** Reads of a connection that the database works on at the same time. */
export const MAX_RUNNING_READS = 16;
/** Reads of a connection that wait, for their turn or for a commit, before it is not read any more. */
export const MAX_WAITING_READS = 64;
/** Bytes that a store takes in memory besides its data. */
const STORE_OVERHEAD = 256;
/** Bytes of a connection given to the database and not written yet before it is not read any more. */
export const MAX_UNWRITTEN = 8 << 20;
/** Writes of a connection that wait for locks. */
export const MAX_DELAYED_WRITES = 1 << 16;
/** Bytes of the data of these writes. */
export const MAX_DELAYED_BYTES = 256 << 20;

/** A read that is ready to be executed. Never rejects. */
export type Read = () => Promise<void>;

interface WaitingRead {
  readonly read: Read;
  /** How many of those that may run at the same time it counts for. */
  readonly weight: number;
}

/**
 * The flow of a connection.
 *
 * A connection is paused for reads, even those that wait for a commit to finish, because a commit in
 * progress depends on the master only. It is never paused for writes that wait for locks: what
 * releases these locks may come on that same connection. They are counted, and refused at last.
 */
export class Flow {
  readonly #connection: Connection;
  readonly #flush: () => Promise<void>;
  readonly #onRequest: () => void;
  #running = 0;
  #blocked = 0;
  readonly #queue: WaitingRead[] = [];
  #paused = false;
  #unwritten = 0;
  #delayedWrites = 0;
  #delayedBytes = 0;

  /**
   * @param flush resolves when what was given to the database is written; may reject.
   * @param onRequest called for each read and each store.
   */
  constructor(
    connection: Connection,
    flush: () => Promise<void>,
    onRequest: () => void = () => {},
  ) {
    this.#connection = connection;
    this.#flush = flush;
    this.#onRequest = onRequest;
    connection.onDrained = () => this.#startReads();
  }

  /** Number of reads and writes that wait. */
  get waiting(): number {
    return this.#queue.length + this.#blocked + this.#delayedWrites;
  }

  /**
   * Executes a read, as soon as there are not too many.
   *
   * @param alone whether no other may run at the same time, as it takes much memory.
   */
  read(read: Read, alone = false): void {
    this.#onRequest();
    this.#queue.push({ read, weight: alone ? MAX_RUNNING_READS : 1 });
    this.#startReads();
  }

  /** A read waits for a commit. */
  blocked(): void {
    this.#blocked++;
    this.#pauseOrResume();
  }

  /** A read does not wait for a commit any more. */
  unblocked(): void {
    this.#blocked--;
    this.#pauseOrResume();
  }

  #start({ read, weight }: WaitingRead): void {
    this.#running += weight;
    read().then(() => {
      this.#running -= weight;
      if (this.#queue.length > 0) this.#startReads();
    });
  }

  #startReads(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (this.#running + next.weight > MAX_RUNNING_READS || this.#connection.congested) break;
      this.#queue.shift();
      // An answer that nobody gets is not worth a read.
      if (this.#connection.open) this.#start(next);
    }
    this.#pauseOrResume();
  }

  #pauseOrResume(): void {
    const waiting = this.#queue.length + this.#blocked;
    if (!this.#paused && waiting >= MAX_WAITING_READS) {
      this.#paused = true;
      this.#connection.pause();
    } else if (this.#paused && waiting <= MAX_WAITING_READS / 2) {
      this.#paused = false;
      this.#connection.resume();
    }
  }

  /** Data was given to the database, which writes slower than a network brings. */
  stored(bytes: number): void {
    this.#onRequest();
    const before = this.#unwritten;
    this.#unwritten += bytes + STORE_OVERHEAD;
    if (before > MAX_UNWRITTEN || this.#unwritten <= MAX_UNWRITTEN) return;
    this.#connection.pause();
    const resume = () => {
      this.#unwritten = 0;
      this.#connection.resume();
    };
    this.#flush().then(resume, resume);
  }

  /**
   * A write waits for a lock.
   *
   * @throws {Refusal} if there are too many.
   */
  delayed(bytes: number): void {
    if (
      this.#delayedWrites >= MAX_DELAYED_WRITES || this.#delayedBytes + bytes > MAX_DELAYED_BYTES
    ) {
      throw violation(
        `too much is waiting for locks: ${this.#delayedWrites} requests ` +
          `with ${this.#delayedBytes} bytes of data`,
      );
    }
    this.#delayedWrites++;
    this.#delayedBytes += bytes;
  }

  /** A write does not wait for a lock any more. */
  undelayed(bytes: number): void {
    this.#delayedWrites--;
    this.#delayedBytes -= bytes;
  }
}
