/**
 * Group commit: writes wait in memory, in the order of the calls, and all those that wait when the
 * engine is idle are committed together.
 *
 * @module
 */

import { DatabaseError } from "./database.ts";
import type { Engine, Write } from "./sql.ts";

/** Queued bytes from which writes that nobody waits for are committed. */
const MAX_QUEUED_BYTES = 1024 * 1024;
/** Delay in milliseconds before writes that nobody waits for are committed, durably. */
const MAX_DELAY = 1000;

interface Waiter {
  /** Position up to which the queue must be committed. */
  readonly position: number;
  resolve(): void;
  reject(error: DatabaseError): void;
}

/** Work that waits for its turn. */
interface Turn {
  readonly work: () => void;
  resolve(milliseconds: number): void;
  reject(error: unknown): void;
}

/** Milliseconds after a commit that somebody waited for in which another one is expected. */
const BUSY_TIME = 100;
/** How long the background rests then after a commit of its own, as a multiple of its duration. */
const REST = 2;
/** Milliseconds of a rest at least, as timers are no finer: shorter ones add up until then. */
const MIN_REST = 1;
/** How much the duration of the last commit counts in the mean one. */
const COMMIT_WEIGHT = 0.1;
/** A commit that takes so many times longer than the mean one says no more about what is usual. */
const MAX_HESITATION = 4;

/** What a queue needs from its owner. */
export interface WriteQueueOptions {
  /** Milliseconds since some fixed moment. */
  readonly now: () => number;
  readonly setTimer: (callback: () => void, milliseconds: number) => () => void;
  /** Called when all up to a position is committed, before anything that waits for it goes on. */
  readonly onCommitted: (position: number) => void;
  /** Called once, when writes can not be committed any more. */
  readonly onFailed: (error: DatabaseError) => void;
}

/**
 * The only path to {@linkcode Engine.commit}. Positions number the calls of `write`.
 *
 * Invariant: `durable` ≤ `committed` ≤ `last`.
 */
export class WriteQueue {
  readonly #engine: Engine;
  readonly #options: WriteQueueOptions;
  #queued: Write[] = [];
  #queuedBytes = 0;
  #last = 0;
  #committed = 0;
  #durable = 0;
  #running = false;
  /** Waiting for a commit, and for a commit with fsync. */
  readonly #visibleWaiters: Waiter[] = [];
  readonly #durableWaiters: Waiter[] = [];
  /** How many waited for the last durable commit. */
  #shared = 0;
  /** Work in the background, and whether the last commit had some in it. */
  readonly #turns: Turn[] = [];
  #loaded = false;
  /** Whether work in the background was committed that no fsync has covered yet. */
  #burdened = false;
  #commitTime: number | null = null;
  /** When somebody last waited for a durable commit. */
  #lastAwaited = -Infinity;
  #restOwed = 0;
  /** Ends the rest of the background, while it rests. */
  #cancelRest: (() => void) | null = null;
  #cancelTimer: (() => void) | null = null;
  #error: DatabaseError | null = null;

  constructor(engine: Engine, options: WriteQueueOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  /** Why nothing can be written any more. */
  get error(): DatabaseError | null {
    return this.#error;
  }

  /** Bytes of the writes that no commit has begun with. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Position of the last write. */
  get last(): number {
    return this.#last;
  }

  /** Milliseconds that a durable commit without work in the background takes, `null` if unknown. */
  get commitTime(): number | null {
    return this.#commitTime;
  }

  /** Queues writes, to be committed together, and returns their position. */
  write(...writes: Write[]): number {
    if (this.#error !== null || writes.length === 0) return this.#last;
    for (const write of writes) {
      this.#queued.push(write);
      this.#queuedBytes += sizeOf(write);
    }
    this.#last++;
    if (this.#early || this.#queuedBytes > MAX_QUEUED_BYTES) this.#start();
    this.#cancelTimer ??= this.#options.setTimer(() => {
      this.#cancelTimer = null;
      this.flush().catch(() => {}); // Reported by `onFailed`.
    }, MAX_DELAY);
    return this.#last;
  }

  /** Queues writes; resolves once they are durable. */
  commit(...writes: Write[]): Promise<void> {
    this.write(...writes);
    return this.flush();
  }

  /** Resolves once all that was queued is durable. */
  flush(): Promise<void> {
    return this.#wait(this.#durable, this.#last, this.#durableWaiters);
  }

  /** Resolves once reads see the writes up to a position. */
  visible(position: number = this.#last): Promise<void> {
    return this.#wait(this.#committed, position, this.#visibleWaiters);
  }

  /**
   * Calls back when the engine has time for writes in the background, which `work` queues then. They
   * are committed alone if nobody waits for anything else. Otherwise they ride with what is waited for,
   * but not in two commits in a row. One after the other.
   *
   * While others commit, none of them is to pay for what is done in the background: it is made durable
   * with it, and a rest follows, in which they find the engine idle.
   *
   * @returns when they are committed, how many milliseconds that commit took.
   */
  inBackground(work: () => void): Promise<number> {
    if (this.#error !== null) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#turns.push({ work, resolve, reject });
      this.#start();
    });
  }

