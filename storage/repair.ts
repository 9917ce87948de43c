/**
 * Deletion of data that nothing refers to, which crashes leave.
 *
 * @module
 */

import type { Log } from "../network/log.ts";
import type { Job } from "./background.ts";
import type { Database, DataId } from "./database/database.ts";

/** The repair that an operator asked for. Kept until it is done, over operations and masters. */
export class Repair implements Job {
  readonly #log: Log;
  readonly #database: Database;
  #dryRun: boolean | null = null;
  #position: DataId = -1n;
  #found = 0;

  constructor(log: Log, database: Database) {
    this.#log = log;
    this.#database = database;
  }

  /**
   * `NotifyRepair`. Refused if another repair is not finished.
   *
   * @param dryRun only to count.
   */
  order(dryRun: boolean): void {
    if (this.#dryRun !== null) {
      return this.#log.error("repair: the previous one is not finished, another one is refused");
    }
    this.#log.info(`repair${dryRun ? " (dry run)" : ""}: looking for data that nothing refers to`);
    this.#dryRun = dryRun;
    this.#position = -1n;
    this.#found = 0;
  }

  async slice(): Promise<boolean> {
    if (this.#dryRun === null) return false;
    const { cells } = this.#database;
    const { orphans, last } = await cells.orphans(this.#position);
    this.#found += orphans.length;
    if (!this.#dryRun) await cells.deleteOrphans(orphans);
    if (last !== null) this.#position = last;
    else {
      const what = `nothing referred to ${this.#found} rows of data`;
      this.#log.info(`repair: ${what}${this.#dryRun ? "" : ", which are deleted"}`);
      this.#dryRun = null;
    }
    return true;
  }
}
