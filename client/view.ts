/**
 * What a client sees of the database: up to which transaction, and what it remembers of it.
 *
 * @module
 */

import { errorText, type Log } from "../network/log.ts";
import type { Oid, Tid } from "../protocol/ids.ts";
import type { ObjectCache, Revision } from "./cache.ts";
import { type Load, Loads } from "./loads.ts";

/**
 * Told about what others commit. Both functions are called synchronously, in the order of
 * transactions, before {@linkcode View.lastTid} includes the change. What they throw is logged.
 */
export interface InvalidationListener {
  /** Another client committed a transaction that changed or created these objects. */
  invalidate?(tid: Tid, oids: readonly Oid[]): void;
  /** Anything may have changed: the client was disconnected. */
  reset?(): void;
}

/** What a transaction stored: `undefined` if the data was not kept, `null` if there is none. */
export type Written = ReadonlyMap<Oid, Uint8Array | null | undefined>;

/**
 * The last transaction that this client sees, the cache, and the loads on their way.
 *
 * They change together, synchronously, at the place of a message among those of the primary master:
 * nobody can see a transaction half applied, and transactions apply in the order of their tids.
 */
export class View {
  readonly cache: ObjectCache;
  readonly #log: Log;
  readonly #loads = new Loads();
  readonly #listeners = new Set<InvalidationListener>();
  #lastTid: Tid | null = null;

  constructor(cache: ObjectCache, log: Log) {
    this.cache = cache;
    this.#log = log;
  }

  /** The last transaction whose changes were all told; `null` before the first connection. */
  get lastTid(): Tid | null {
    return this.#lastTid;
  }

  /** Tells a listener about what follows, until the result is disposed of. */
  listen(listener: InvalidationListener): Disposable {
    // The same listener may be given twice.
    const own: InvalidationListener = {
      invalidate: (tid, oids) => listener.invalidate?.(tid, oids),
      reset: () => listener.reset?.(),
    };
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  /** A session with a primary master starts: changes may have been missed before. */
  connected(lastTid: Tid): void {
    const known = this.#lastTid;
    if (known === lastTid) return;
    if (known === null || known < lastTid) this.cache.clearCurrent();
    else this.cache.clear(); // The database was truncated.
    this.#loads.forget();
    if (known !== null) this.#tell("reset", (listener) => listener.reset?.());
    this.#lastTid = lastTid;
  }

  /** Another client committed. */
  invalidated(tid: Tid, oids: readonly Oid[]): void {
    for (const oid of oids) this.#supersede(oid, tid);
    this.#tell("invalidate", (listener) => listener.invalidate?.(tid, oids));
    this.#lastTid = tid;
  }

  /** This client committed. */
  committed(tid: Tid, written: Written, onCommitted: (tid: Tid) => void): void {
    for (const [oid, data] of written) {
      this.#supersede(oid, tid);
      if (data) this.cache.store(oid, { data, serial: tid, next: null });
    }
    this.#isolate("onCommitted", () => onCommitted(tid));
    this.#lastTid = tid;
  }

  /**
   * This client learns that it committed, out of order: transactions that followed may have been
   * told about already.
   */
  recovered(tid: Tid, written: Written, onCommitted: (tid: Tid) => void): void {
    for (const oid of written.keys()) {
      this.cache.dropCurrent(oid);
      this.#loads.invalidated(oid, tid);
    }
    this.#isolate("onCommitted", () => onCommitted(tid));
    if (this.#lastTid === null || this.#lastTid < tid) this.#lastTid = tid;
  }

  /** The load on its way that gives a revision. */
  findLoad(oid: Oid, at: Tid | null, before: Tid | null): Load | undefined {
    return this.#loads.find(oid, at, before);
  }

  /** A load is sent. */
  startLoad(load: Load): void {
    this.#loads.add(load);
  }

  /** A load got its answer. Returns what to give to those who wait. */
  endLoad(load: Load, loaded: Revision): Revision {
    this.#loads.remove(load);
    if (!load.cacheable) return loaded;
    const { data, serial } = loaded;
    const next = loaded.next ?? load.nextOf(serial);
    const revision = { data, serial, next };
    // A revision that was not told about yet would be taken for what is current now.
    if (this.#lastTid !== null && serial <= this.#lastTid) this.cache.store(load.oid, revision);
    return revision;
  }

  /** A load failed. */
  failLoad(load: Load): void {
    this.#loads.remove(load);
  }

  #supersede(oid: Oid, tid: Tid): void {
    this.cache.invalidate(oid, tid);
    this.#loads.invalidated(oid, tid);
  }

  #tell(what: string, tell: (listener: InvalidationListener) => void): void {
    for (const listener of [...this.#listeners]) this.#isolate(what, () => tell(listener));
  }

  /** The application's failures are not those of the connection that carries the news. */
  #isolate(what: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error(`${what} callback failed: ${errorText(error)}`);
    }
  }
}
