/**
 * What the master is told, and tells, about pack orders: which ones are approved, and up to which one
 * the cells of this node are packed.
 *
 * @module
 */

import { type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { Database } from "./database/database.ts";

/** What the node knows of pack orders since it knows its master. */
export class Packs {
  #last: Tid = ZERO_TID;
  #reported: Tid | null = null;

  /**
   * @param disabled the operator does not want this node to pack: orders are said to be executed so
   *   that nobody waits for it, and recorded for a later start without that option.
   */
  constructor(readonly database: Database, readonly disabled: boolean) {}

  /** Id of the last order that was approved. */
  get last(): Tid {
    return this.#last;
  }

  /** Another storage has completed an order. */
  heard(id: Tid): void {
    if (id > this.#last) this.#last = id;
  }

  /** There is another master, which knows nothing about this node. */
  reset(): void {
    this.#last = ZERO_TID;
    this.#reported = null;
  }

  /** An operation begins. The master asks what was reported before it, but not what was claimed. */
  operationBegins(): void {
    if (this.disabled) this.#reported = null;
  }

  /**
   * Orders were approved or rejected.
   *
   * @param completed is told the id of the last order, if this node claims to have completed it.
   */
  async sign(
    approved: readonly Tid[],
    rejected: readonly Tid[],
    completed: (id: Tid) => void,
  ): Promise<void> {
    for (const id of approved) this.heard(id);
    if (!this.disabled) return await this.database.signPackOrders(approved, rejected);
    if (approved.length > 0 && this.#reported !== this.#last) {
      this.#reported = this.#last;
      completed(this.#last);
    }
  }

  /**
   * Tells up to which order all cells are packed.
   *
   * @param always even if the master knows it.
   */
  async report(completed: (id: Tid) => void, always: boolean): Promise<void> {
    if (this.disabled) return;
    const packs = await this.database.completedPacks();
    let min: Tid | null = null;
    for (const { pack } of packs) if (min === null || pack < min) min = pack;
    if (min === null || (min === (this.#reported ?? ZERO_TID) && !always)) return;
    this.#reported = min;
    completed(min);
  }
}
