/**
 * Time for tests.
 *
 * @module
 */

/** 2026-11-22 10:15:00. */
export const START_TIME = 1795342500;

/** A clock that only moves when told to, with its timers. */
export class VirtualClock {
  wall = START_TIME;
  #now = 0;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();

  monotonic = () => this.#now;

  setTimer = (delay: number, callback: () => void) => {
    const timer = { at: this.#now + delay, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  };

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    this.wall += milliseconds / 1000;
    for (const timer of [...this.#timers]) {
      if (timer.at <= this.#now && this.#timers.delete(timer)) timer.callback();
    }
  }
}
