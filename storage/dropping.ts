/**
 * Deletion of the partitions that are not on this node any more.
 *
 * @module
 */

import type { Log } from "../network/log.ts";
import type { Job } from "./background.ts";
import type { Database } from "./database/database.ts";

/** Deletes discarded partitions, the first one first. */
export class Dropping implements Job {
  readonly #log: Log;
  readonly #database: Database;
  #partition: number | null = null;
  #rows = 0;

  constructor(log: Log, database: Database) {
    this.#log = log;
    this.#database = database;
  }

  async slice(): Promise<boolean> {
    const { cells } = this.#database;
    const [partition] = cells.discarded;
    if (partition === undefined) return false;
    if (partition !== this.#partition) this.#rows = 0;
    this.#partition = partition;
    const rows = await cells.dropSlice(partition);
    if (rows > 0 && this.#rows === 0) {
      this.#log.info(`partition ${partition} is not on this node any more: deleting its data`);
    }
    this.#rows += rows;
    if (rows === 0 && this.#rows > 0) {
      this.#log.info(`partition ${partition}: ${this.#rows} rows are deleted`);
    }
    return true;
  }
}
