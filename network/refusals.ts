/**
 * Telling once that a peer is refused: it will try again, every second, for ever.
 *
 * @module
 */

import type { Log } from "./log.ts";

/** Hosts and reasons that are remembered at most; beyond it, all may be told again. */
const MAX_REMEMBERED = 1000;

/** Records refused peers: as a warning the first time for each host and reason, then for debugging. */
export class RefusalLog {
  readonly #log: Log;
  readonly #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * @param host whom it is about, without the port, which is another one each time.
   * @param peer whom it is about, in full.
   */
  add(host: string, peer: string, reason: string): void {
    const key = `${host} ${reason}`;
    const message = `refused ${peer}: ${reason}`;
    if (this.#told.has(key)) return this.#log.debug(message);
    if (this.#told.size >= MAX_REMEMBERED) this.#told.clear();
    this.#told.add(key);
    this.#log.warning(`${message} (told once for this host)`);
  }
}
