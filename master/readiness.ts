/**
 * Which storages may be expected to have a whole transaction.
 *
 * A storage between `StartOperation` and `NotifyReady` may or may not receive the writes of a
 * transaction that begins meanwhile, hence none begins. Each storage that becomes ready gets a
 * number; a transaction remembers the last number at its beginning, so that a storage has everything
 * of it if and only if its number is not greater: it was ready by then, and has not left since.
 *
 * @module
 */

import type { Nid } from "../protocol/nodes.ts";

/** Storages that are starting, and those that are ready. */
export class Readiness {
  readonly #starting = new Set<Nid>();
  readonly #ready = new Map<Nid, number>();
  #counter = 0;
  #blocked = false;

  /** The number of the last storage that became ready. */
  get counter(): number {
    return this.#counter;
  }

  /** Whether transactions must wait before they begin. */
  get blocked(): boolean {
    return this.#blocked || this.#starting.size > 0;
  }

  /** No transaction begins any more. */
  block(): void {
    this.#blocked = true;
  }

  /** A storage was told to start. */
  start(nid: Nid): void {
    if (this.#starting.has(nid) || this.#ready.has(nid)) {
      throw new Error(`storage ${nid} was already told to start`);
    }
    this.#starting.add(nid);
  }

  /** A storage has started; returns whether it had been told to. */
  ready(nid: Nid): boolean {
    if (!this.#starting.delete(nid)) return false;
    this.#ready.set(nid, ++this.#counter);
    return true;
  }

  /** Whether a storage has been ready since the counter had this value. */
  isReady(nid: Nid, counter = this.#counter): boolean {
    const number = this.#ready.get(nid);
    return number !== undefined && number <= counter;
  }

  /** The ids of all storages that are ready. */
  nids(): Nid[] {
    return [...this.#ready.keys()];
  }

  /** The ids of all storages that were told to start: clients may write to them already. */
  started(): Nid[] {
    return [...this.#ready.keys(), ...this.#starting];
  }

  /** A storage is lost. */
  remove(nid: Nid): void {
    this.#starting.delete(nid);
    this.#ready.delete(nid);
  }

  /** Operation stops. */
  clear(): void {
    this.#starting.clear();
    this.#ready.clear();
    this.#counter = 0;
    this.#blocked = false;
  }

  toString(): string {
    return `ready: [${this.nids()}], starting: [${[...this.#starting]}]` +
      (this.#blocked ? ", blocked" : "");
  }
}
