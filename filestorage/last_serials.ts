import type { Oid, Tid } from "../protocol/ids.ts";
import { RevisionIndex, TransactionIndex } from "./indexes.ts";

/**
 * The last revision of each object, as a number that leads to a tid: many objects share one, and
 * numbers take less memory.
 */
export class LastSerials {
  readonly #tids = new TransactionIndex();
  readonly #numbers = new RevisionIndex();
  #lastTid: Tid | null = null;

  /** The last revision of an object, `null` if none was set. */
  get(oid: Oid): Tid | null {
    const number = this.#numbers.last(oid);
    return number === 0 ? null : this.#tids.tid(number - 1);
  }

  set(oid: Oid, tid: Tid): void {
    if (tid !== this.#lastTid) this.#tids.add(tid, 0);
    this.#lastTid = tid;
    this.#numbers.set(oid, this.#tids.count);
  }
}
