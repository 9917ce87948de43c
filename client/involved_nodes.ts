/**
 * The storage nodes that take part in a transaction.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Cell } from "../node/partition_table.ts";
import { NodeState } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { Session } from "./session.ts";
import type { StorageLinks } from "./storage_links.ts";

/**
 * Storage nodes by id, each with the one connection that the transaction uses. A node that was lost,
 * or could not be reached, missed something and is not used again: the vote judges what that means.
 */
export class InvolvedNodes {
  readonly #session: Session;
  readonly #storages: StorageLinks;
  readonly #nodes = new Map<Nid, Connection | null>();
  /** Nodes that accepted something without lock, by partition. */
  readonly #lockless = new Map<number, Set<Nid>>();
  #released = false;

  constructor(session: Session, storages: StorageLinks) {
    this.#session = session;
    this.#storages = storages;
  }

  /** The ids of all nodes, lost ones included. */
  get nids(): Nid[] {
    return [...this.#nodes.keys()];
  }

  /** The nodes that are still there, with their connections. */
  *connected(): IterableIterator<[Nid, Connection]> {
    for (const [nid, connection] of this.#nodes) if (connection !== null) yield [nid, connection];
  }

  /** Whether a node missed something of the transaction. */
  isLost(nid: Nid): boolean {
    return this.#nodes.get(nid) === null;
  }

  /** The lost nodes that run according to the master. */
  get lostButRunning(): Nid[] {
    const { nodes } = this.#session;
    return this.nids.filter((nid) =>
      this.#nodes.get(nid) === null && nodes.get(nid)?.state === NodeState.RUNNING
    );
  }

  /** Whether a node was lost. */
  get incomplete(): boolean {
    return [...this.#nodes.values()].includes(null);
  }

  /**
   * The connections with the nodes of all cells of a partition, lost ones excepted; `null` if some
   * must be opened first.
   */
  of(partition: number): [Nid, Connection][] | null {
    const found: [Nid, Connection][] = [];
    for (const { nid } of this.#cells(partition)) {
      const known = this.#nodes.get(nid);
      if (known === null) continue;
      const connection = known ?? this.#storages.get(nid);
      if (connection === null) return null;
      found.push([nid, connection]);
    }
    // Not before all are there: until then, the table may change and leave some of them out.
    for (const [nid, connection] of found) {
      if (!this.#nodes.has(nid)) this.#involve(nid, connection);
    }
    return found;
  }

  /** Opens the missing connections. Rejects with the signal's reason. */
  async connect(partition: number, signal?: AbortSignal): Promise<[Nid, Connection][]> {
    for (;;) {
      const found = this.of(partition);
      if (found !== null) return found;
      const missing = this.#cells(partition).filter(({ nid }) => !this.#nodes.has(nid));
      await Promise.all(missing.map(async ({ nid }) => {
        const connection = await this.#storages.connect(nid, this.#session, signal);
        const needed = this.#cells(partition).some((cell) => cell.nid === nid);
        if (connection === null && needed && !this.#nodes.has(nid)) this.#involve(nid, null);
      }));
    }
  }

  /** A node was lost. */
  lost(nid: Nid): void {
    this.#nodes.set(nid, null);
  }

  /** A node accepted something of a partition without lock. */
  lockless(partition: number, nid: Nid): void {
    const nids = this.#lockless.get(partition);
    if (nids === undefined) this.#lockless.set(partition, new Set([nid]));
    else nids.add(nid);
  }

  /**
   * A partition of which no remaining node has the locks, so that nobody checked for conflicts.
   */
  unlockedPartition(): number | null {
    for (const [partition, lockless] of this.#lockless) {
      const locked = this.#cells(partition).some(({ nid }) =>
        !lockless.has(nid) && (this.#nodes.get(nid) ?? null) !== null
      );
      if (!locked) return partition;
    }
    return null;
  }

  /** The transaction is over. */
  release(): void {
    this.#released = true;
    for (const nid of this.#nodes.keys()) this.#storages.release(nid);
  }

  #involve(nid: Nid, connection: Connection | null): void {
    this.#nodes.set(nid, connection);
    // A connection that was waited for may come after the end.
    if (!this.#released) this.#storages.retain(nid);
  }

  #cells(partition: number): readonly Cell[] {
    return this.#session.table.cells(partition);
  }
}
