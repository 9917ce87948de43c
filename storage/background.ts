/**
 * Work on the database that nobody waits for, done in slices.
 *
 * @module
 */

import type { LowPriority } from "./low_priority.ts";
import type { Watch } from "./transactions.ts";

/** A kind of work. */
export interface Job {
  /** Does a little, and tells whether there was anything to do. */
  slice(): Promise<boolean>;
}

/** Does what there is to do during one operation, the first kinds of work first. */
export class Background {
  readonly #jobs: readonly Job[];
  readonly #priority: LowPriority;
  readonly #watch: Watch;
  #running = false;
  #again = false;
  #stopped = false;

  constructor(jobs: readonly Job[], priority: LowPriority, watch: Watch) {
    this.#jobs = jobs;
    this.#priority = priority;
    this.#watch = watch;
  }

  /** There may be something to do. */
  wake(): void {
    this.#again = true;
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#watch(this.#run().finally(() => this.#running = false));
  }

  /** The operation has ended: no other slice begins. */
  stop(): void {
    this.#stopped = true;
  }

  async #run(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      while (await this.#slice());
    }
  }

  async #slice(): Promise<boolean> {
    await this.#priority.turn();
    for (const job of this.#jobs) {
      if (this.#stopped) return false;
      if (await job.slice()) return true;
    }
    return false;
  }
}
