/**
 * Storages without which an operator has ordered the start.
 *
 * While they were away, they may have served under another master, if somebody ordered a start there
 * too. What was committed there is another history: joining would delete it. Such a start changes the
 * partition table, which storages save before anything is acknowledged. So a storage that comes back
 * with a later version than the one it was left behind with has been elsewhere.
 *
 * @module
 */

import type { Log } from "../network/log.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";

/** Remembers with which version of the table storages were left behind. */
export class LeftBehind {
  readonly #log: Log;
  readonly #ptids = new Map<Nid, number>();
  /** Those whose refusal was told to the operator. */
  readonly #told = new Set<Nid>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** What happened meanwhile is not known any more. */
  clear(): void {
    this.#ptids.clear();
    this.#told.clear();
  }

  add(nid: Nid, ptid: number): void {
    // The first one: since then, nothing was heard of it.
    if (!this.#ptids.has(nid)) this.#ptids.set(nid, ptid);
  }

  /** Whether a storage has to be asked for its table before it may join. */
  has(nid: Nid | null): boolean {
    return nid !== null && this.#ptids.has(nid);
  }

  /**
   * A storage is back, with some version of the table. One that was nowhere else is like others from
   * now on.
   *
   * @returns whether it may join.
   */
  admits(nid: Nid | null, ptid: number | null): boolean {
    const known = nid === null ? undefined : this.#ptids.get(nid);
    if (nid === null || known === undefined) return true;
    if ((ptid ?? 0) <= known) {
      this.#ptids.delete(nid);
      return true;
    }
    if (!this.#told.has(nid)) {
      this.#told.add(nid);
      this.#log.error(
        `${
          nodeName(nid)
        } was left behind with partition table ${known}, and comes back with ${ptid}: ` +
          "it has served under another master since. It is refused, because joining would delete " +
          "what was committed there. Save that first, then erase its database",
      );
    }
    return false;
  }
}
