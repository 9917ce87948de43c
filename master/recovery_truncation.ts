/**
 * Truncation, as far as recovery sees to it that all storages know the order.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import { hexId, type Tid } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import type { Cluster } from "./cluster.ts";

/** What a storage has saved. */
export type Report = AnswerArgsOf<"AskRecovery">;

/** The order to truncate, which may have reached only some storages. */
export class RecoveryTruncation {
  readonly #cluster: Cluster;
  readonly #ordered: Tid | null;
  /** Storages that were told to truncate, and after what. */
  readonly #told = new Map<Node, Tid>();

  /** @param ordered after which transaction this master has ordered to truncate. */
  constructor(cluster: Cluster, ordered: Tid | null) {
    this.#cluster = cluster;
    this.#ordered = ordered;
  }

  lost(storage: Node): void {
    this.#told.delete(storage);
  }

  /**
   * The truncation to perform: the order may have reached only some of the storages that have the
   * last table. Those that only have outdated cells do not matter: they replicate afterwards.
   */
  tid(reports: ReadonlyMap<Node, Report>): Tid | null {
    const { nodes, table } = this.#cluster;
    let truncateTid = this.#ordered;
    for (const nid of table.readableNodes()) {
      const node = nodes.get(nid);
      const report = node && reports.get(node);
      if (report?.ptid !== table.ptid) continue;
      const tid = report?.truncateTid ?? null;
      if (tid !== null && (truncateTid === null || tid < truncateTid)) truncateTid = tid;
    }
    return truncateTid;
  }

  /** Tells storages that missed the order, and asks them again; returns whether there were some. */
  tell(tid: Tid, reports: ReadonlyMap<Node, Report>, ask: (storage: Node) => void): boolean {
    const { log } = this.#cluster.env;
    const late = [...reports].filter(([, { truncateTid }]) =>
      truncateTid === null || truncateTid > tid
    );
    for (const [storage] of late) {
      if (this.#told.get(storage) === tid) {
        log.error(`${storage} does not remember that it must truncate`);
        storage.connection?.close();
        continue;
      }
      this.#told.set(storage, tid);
      log.info(`${storage} is told to truncate after ${hexId(tid)}`);
      storage.connection?.notify("Truncate", { tid });
      ask(storage);
    }
    return late.length > 0;
  }
}
