/**
 * Requests that can't be answered yet.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { type Command, Refusal } from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";

/**
 * Tries to answer a request; returns whether it did. It may instead throw a `Refusal` to be sent to
 * the peer.
 */
export type Attempt = () => boolean;

interface Entry {
  readonly from: Command;
  readonly attempt: Attempt;
}

/** Requests of one connection that may wait at the same time. */
export const MAX_DELAYED = 10_000;

/** Requests that wait for some event, in the order of arrival. */
export class DelayedRequests {
  readonly #entries = new Set<Entry>();
  /** How many of them each connection has. */
  readonly #counts = new Map<Connection, number>();
  #kicking = false;
  #restart = false;

  /** Number of requests that wait. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Answers now if possible, later otherwise.
   *
   * @throws {Refusal} if too many requests of that connection wait.
   */
  submit(from: Command, attempt: Attempt): void {
    if (attempt()) return;
    const { connection } = from;
    const count = this.#counts.get(connection) ?? 0;
    if (count >= MAX_DELAYED) {
      throw new Refusal(ErrorCode.PROTOCOL_ERROR, `more than ${MAX_DELAYED} requests wait`);
    }
    this.#counts.set(connection, count + 1);
    this.#entries.add({ from, attempt });
  }

  /** Something happened: tries again, in the order of arrival. Those whose peer left are dropped. */
  kick(): void {
    // An attempt may be what makes an earlier one possible: start over.
    this.#restart = true;
    if (this.#kicking) return;
    this.#kicking = true;
    try {
      while (this.#restart) {
        this.#restart = false;
        for (const entry of this.#entries) {
          if (!this.#settle(entry)) continue;
          this.#remove(entry);
          if (this.#restart) break;
        }
      }
    } finally {
      this.#kicking = false;
    }
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry);
    const { connection } = entry.from;
    const count = (this.#counts.get(connection) ?? 0) - 1;
    if (count > 0) this.#counts.set(connection, count);
    else this.#counts.delete(connection);
  }

  #settle({ from, attempt }: Entry): boolean {
    if (!from.connection.open) return true;
    try {
      return attempt();
    } catch (error) {
      // The event is another peer's: what fails here must only harm the peer that waited.
      const code = error instanceof Refusal ? error.code : ErrorCode.PROTOCOL_ERROR;
      from.error(code, error instanceof Error ? error.message : String(error));
      if (code === ErrorCode.PROTOCOL_ERROR || code === ErrorCode.NOT_READY) {
        from.connection.abort();
      }
      return true;
    }
  }

  /** Drops all. */
  clear(): void {
    this.#entries.clear();
    this.#counts.clear();
  }
}
