/**
 * What was received and is not written yet: a source is not read faster than the database writes.
 *
 * @module
 */

import type { Connection } from "../../network/connection.ts";

/**
 * Bytes received and not written yet before the source is not read any more, until half of them are
 * written. It is not much so that this node does not spend much time with them in one go.
 */
const MAX_UNWRITTEN = 1 << 19;

/** Pauses a connection while too much is waiting. */
export class Unwritten {
  #bytes = 0;
  #paused = false;

  constructor(readonly connection: Connection) {}

  /** Something was received. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= MAX_UNWRITTEN || this.#paused) return;
    this.#paused = true;
    this.connection.pause();
  }

  /** It is written, or never will be. */
  remove(bytes: number): void {
    this.#bytes -= bytes;
    if (!this.#paused || this.#bytes > MAX_UNWRITTEN / 2) return;
    this.#paused = false;
    this.connection.resume();
  }
}
