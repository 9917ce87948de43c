/**
 * Comparing the copies of partitions.
 *
 * @module
 */

import type { NodeTable } from "../node/node_table.ts";
import type { CellChange } from "../node/partition_table.ts";
import { CellState, isReadable } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { PackOrders } from "./packs.ts";
import type { MasterPartitionTable } from "./partition_table.ts";
import { denied } from "./table_commands.ts";

/** What checks depend on. */
export interface CheckContext {
  readonly nodes: NodeTable;
  readonly packs: PackOrders;
  readonly table: MasterPartitionTable;
  readonly running: (nid: Nid) => boolean;
}

/** The checks that were ordered, and what their results change. */
export class ReplicaChecks {
  readonly #context: CheckContext;
  /** The storage that was told to check a partition, and after what: nobody else's opinion counts. */
  readonly #checkers = new Map<number, { readonly nid: Nid; readonly since: Tid }>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  /** Operation stops: results do not matter any more. */
  clear(): void {
    this.#checkers.clear();
  }

  /**
   * Orders to compare the copies of some partitions, up to the last transaction at most. Where there
   * is a single copy there is nothing to do.
   *
   * @throws {Refusal} if a partition or a source can't be, or while copies differ because of a pack.
   */
  order({ sources, min, max }: ArgsOf<"CheckReplicas">, last: Tid): void {
    const { nodes, packs } = this.#context;
    if (packs.executing) {
      throw denied("copies differ while a pack is executed: try again when it is completed");
    }
    for (const [partition, source] of sources) this.#validate(partition, source);
    const end = max === null || max > last ? last : max;
    if (min > end) return;
    const checkers = new Set<Nid>();
    for (const [partition, source] of [...sources].sort(([a], [b]) => a - b)) {
      const copies = this.#copies(partition);
      if (copies.length < 2) continue;
      // As few storages as possible are busy with it, each with one partition after the other.
      const checker = copies.find((nid) => checkers.has(nid)) ?? copies.at(-1);
      if (checker === undefined) continue;
      checkers.add(checker);
      this.#checkers.set(partition, { nid: checker, since: last });
      const address = source === null ? null : nodes.get(source)?.address ?? null;
      nodes.get(checker)?.connection?.notify("CheckPartition", {
        partition,
        source: { upstream: "", address },
        min,
        max: end,
      });
    }
  }

  /** Whether copies may differ because of a pack that was ordered after the check. */
  packedSince(partition: number): boolean {
    const check = this.#checkers.get(partition);
    return check !== undefined && this.#context.packs.approvedAfter(check.since);
  }

  /**
   * The changes due to the result of a check: copies that differ from a right one are not read any
   * more. While it is not known which one is right, all go on.
   *
   * @param nids the storages whose copies differ.
   */
  corrupted(reporter: Nid, partition: number, nids: readonly Nid[]): CellChange[] {
    if (this.#checkers.get(partition)?.nid !== reporter) return [];
    if (this.packedSince(partition)) return [];
    const bad = this.#context.table.readableCells(partition).filter(({ nid }) =>
      nids.includes(nid)
    );
    if (this.#copies(partition).every((nid) => nids.includes(nid))) return [];
    return bad.map(({ nid }) => ({ partition, nid, state: CellState.CORRUPTED }));
  }

  /** The storages that serve a partition. */
  #copies(partition: number): Nid[] {
    const { running, table } = this.#context;
    return table.readableCells(partition).map(({ nid }) => nid).filter(running);
  }

  #validate(partition: number, source: Nid | null): void {
    const { running, table } = this.#context;
    if (partition >= table.partitions) throw denied(`there is no partition ${partition}`);
    if (source === null) return;
    const state = table.cellState(partition, source);
    if (state !== null && isReadable(state) && running(source)) return;
    throw denied(`${nodeName(source)} has no copy of partition ${partition} to compare with`);
  }
}
