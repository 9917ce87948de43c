/**
 * Whether storages have the ids that they use, as far as recovery can tell.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import { hasCell, notOwner, type OlderTables } from "./older_tables.ts";
import { FIRST_VERSION } from "./partition_table.ts";
import type { Report } from "./recovery_truncation.ts";
import type { TableSearch } from "./table_search.ts";

/** What storages have told. */
export interface Saved {
  readonly reports: ReadonlyMap<Node, Report>;
  readonly tables: OlderTables;
  readonly search: TableSearch;
  /** Asks a storage for its table, after which it is to be examined again. */
  askTable(storage: Node): void;
}

/** Looks for storages whose id belongs to another one. */
export class RecoveryIds {
  readonly #cluster: Cluster;
  readonly #saved: Saved;
  /** Ids that were taken away from the only storages that had them. */
  readonly #ownerless = new Set<Nid>();

  constructor(cluster: Cluster, saved: Saved) {
    this.#cluster = cluster;
    this.#saved = saved;
  }

  /** Examines a storage when something is learnt about it, or another table is loaded. */
  examine(storage: Node): void {
    this.#evictBlank(storage);
    this.#prove(storage);
  }

  /**
   * A storage with cells shows, by its own table, that they are its own, and what it has not heard of. It
   * is asked even if it has the version that is loaded: if the only one that had saved that was not
   * there at the next start, another table got the same version.
   */
  #prove(storage: Node): void {
    const { env, table, temporaryIds, unproven } = this.#cluster;
    const { reports, search } = this.#saved;
    const { nid } = storage;
    const version = reports.get(storage)?.ptid ?? 0;
    if (!search.loaded || nid === null || version === 0) return;
    // The id may be another one's by now, which has saved a later table.
    if (!table.hasNode(nid)) return temporaryIds.doubt(storage);
    const unique = version === FIRST_VERSION || search.own && !unproven.has(nid);
    if (version > search.version || version === search.version && unique) {
      return void unproven.delete(nid);
    }
    const told = this.#saved.tables.of(storage);
    if (told === undefined) return this.#saved.askTable(storage);
    if (told === null) return;
    if (!unproven.has(nid) || hasCell(told, nid)) {
      unproven.delete(nid);
      temporaryIds.believe(storage);
    } else {
      env.log.warning(notOwner(storage));
      this.#ownerless.add(nid);
      temporaryIds.displace(storage);
    }
  }

  /** Whether an id may be nobody's: who used it has never heard of its cells. */
  isOwnerless(nid: Nid): boolean {
    return this.#ownerless.has(nid);
  }

  /** Whether a storage is empty although the partition table gives it cells. */
  isBlank(storage: Node): boolean {
    const { table } = this.#cluster;
    return this.#saved.search.loaded && storage.nid !== null && table.hasNode(storage.nid) &&
      this.#saved.reports.get(storage)?.ptid === null;
  }

  /**
   * A storage without table that was given, when the table was not known, an id that turns out to be
   * another one's, must get another id. It does when it comes back. One that asked for that id itself
   * lost its database: nothing starts with it unless an operator says so.
   */
  #evictBlank(storage: Node): void {
    if (!this.isBlank(storage)) return;
    const { env, temporaryIds } = this.#cluster;
    if (temporaryIds.has(storage)) {
      env.log.warning(`${storage} is empty, but its id belongs to a node of the partition table`);
      temporaryIds.displace(storage);
    } else {
      env.log.warning(
        `${storage} is empty, but the partition table gives it data: its database is another one, ` +
          "or lost. The cluster does not start with it, unless an operator orders the start",
      );
    }
  }
}
