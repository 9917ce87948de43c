/**
 * A transaction as the node remembers it, from its first write to its end.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Span } from "../network/tracer.ts";
import { hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { StoredObject } from "./database/database.ts";

/**
 * Objects that the unfinished transactions of one connection may write or check: twice what the
 * biggest transaction has.
 */
export const MAX_OBJECTS = 1 << 22;

/** What a transaction has voted on this node. */
export enum Vote {
  NONE,
  /** Only the objects that it stored here. */
  OBJECTS,
  /** Its metadata as well. */
  METADATA,
}

/** What a transaction does to an object. */
export interface ObjectEntry {
  /** The revision it is based on, or must be based on after a conflict. */
  readonly base: Tid;
  /** Only checked, not stored. */
  readonly checked: boolean;
  /**
   * `null` if it is only checked, if what it should store could not be found, or if the client has to
   * resolve a conflict first.
   */
  store: StoredObject | null;
  /** Conflicts that the client was told about. */
  readonly conflicts: number;
  /** The client was told that an older transaction wants the lock. */
  deadlock: boolean;
}

/** A request that is not answered yet. */
export interface PendingWrite {
  readonly oid: Oid;
  /** Answers that nothing was stored. */
  cancel(): void;
}

/** A vote that is not possible yet. */
export interface WaitingVote {
  execute(): void;
  /** Answers that there is nothing to vote any more. */
  cancel(): void;
}

/** The connection of the client that began a transaction here. */
export interface TransactionOwner {
  readonly nid: Nid;
  readonly connection: Connection;
  /** Those registered on this connection that are not finished. */
  readonly transactions: Set<Transaction>;
  /** Number of objects in them. */
  objects: number;
}

/** A registered transaction. */
export class Transaction {
  readonly #objects = new Map<Oid, ObjectEntry>();
  /** Requests that are not answered yet. */
  readonly requests = new Set<PendingWrite>();
  /** Objects that were accepted without lock, because their cell lacked data. */
  readonly lockless = new Set<Oid>();
  vote = Vote.NONE;
  /** A vote that waits for `requests`. */
  waitingVote: WaitingVote | null = null;
  /** What was stored, since the vote. */
  voted: readonly StoredObject[] = [];
  /** From the first store to the vote, if somebody wants to know. */
  storing: Span | null = null;
  /** Whether the vote is on disk. */
  durable = false;
  /** Final tid, once locked. */
  tid: Tid | null = null;
  /** Whether it was aborted, or dropped with the end of the operation. */
  ended = false;

  constructor(readonly ttid: Tid, readonly client: TransactionOwner) {}

  /** What it wrote or checked. */
  get objects(): ReadonlyMap<Oid, ObjectEntry> {
    return this.#objects;
  }

  /** Adds or replaces an object. Returns `false` if its client has too many. */
  set(oid: Oid, entry: ObjectEntry): boolean {
    if (!this.#objects.has(oid)) {
      if (this.client.objects >= MAX_OBJECTS) return false;
      this.client.objects++;
    }
    this.#objects.set(oid, entry);
    return true;
  }

  /** Removes an object. */
  remove(oid: Oid): void {
    this.lockless.delete(oid);
    if (this.#objects.delete(oid)) this.client.objects--;
  }

  /** Its client is done with it. */
  leaveClient(): void {
    if (this.client.transactions.delete(this)) this.client.objects -= this.#objects.size;
  }

  /** Nobody can make it give locks back any more. */
  get keepsLocks(): boolean {
    return this.vote !== Vote.NONE || this.waitingVote !== null;
  }

  /** For logs. */
  toString(): string {
    const state = this.tid === null ? Vote[this.vote] : `LOCKED ${hexId(this.tid)}`;
    return `${hexId(this.ttid)} of ${nodeName(this.client.nid)}: ${this.objects.size} objects, ` +
      `${this.requests.size} requests, ${state}`;
  }
}
