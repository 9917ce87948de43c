/**
 * Keeps one operator from asking more than the cluster answers.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";

/** Requests of one operator that may wait for their answers. `neoctl` needs one. */
export const MAX_WAITING = 64;

/**
 * Counts the requests of each operator whose answers depend on the primary master. Who has too many is
 * not read any more until some are answered, so that neither this node nor the primary is flooded.
 */
export class WaitingLimit {
  readonly #waiting = new WeakMap<Connection, number>();

  /** Counts one more request. The result must be called once, when it is answered. */
  wait(connection: Connection): () => void {
    if (this.#add(connection, 1) === MAX_WAITING) connection.pause();
    return () => {
      if (this.#add(connection, -1) === MAX_WAITING - 1) connection.resume();
    };
  }

  #add(connection: Connection, change: number): number {
    const waiting = (this.#waiting.get(connection) ?? 0) + change;
    this.#waiting.set(connection, waiting);
    return waiting;
  }
}
