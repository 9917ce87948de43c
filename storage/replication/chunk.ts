/**
 * One request of a replication: what this node has listed, and what it is sent for it.
 *
 * @module
 */

import type { Key } from "./comparison.ts";

/** Why a source can't be used, at least for now. */
export class SourceError extends Error {
  override readonly name = "SourceError";
  /** @param corrupted whether it would send the same wrong data again. */
  constructor(message: string, readonly corrupted = false) {
    super(message);
  }
}

/** This cell has what no other history of it can lack: nothing of it may be deleted. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";
}

/** A part of a range that is replicated. */
export class Chunk {
  readonly #own: ReadonlySet<Key>;
  readonly #first: Key;
  readonly #last: Key;
  /** Where the list ends if there may be more: nothing can be decided from there on. */
  readonly #end: Key | null;
  #received: Key;

  /**
   * @param first and `last`: the range that remains to be replicated.
   * @param own what this node has, from the start of the range on, ascending.
   * @param length the list may be incomplete if it is that long.
   */
  constructor(first: Key, last: Key, own: readonly Key[], length: number) {
    this.#first = first;
    this.#last = last;
    this.#received = first - 1n;
    this.#own = new Set(own);
    const lastListed = own.at(-1);
    this.#end = own.length < length || lastListed === undefined ? null : lastListed + 1n;
  }

  /**
   * Whether an item that was sent has to be added.
   *
   * @throws {SourceError} if it has no place here.
   */
  accepts(key: Key): boolean {
    if (key <= this.#received || key > this.#last) {
      throw new SourceError("it does not send what it was asked for, in order", true);
    }
    this.#received = key;
    return !this.#own.has(key) && (this.#end === null || key < this.#end);
  }

  /**
   * What the answer means.
   *
   * @returns what is really to be deleted, and where the next chunk starts, `null` if there is none.
   * @throws {SourceError} if it would never end.
   */
  settle(next: Key | null, toDelete: readonly Key[]): { excess: Key[]; next: Key | null } {
    if (next !== null && next <= this.#first) {
      throw new SourceError("it makes no progress", true);
    }
    const from = this.#end !== null && (next === null || next > this.#end) ? this.#end : next;
    return {
      excess: toDelete.filter((key) => this.#own.has(key) && (from === null || key < from)),
      next: from !== null && from > this.#last ? null : from,
    };
  }
}
