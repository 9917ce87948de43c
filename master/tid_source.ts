/**
 * Where transaction ids come from, during the life of a primary master.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import { MAX_TID, type Tid, tidFromTime, ZERO_TID } from "../protocol/ids.ts";
import { violation } from "./finish_request.ts";
import type { LastIds } from "./last_ids.ts";
import { afterEarlierMasters, nextTid } from "./tids.ts";

/**
 * Gives ttids and tids. A ttid is never given again, even by a late clock: storages, and the client that
 * asks what became of it, would take one transaction for the other.
 */
export class TidSource {
  readonly #env: Environment;
  readonly #ids: LastIds;
  /** Whether a ttid was given. */
  #given = false;
  /** The greatest ttid that was ever given, as far as is known. */
  #lastTtid: Tid = ZERO_TID;

  constructor(env: Environment, ids: LastIds) {
    this.#env = env;
    this.#ids = ids;
  }

  /** A ttid was given by an earlier master, and its client may still ask what became of it. */
  known(ttid: Tid): void {
    if (ttid > this.#lastTtid) this.#lastTtid = ttid;
  }

  /**
   * The next tid.
   *
   * @param ttid of the transaction that gets its final tid; `null` to begin one.
   * @param queued the greatest final tid that is given and not committed yet.
   * @throws {Refusal} if there is none left.
   */
  next(ttid: Tid | null, queued: Tid, partitions: number): Tid {
    let last = this.#lastTtid;
    for (const tid of [this.#ids.lastTransaction, queued]) if (tid > last) last = tid;
    const now = tidFromTime(this.#env.now());
    if (ttid === null && !this.#given) last = afterEarlierMasters(now, last, this.#env.random());
    const tid = nextTid(now, last, ttid, partitions);
    if (tid >= MAX_TID) throw violation("there is no tid left: is the clock right?");
    if (ttid === null) {
      this.#lastTtid = tid;
      this.#given = true;
    }
    return tid;
  }
}
