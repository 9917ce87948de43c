/**
 * Cells that were replicated a moment ago, of which the older copies may not have heard.
 *
 * A storage waits, after a failure of everything, for all that its own table calls up to date. One that
 * is lost before it has saved that there is a new copy does not wait for that copy: if it came back first,
 * the cluster would start with it alone, without anything that was committed meanwhile. So as long as the
 * only older copies may not have saved that, nothing is committed without them, and none is given up.
 *
 * @module
 */

import type { NodeTable } from "../node/node_table.ts";
import { isReadable, NodeState } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { Notifier } from "./notifications.ts";
import type { MasterPartitionTable } from "./partition_table.ts";

/** What concerns the cells of a cluster. */
export interface PromotionContext {
  readonly nodes: NodeTable;
  readonly notifier: Notifier;
  readonly table: MasterPartitionTable;
}

/** A cell that got up to date. */
interface Promotion {
  readonly partition: number;
  readonly nid: Nid;
  /** The version of the table that says so. */
  readonly version: number;
}

/** Changes the table when cells are replicated, and remembers who may not have saved that. */
export class Promotions {
  readonly #context: PromotionContext;
  /** What the storages with older copies may not know. */
  readonly #unsaved = new Map<Nid, Promotion[]>();
  /** The last promotion of each cell since operation began. */
  readonly #versions = new Map<Nid, Map<number, number>>();
  /** The version of the table that storages are known to have saved, at least. */
  readonly #saved = new Map<Nid, number>();
  /** Counts what makes answers come too late. */
  #era = 0;

  constructor(context: PromotionContext) {
    this.#context = context;
  }

  /** A storage has replicated its cell, which clients may read from now on. */
  replicated(nid: Nid, partition: number): void {
    const { notifier, table } = this.#context;
    const changes = table.replicated(nid, partition);
    if (changes.length === 0) return;
    const witnesses = table.readableCells(partition).map((cell) => cell.nid);
    notifier.changeTableQuietly(changes);
    if (witnesses.length === 0) notifier.tellAdmins();
    const version = table.ptid ?? 0;
    const versions = this.#versions.get(nid) ?? new Map<number, number>();
    this.#versions.set(nid, versions.set(partition, version));
    const era = this.#era;
    for (const witness of witnesses) {
      const unsaved = this.#unsaved.get(witness) ?? [];
      this.#unsaved.set(witness, [...unsaved, { partition, nid, version }]);
      notifier.saved(new Set([witness])).then((saved) => {
        if (era !== this.#era) return;
        if (saved.has(witness)) this.#acknowledged(witness, version);
        // Whoever waits for all copies, to stop one storage after the other, may go on.
        if (this.#unsaved.size === 0) notifier.tellAdmins();
        this.#discardSurplus(partition);
      });
    }
  }

  /** Whether the cluster, without a storage, would serve a partition that it alone may decide about. */
  mayDecide(nid: Nid): boolean {
    const { nodes, table } = this.#context;
    const byPartition = Map.groupBy(this.#unsaved.get(nid) ?? [], ({ partition }) => partition);
    return [...byPartition].some(([partition, promotions]) => {
      const others = table.readableCells(partition).map((cell) => cell.nid).filter((other) =>
        other !== nid && nodes.get(other)?.state === NodeState.RUNNING
      );
      const isFresh = (other: Nid) => promotions.some((promotion) => promotion.nid === other);
      return others.length > 0 &&
        others.every((other) => isFresh(other) && !this.#waitsFor(nid, other));
    });
  }

  /** Whether a storage may not know a newer copy of a partition. */
  mayIgnore(nid: Nid, partition: number): boolean {
    return this.#unsaved.get(nid)?.some((promotion) => promotion.partition === partition) ?? false;
  }

  /** The storages that alone may decide about some partition, and may be about to leave. */
  awaited(): Set<Nid> {
    return new Set([...this.#unsaved.keys()].filter((nid) => this.mayDecide(nid)));
  }

  /** A storage is lost, and others know it: it has to replicate what it had. */
  storageLost(nid: Nid): void {
    this.#unsaved.delete(nid);
    this.#saved.delete(nid);
  }

  /** Whether all storages know of all copies. */
  get known(): boolean {
    return this.#unsaved.size === 0;
  }

  /** Operation stops. */
  clear(): void {
    this.#era++;
    this.#context.notifier.tellAdmins();
    this.#unsaved.clear();
    this.#versions.clear();
    this.#saved.clear();
  }

  /** Whether a storage has saved that another one can be read: it does not start without that one. */
  #waitsFor(nid: Nid, other: Nid): boolean {
    const saved = this.#saved.get(nid) ?? 0;
    return this.#context.table.rows.some((row, partition) =>
      row.some((cell) => cell.nid === other && isReadable(cell.state)) &&
      (this.#versions.get(other)?.get(partition) ?? 0) <= saved
    );
  }

  /** A storage has saved a version of the table. */
  #acknowledged(nid: Nid, saved: number): void {
    this.#saved.set(nid, Math.max(saved, this.#saved.get(nid) ?? 0));
    const unsaved = this.#unsaved.get(nid)?.filter(({ version }) => version > saved) ?? [];
    if (unsaved.length > 0) this.#unsaved.set(nid, unsaved);
    else this.#unsaved.delete(nid);
  }

  /** What has fed a new copy goes away when all older copies know it. */
  #discardSurplus(partition: number): void {
    const { notifier, table } = this.#context;
    if ([...this.#unsaved.keys()].some((nid) => this.mayIgnore(nid, partition))) return;
    notifier.changeTable(table.surplus([partition]));
  }
}
