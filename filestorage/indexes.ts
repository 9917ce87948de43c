/**
 * In-memory indexes of a Data.fs: where transactions and the last record of each object are.
 *
 * @module
 */

import { type Oid, type Tid, toTid } from "../protocol/ids.ts";

/**
 * Position of the current record of each object, and the true links between records.
 *
 * Two levels keep it clear of the limit of 2^24 entries of a `Map`.
 */
export class RevisionIndex {
  readonly #blocks = new Map<number, Map<number, number>>();
  /** By position of a record: the earlier record of the object, where the file says otherwise. */
  readonly #corrections = new Map<number, number>();

  /** Position of the last record of an object, 0 if there is none. */
  last(oid: Oid): number {
    return this.#blocks.get(Number(oid >> 16n))?.get(Number(oid & 0xffffn)) ?? 0;
  }

  /** Sets the position of the last record of an object. */
  set(oid: Oid, position: number): void {
    const prefix = Number(oid >> 16n);
    let block = this.#blocks.get(prefix);
    if (block === undefined) this.#blocks.set(prefix, block = new Map());
    block.set(Number(oid & 0xffffn), position);
  }

  /** Notes that the record at `position` follows the one at `previous`, unlike what it says. */
  correct(position: number, previous: number): void {
    this.#corrections.set(position, previous);
  }

  /** Position of the record before the one at `position`, given what the latter says. */
  previous(position: number, stored: number): number {
    return this.#corrections.get(position) ?? stored;
  }
}

/** Tids and positions of the transactions, in the order of the file. */
export class TransactionIndex {
  #tids = new BigUint64Array(1024);
  #positions = new Float64Array(1024);
  #count = 0;
  #increasing = true;

  /** Number of transactions. */
  get count(): number {
    return this.#count;
  }

  /** Adds the transaction that follows the last added one. */
  add(tid: Tid, position: number): void {
    if (this.#count === this.#tids.length) this.#grow();
    if (this.#count > 0 && tid <= this.tid(this.#count - 1)) this.#increasing = false;
    this.#tids[this.#count] = tid;
    this.#positions[this.#count] = position;
    this.#count++;
  }

  /** Tid of the n-th transaction. */
  tid(ordinal: number): Tid {
    return toTid(this.#tids[ordinal] ?? 0n);
  }

  /** Position of the n-th transaction; `undefined` after the last one. */
  position(ordinal: number): number | undefined {
    return ordinal < this.#count ? this.#positions[ordinal] : undefined;
  }

  /** Number of the first transaction whose tid is at least `tid`; the count if there is none. */
  firstFrom(tid: Tid): number {
    // A file whose clock went back is searched in the order in which it would be iterated.
    if (!this.#increasing) {
      const found = this.#tids.subarray(0, this.#count).findIndex((other) => other >= tid);
      return found < 0 ? this.#count : found;
    }
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.tid(middle) < tid) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #grow(): void {
    const tids = new BigUint64Array(this.#count * 2);
    tids.set(this.#tids);
    this.#tids = tids;
    const positions = new Float64Array(this.#count * 2);
    positions.set(this.#positions);
    this.#positions = positions;
  }
}
