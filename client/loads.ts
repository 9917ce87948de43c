/**
 * Loads that wait for a storage node.
 *
 * @module
 */

import type { Oid, Tid } from "../protocol/ids.ts";
import type { Revision } from "./cache.ts";

/** A load on its way, shared by all who want the same. */
export class Load {
  /** Whether what is loaded may go to the cache. */
  cacheable = true;
  /** Resolves to what was loaded. */
  promise: Promise<Revision> = new Promise(() => {});
  /** Transactions that changed the object since the load began. */
  readonly #invalidations: Tid[] = [];
  #wanted = 0;
  #controller: AbortController | null = null;

  constructor(
    readonly oid: Oid,
    /** The revision with exactly this serial. */
    readonly at: Tid | null,
    /** Otherwise, the last revision below this tid. */
    readonly before: Tid | null,
  ) {}

  /** Aborts when nobody waits for the load any more. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  invalidated(tid: Tid): void {
    this.#invalidations.push(tid);
  }

  /** The revision that follows one that the storage believed to be current. */
  nextOf(serial: Tid): Tid | null {
    return this.#invalidations.find((tid) => tid > serial) ?? null;
  }

  /** Waits for the load; rejects with the signal's reason. */
  wait(signal: AbortSignal): Promise<Revision> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      this.#wanted++;
      const onAbort = () => {
        reject(signal.reason);
        if (--this.#wanted === 0) (this.#controller ??= new AbortController()).abort();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.promise.then(resolve, reject).finally(() => {
        signal.removeEventListener("abort", onAbort);
      });
    });
  }

  /** Waits for the load, come what may. */
  waitForEver(): Promise<Revision> {
    this.#wanted++;
    return this.promise;
  }

  /** Nobody waits any more. */
  get abandoned(): boolean {
    return this.#controller?.signal.aborted ?? false;
  }
}

/** The loads on their way, by object. */
export class Loads {
  readonly #loads = new Map<Oid, Load[]>();

  /** A load that will answer. */
  find(oid: Oid, at: Tid | null, before: Tid | null): Load | undefined {
    return this.#loads.get(oid)?.find((load) =>
      load.at === at && load.before === before && !load.abandoned
    );
  }

  add(load: Load): void {
    const others = this.#loads.get(load.oid);
    if (others === undefined) this.#loads.set(load.oid, [load]);
    else others.push(load);
  }

  remove(load: Load): void {
    const loads = this.#loads.get(load.oid);
    const index = loads?.indexOf(load) ?? -1;
    if (loads === undefined || index < 0) return;
    if (loads.length === 1) this.#loads.delete(load.oid);
    else loads.splice(index, 1);
  }

  /** A transaction changed an object. */
  invalidated(oid: Oid, tid: Tid): void {
    for (const load of this.#loads.get(oid) ?? []) load.invalidated(tid);
  }

  /** Changes were missed: nothing that is on its way may be cached. */
  forget(): void {
    for (const loads of this.#loads.values()) for (const load of loads) load.cacheable = false;
    this.#loads.clear();
  }
}
