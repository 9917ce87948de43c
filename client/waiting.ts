/**
 * Waiting that a signal can stop.
 *
 * @module
 */

/** Options of every operation that may wait. */
export interface WaitOptions {
  /** Stops waiting: the operation fails with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The outcome of a promise, or the signal's reason if it aborts first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

interface Waiter {
  readonly reached: () => boolean;
  readonly resolve: () => void;
}

/** Lets functions wait until changes of some state have made a condition true. */
export class Changes {
  readonly #waiters = new Set<Waiter>();

  /** Checks the conditions again. */
  notify(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.reached()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** Waits for a condition. Rejects with the signal's reason. */
  until(reached: () => boolean, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (reached()) return resolve();
      const onAbort = () => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        reached,
        resolve() {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}
