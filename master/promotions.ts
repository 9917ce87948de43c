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
import { NodeState } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { Notifier } from "./notifications.ts";
import type { MasterPartitionTable } from "./partition_table.ts";

/** What concerns the cells of a cluster. */
export interface PromotionContext {
  readonly nodes: NodeTable;
  readonly notifier: Notifier;
  readonly table: MasterPartitionTable;
}

/** Changes the table when cells are replicated, and remembers who may not have saved that. */
export class Promotions {
  readonly #context: PromotionContext;
  /** For each storage the partitions with the new copies that it may not know. */
  readonly #unsaved = new Map<Nid, Map<number, Set<Nid>>>();
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
    for (const witness of witnesses) this.#unsavedOf(witness, partition).add(nid);
    notifier.changeTable(changes);
    const era = this.#era;
    notifier.saved(new Set(witnesses)).then((saved) => {
      if (era !== this.#era) return;
      for (const witness of saved) this.#forget(witness, partition, nid);
      notifier.changeTable(table.surplus([partition]));
    });
  }

  /** Whether the cluster, without a storage, would serve a partition that it alone may decide about. */
  mayDecide(nid: Nid): boolean {
    const { nodes, table } = this.#context;
    const partitions = this.#unsaved.get(nid);
    return partitions !== undefined && [...partitions].some(([partition, fresh]) => {
      const others = table.readableCells(partition).filter((cell) =>
        cell.nid !== nid && nodes.get(cell.nid)?.state === NodeState.RUNNING
      );
      return others.length > 0 && others.every((cell) => fresh.has(cell.nid));
    });
  }

  /** A storage is lost, and others know it: it has to replicate what it had. */
  storageLost(nid: Nid): void {
    this.#unsaved.delete(nid);
  }

  /** Operation stops. */
  clear(): void {
    this.#era++;
    this.#unsaved.clear();
  }

  #unsavedOf(witness: Nid, partition: number): Set<Nid> {
    let partitions = this.#unsaved.get(witness);
    if (partitions === undefined) this.#unsaved.set(witness, partitions = new Map());
    let fresh = partitions.get(partition);
    if (fresh === undefined) partitions.set(partition, fresh = new Set());
    return fresh;
  }

  #forget(witness: Nid, partition: number, nid: Nid): void {
    const partitions = this.#unsaved.get(witness);
    const fresh = partitions?.get(partition);
    if (fresh === undefined || !fresh.delete(nid) || fresh.size > 0) return;
    partitions?.delete(partition);
    if (partitions?.size === 0) this.#unsaved.delete(witness);
  }
}
