/**
 * Where the data of a partition can be fetched.
 *
 * @module
 */

import type { Environment } from "../../network/environment.ts";
import type { NodeTable } from "../../node/node_table.ts";
import type { PartitionTable } from "../../node/partition_table.ts";
import { NodeState } from "../../protocol/enums.ts";
import type { Nid } from "../../protocol/nodes.ts";

/** Milliseconds for which a source that failed is not asked again for the same partition. */
const PAUSE = 1000;
/** The same for one that sent corrupted data, at first; twice as much each time. */
const CORRUPTION_PAUSE = 60_000;
const MAX_CORRUPTION_PAUSE = 64 * CORRUPTION_PAUSE;

interface Failure {
  readonly end: number;
  readonly pause: number;
}

/** Chooses sources. */
export class Sources {
  readonly #failures = new Map<number, Map<Nid, Failure>>();

  constructor(
    readonly env: Environment,
    readonly nodes: NodeTable,
    readonly table: PartitionTable,
    readonly self: Nid,
  ) {}

  /** A node that can give the data of a partition, `null` if there is none now. */
  choose(partition: number): Nid | null {
    const now = this.env.monotonic();
    const failures = this.#failures.get(partition);
    const candidates = this.#candidates(partition)
      .filter((nid) => (failures?.get(nid)?.end ?? now) <= now);
    return candidates[Math.floor(this.env.random() * candidates.length)] ?? null;
  }

  /** Milliseconds until there may be a source again by itself, `null` if something has to change. */
  wait(partition: number): number | null {
    const now = this.env.monotonic();
    const failures = this.#failures.get(partition);
    const ends = this.#candidates(partition).map((nid) => failures?.get(nid)?.end ?? now);
    return ends.length === 0 ? null : Math.max(0, Math.min(...ends) - now);
  }

  #candidates(partition: number): Nid[] {
    return this.table.readableCells(partition).map(({ nid }) => nid).filter((nid) => {
      const node = this.nodes.get(nid);
      return nid !== this.self && node?.state === NodeState.RUNNING && node.address !== null;
    });
  }

  /** A source failed. */
  failed(partition: number, nid: Nid, corrupted: boolean): void {
    let failures = this.#failures.get(partition);
    if (failures === undefined) this.#failures.set(partition, failures = new Map());
    const former = failures.get(nid)?.pause ?? 0;
    const pause = corrupted
      ? Math.min(Math.max(former * 2, CORRUPTION_PAUSE), MAX_CORRUPTION_PAUSE)
      : PAUSE;
    failures.set(nid, { end: this.env.monotonic() + pause, pause });
  }

  /** A partition does not need a source any more. */
  forget(partition: number): void {
    this.#failures.delete(partition);
  }
}
