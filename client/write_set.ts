/**
 * The writes of a transaction, and the memory that their data takes.
 *
 * @module
 */

import type { Oid } from "../protocol/ids.ts";
import { owned } from "./compression.ts";
import type { Written } from "./view.ts";
import type { Write, WriteKind } from "./write.ts";

/** At most one write of each object: pending until all nodes have answered, then done. */
export class WriteSet {
  /** A write that is not here any more was replaced: its answers are ignored. */
  readonly #pending = new Map<Oid, Write>();
  readonly #done = new Map<Oid, Write>();
  /** Everything that was put, in the order of the first write of each object. */
  readonly #order = new Set<Oid>();
  readonly #maxKept: number;
  #inFlight = 0;
  #kept = 0;

  /** @param maxKept bytes of data that are kept at most of what is done, except for what must be. */
  constructor(maxKept: number) {
    this.#maxKept = maxKept;
  }

  /** Number of objects. */
  get size(): number {
    return this.#pending.size + this.#done.size;
  }

  /** Number of pending writes. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Bytes of pending data. */
  get inFlight(): number {
    return this.#inFlight;
  }

  pending(oid: Oid): Write | undefined {
    return this.#pending.get(oid);
  }

  done(oid: Oid): Write | undefined {
    return this.#done.get(oid);
  }

  /** Adds a pending write, in the place of an earlier one of the same object. */
  put(write: Write): void {
    const { oid } = write;
    this.#inFlight += write.size - (this.#pending.get(oid)?.size ?? 0);
    this.#pending.set(oid, write);
    this.#order.add(oid);
    const done = this.#done.get(oid);
    if (done === undefined) return;
    this.#kept -= done.size;
    this.#done.delete(oid);
  }

  /** Removes a pending write. */
  withdraw(write: Write): void {
    if (this.#pending.get(write.oid) !== write || !this.#pending.delete(write.oid)) return;
    this.#inFlight -= write.size;
  }

  /** All nodes have answered to a pending write. Its data is dropped if there is too much already. */
  complete(write: Write): void {
    this.withdraw(write);
    this.#done.set(write.oid, write);
    const { size } = write;
    if (size === 0) return;
    const keep = write.pinned || write.kind === "claim" || this.#kept + size < this.#maxKept;
    if (keep) this.#kept += size;
    if (write.data) write.data = keep ? owned(write.data) : undefined;
  }

  /** Objects of each kind that are done, in the order they were written. */
  oids(...kinds: WriteKind[]): Oid[] {
    const oids = [];
    for (const oid of this.#order) {
      const kind = this.#done.get(oid)?.kind;
      if (kind !== undefined && kinds.includes(kind)) oids.push(oid);
    }
    return oids;
  }

  /** What will be visible once the transaction is committed. */
  get written(): Written {
    const written = new Map<Oid, Uint8Array | null | undefined>();
    for (const { kind, oid, data } of this.#done.values()) {
      if (kind !== "check") written.set(oid, data);
    }
    return written;
  }
}