  /** Stops because nothing can be written any more, and tells it. */
  fail(error: DatabaseError): void {
    if (this.#error !== null) return;
    this.stop(error);
    this.#options.onFailed(error);
  }

  /** Rejects all that waits or comes later. Idempotent: the first error counts. */
  stop(error: DatabaseError): void {
    if (this.#error !== null) return;
    this.#error = error;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#cancelRest?.();
    this.#cancelRest = null;
    this.#queued = [];
    for (const waiters of [this.#visibleWaiters, this.#durableWaiters]) {
      for (const waiter of waiters.splice(0)) waiter.reject(error);
    }
    for (const turn of this.#turns.splice(0)) turn.reject(error);
  }

  #wait(reached: number, position: number, waiters: Waiter[]): Promise<void> {
    if (this.#error !== null) return Promise.reject(this.#error);
    if (reached >= position) return Promise.resolve();
    return new Promise((resolve, reject) => {
      waiters.push({ position, resolve, reject });
      this.#start();
    });
  }

  /**
   * Whether to commit what nobody waits for as soon as the engine is idle. When several wait for the
   * same commit, it will not be idle for long, and fewer commits are better.
   */
  get #early(): boolean {
    return this.#engine.eager && this.#shared <= 1;
  }

  /** Whether something is to be done in the background now. */
  get #turnWaits(): boolean {
    return this.#turns.length > 0 && this.#cancelRest === null;
  }

  /** Whether somebody waits for a commit. */
  get #awaited(): boolean {
    return this.#durableWaiters.length > 0 || this.#visibleWaiters.length > 0;
  }

  #start(): void {
    if (this.#running) return;
    this.#running = true;
    // Not at once: what is called in the same turn of the event loop shares the commit.
    queueMicrotask(() => this.#run());
  }

  async #run(): Promise<void> {
    try {
      while (
        this.#error === null &&
        (this.#awaited || this.#turnWaits || this.#queuedBytes > MAX_QUEUED_BYTES ||
          this.#early && this.#queued.length > 0)
      ) {
        const passed = this.#loaded && this.#awaited || !this.#turnWaits;
        const turn = passed ? undefined : this.#turns.shift();
        if (turn !== undefined) await this.#commitTurn(turn);
        else {
          this.#loaded = false;
          const durable = this.#durableWaiters.length > 0;
          const empty = this.#queued.length === 0;
          const burdened = this.#burdened;
          const time = await this.#commitQueued(durable);
          if (durable && !empty && !burdened) this.#learn(time);
        }
      }
    } catch (error) {
      this.fail(toDatabaseError(error));
    } finally {
      this.#running = false;
    }
  }

  async #commitTurn({ work, resolve, reject }: Turn): Promise<void> {
    const { last } = this;
    try {
      work();
    } catch (error) {
      return reject(error);
    }
    if (this.last === last) return resolve(0);
    this.#loaded = true;
    try {
      const awaited = this.#durableWaiters.length > 0;
      const busy = this.#options.now() - this.#lastAwaited < BUSY_TIME;
      this.#burdened = true;
      const time = await this.#commitQueued(awaited || busy);
      if (busy) this.#rest(time);
      resolve(time);
    } catch (error) {
      reject(toDatabaseError(error));
      throw error;
    }
  }

  /** Rests after some milliseconds of work in the background. */
  #rest(worked: number): void {
    this.#restOwed += REST * worked;
    const milliseconds = this.#restOwed;
    if (milliseconds < MIN_REST) return;
    this.#restOwed = 0;
    this.#cancelRest = this.#options.setTimer(() => {
      this.#cancelRest = null;
      if (this.#turns.length > 0) this.#start();
    }, milliseconds);
  }

  #learn(time: number): void {
    const mean = this.#commitTime;
    if (mean === null) this.#commitTime = time;
    else this.#commitTime = mean + (Math.min(time, MAX_HESITATION * mean) - mean) * COMMIT_WEIGHT;
  }

  /** Returns how many milliseconds it took. */
  async #commitQueued(durable: boolean): Promise<number> {
    const start = this.#options.now();
    const writes = this.#queued;
    const position = this.#last;
    this.#queued = [];
    this.#queuedBytes = 0;
    await this.#engine.commit(writes, durable);
    if (this.#error !== null) throw this.#error;
    const time = this.#options.now() - start;
    this.#committed = position;
    if (durable) {
      this.#durable = position;
      this.#burdened = false;
    }
    if (this.#durable === this.#last) {
      this.#cancelTimer?.();
      this.#cancelTimer = null;
    }
    this.#options.onCommitted(position);
    settle(this.#visibleWaiters, this.#committed);
    const settled = settle(this.#durableWaiters, this.#durable);
    if (durable) this.#shared = settled;
    if (settled > 0) this.#lastAwaited = this.#options.now();
    return time;
  }
}

/** Resolves and removes the waiters of positions that are reached. Returns how many there were. */
function settle(waiters: Waiter[], reached: number): number {
  let settled = 0;
  for (const waiter of waiters.splice(0)) {
    if (waiter.position <= reached) {
      waiter.resolve();
      settled++;
    } else waiters.push(waiter);
  }
  return settled;
}

function sizeOf(write: Write): number {
  let size = 0;
  for (const row of write.rows) {
    for (const value of row) size += value instanceof Uint8Array ? value.byteLength : 8;
  }
  return size;
}

/** Gives any error the type that callers of a database expect. */
export function toDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new DatabaseError(message, { cause: error });
}
