/**
 * One write of a transaction.
 *
 * @module
 */

import type { Oid, Tid } from "../protocol/ids.ts";
import type { Nid } from "../protocol/nodes.ts";

/** What a transaction does with an object. */
export type WriteKind =
  | "store"
  | "delete"
  | "check"
  /** Takes the lock while a conflict is resolved: what will be stored is not known yet. */
  | "claim";

/** Something to write, or to check, on all nodes that have the object. */
export class Write {
  /** Nodes that have not answered. */
  readonly waiting: Set<Nid> = new Set();

  constructor(
    readonly kind: WriteKind,
    readonly oid: Oid,
    readonly serial: Tid,
    /** `undefined` once it was dropped to save memory. */
    public data: Uint8Array | null | undefined,
    readonly dataTid: Tid | null,
    /** What a claim is made for. */
    readonly claimed: Write | null = null,
    /** Whether the data must be kept: nothing else has it. */
    readonly pinned: boolean = false,
  ) {}

  /** The write that the application asked for. */
  get wanted(): Write {
    return this.claimed ?? this;
  }

  /** The earlier revision that it restores, `null` if it is none. */
  get restored(): Tid | null {
    return this.kind === "claim" ? null : this.dataTid;
  }

  /** Bytes of data in memory. */
  get size(): number {
    return this.wanted.data?.length ?? 0;
  }

  /** The same on top of another revision, with the data that a node gave back if there is none here. */
  renewed(serial: Tid, data: Uint8Array | null | undefined): Write {
    return new Write(
      this.kind,
      this.oid,
      serial,
      this.data === undefined ? data : this.data,
      this.dataTid,
      this.claimed,
      this.pinned,
    );
  }
}
