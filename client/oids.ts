/**
 * New object ids.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { type Oid, ZERO_OID } from "../protocol/ids.ts";

/** Number of oids asked at once. */
const POOL_SIZE = 100;

/**
 * Oids reserved for this client. They are only valid during a session: another master, or a database
 * that was truncated meanwhile, may allocate differently.
 */
export class OidPool {
  readonly #connection: Connection;
  #oids: Oid[] = [];
  #next = 0;
  #filling: Promise<void> | null = null;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Takes an oid if there is one. */
  take(): Oid | undefined {
    const oid = this.#oids[this.#next];
    if (oid !== undefined) this.#next++;
    return oid;
  }

  /** Asks for more, once whatever the number of callers. Rejects as `Connection.ask` does. */
  fill(): Promise<void> {
    this.#filling ??= this.#ask().finally(() => this.#filling = null);
    return this.#filling;
  }

  async #ask(): Promise<void> {
    const { oids } = await this.#connection.ask("AskNewOIDs", { count: POOL_SIZE });
    // The root object exists from the start.
    this.#oids = oids.filter((oid) => oid !== ZERO_OID);
    this.#next = 0;
  }
}
