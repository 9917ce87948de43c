/**
 * What the master knows of a transaction in progress.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Request } from "../network/handler.ts";
import type { Span, Tracer } from "../network/tracer.ts";
import type { Node } from "../node/node_table.ts";
import { hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";

/** A transaction that was begun. */
export class Transaction {
  /** `null` until the client asks to finish. */
  tid: Tid | null = null;
  oids: readonly Oid[] = [];
  /** Partitions of the objects that were changed. */
  modified: readonly number[] = [];
  request: Request<"AskFinishTransaction"> | null = null;
  /** Storages that have it and were asked to lock. */
  readonly involved = new Set<Nid>();
  /** How many they were at first: some may be lost since. */
  asked = 0;
  /** Those of them that have not locked. */
  readonly locking = new Set<Nid>();
  /** Those of them that answered that they can't. */
  readonly unlockable = new Set<Nid>();
  /** Storages that miss a part, to be disconnected if it finishes. */
  failed: ReadonlySet<Nid> = new Set();
  /** From the request to finish to the commit, if somebody wants to know. */
  span: Span | null = null;
  /** Whether its pack order was refused: it can't be finished like that. */
  refused = false;
  /** Whether it carries a pack order that is approved. */
  packApproved = false;
  /** Storages that replicate, and wait for its end. */
  readonly waitingStorages = new Set<Nid>();
  /** Clients that lost the answer to their request to finish. */
  readonly finalTidRequests = new Map<Connection, Request<"AskFinalTID">>();

  constructor(
    readonly ttid: Tid,
    /** Whether the client chose the tid. */
    readonly imposed: boolean,
    /** `null` if the client is lost. */
    public client: Node | null,
    readonly clientNid: Nid | null,
    /** See {@linkcode Readiness}. */
    readonly counter: number,
    /** The version of the partition table, according to which the client writes, or to a later one. */
    readonly ptid: number,
  ) {}

  /** Storages are asked to lock. */
  involve(nids: ReadonlySet<Nid>): void {
    for (const nid of nids) {
      this.involved.add(nid);
      this.locking.add(nid);
    }
    this.asked = nids.size;
  }

  /** It is being finished. */
  trace(tracer: Tracer | undefined, node: Nid | null): void {
    if (tracer === undefined) return;
    const { ttid, tid, oids } = this;
    this.span = tracer.begin({ name: "finish", ttid, node });
    if (tid !== null) this.span.set("neo.tid", hexId(tid));
    this.span.set("neo.oids", oids.length);
  }

  /** A storage is asked to lock. */
  traceLock(nid: Nid): Span | null {
    const span = this.span?.child("lock") ?? null;
    span?.set("neo.storage", nodeName(nid));
    return span;
  }

  toString(): string {
    const { ttid, tid, locking, failed } = this;
    const state = tid === null ? "begun" : `finishing as ${hexId(tid)}, locking: [${[...locking]}]`;
    return `${hexId(ttid)}: ${state}` + (failed.size > 0 ? `, failed: [${[...failed]}]` : "");
  }
}
