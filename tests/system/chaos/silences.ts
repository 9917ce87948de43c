/**
 * Measures how long clients can't commit.
 *
 * @module
 */

import type { Workload } from "../workload.ts";
import { Severity } from "./faults.ts";

/** Milliseconds between two looks. */
const PERIOD = 10;

/** Watches the commits of a workload. */
export class Silences implements Disposable {
  /** Longest times without a commit, in seconds, by what went wrong last. */
  readonly longest: Record<Severity, number> = {
    [Severity.SURVIVED]: 0,
    [Severity.PAUSE]: 0,
    [Severity.DOUBLE]: 0,
    [Severity.LONG]: 0,
  };
  /** What is going wrong. */
  cause: Severity = Severity.PAUSE;
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param progress is told of the number of commits now and then. */
  constructor(workload: Workload, progress: (commits: number) => void = () => {}) {
    let commits = 0;
    let last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (workload.acknowledged > commits) {
        const silence = (now - last) / 1000;
        this.longest[this.cause] = Math.max(this.longest[this.cause], silence);
        last = now;
        commits = workload.acknowledged;
        progress(commits);
      }
    }, PERIOD);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
