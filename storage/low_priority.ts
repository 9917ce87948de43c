/**
 * Work that nobody waits for: it is done in small slices, each when all that had arrived is handled.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";

/** Milliseconds that a slice may take as long as no client asks for anything. */
const SLICE = 0.5;

/** Lets clients come first. */
export class LowPriority {
  readonly #env: Environment;
  #requests = 0;
  #seen = 0;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** A client asked for something. */
  clientAsked(): void {
    this.#requests++;
  }

  /**
   * Waits until it is time for a slice.
   *
   * @returns when the slice has to end, on the monotonic clock; one step may be done in any case.
   */
  async turn(): Promise<number> {
    await new Promise<void>((resolve) => (this.#env.defer ?? queueMicrotask)(resolve));
    const quiet = this.#requests === this.#seen;
    this.#seen = this.#requests;
    return this.#env.monotonic() + (quiet ? SLICE : 0);
  }
}
