/**
 * What is done for another storage: one request after the other, slowly enough for it to follow, and
 * only when clients ask for nothing.
 *
 * @module
 */

import type { Connection } from "../../network/connection.ts";
import { violation } from "../failure.ts";
import type { LowPriority } from "../low_priority.ts";

/** Requests of one storage that may wait. */
const MAX_WAITING = 64;

/** The requests of one connection. */
export class Feed {
  readonly connection: Connection;
  readonly #priority: LowPriority;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};

  constructor(connection: Connection, priority: LowPriority) {
    this.connection = connection;
    this.#priority = priority;
    connection.onDrained = () => this.#wake();
  }

  /**
   * Executes something that never rejects, after what was asked before.
   *
   * @throws {Refusal} if too much is asked.
   */
  run(task: () => Promise<void>): void {
    if (this.#waiting >= MAX_WAITING) throw violation(`more than ${MAX_WAITING} requests at once`);
    this.#waiting++;
    this.#last = this.#last.then(async () => {
      if (this.connection.open) await task();
      this.#waiting--;
    });
  }

  /**
   * Waits for a slice, and until the peer has read enough. See `LowPriority.turn`.
   *
   * @returns `null` if there is nobody to work for any more.
   */
  async turn(): Promise<number | null> {
    while (this.connection.open && this.connection.full) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (!this.connection.open) return null;
    const end = await this.#priority.turn();
    return this.connection.open ? end : null;
  }

  /** The connection is gone. */
  closed(): void {
    this.#wake();
  }
}
