/**
 * Virtual time: it jumps from one event to the next.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { CancelTimer } from "../network/environment.ts";

interface Event {
  readonly time: number;
  /** Events of the same time happen in the order they were scheduled. */
  readonly order: number;
  /** `null` once cancelled. */
  callback: (() => void) | null;
}

/** 2026-11-22 10:15:00 UTC. */
export const START_TIME = 1795342500;

/** The virtual time passed before something happened that was waited for. */
export class TooLate extends Error {
  override readonly name = "TooLate";
}

/**
 * The only source of progress in a simulation.
 *
 * An event happens when nothing can go on without it: a turn of the real event loop ends when the
 * queue of microtasks is empty, and the code that is simulated has nothing else to wait for.
 */
export class VirtualClock {
  #now = 0;
  #scheduled = 0;
  #pending = 0;
  /** Binary heap. */
  readonly #events: Event[] = [];

  /** Milliseconds since the start. */
  get now(): number {
    return this.#now;
  }

  /** Number of events to come. */
  get pending(): number {
    return this.#pending;
  }

  /** Number of events so far, those to come included. */
  get scheduled(): number {
    return this.#scheduled;
  }

  /** Calls back after a delay in milliseconds. */
  after(delay: number, callback: () => void): CancelTimer {
    const time = this.#now + Math.max(0, delay);
    const event: Event = { time, order: this.#scheduled++, callback };
    this.#push(event);
    this.#pending++;
    return () => {
      if (event.callback !== null) this.#pending--;
      event.callback = null;
    };
  }

  /** Resolves after a delay in milliseconds. */
  delay(milliseconds: number): Promise<void> {
    return new Promise((resolve) => this.after(milliseconds, resolve));
  }

  /**
   * Makes time pass until a promise settles.
   *
   * @throws {TooLate} if that takes more than `limit` milliseconds, or can't happen any more.
   */
  async run<T>(promise: Promise<T>, limit: number, what: string): Promise<T> {
    let settled = false;
    const settle = () => {
      settled = true;
    };
    promise.then(settle, settle);
    const end = this.#now + limit;
    for (;;) {
      await turn();
      if (settled) return await promise;
      const event = this.#pop();
      if (event === null) throw new TooLate(`${what}: nothing happens any more`);
      if (event.time > end) {
        this.#push(event);
        throw new TooLate(`${what}: not within ${Math.round(limit / 1000)} s`);
      }
      this.#happen(event);
    }
  }

  /** Makes time pass until a condition holds, which is checked after each event. */
  async until(condition: () => boolean, limit: number, what: string): Promise<void> {
    const end = this.#now + limit;
    for (;;) {
      await turn();
      if (condition()) return;
      const event = this.#pop();
      if (event === null) throw new TooLate(`${what}: nothing happens any more`);
      if (event.time > end) {
        this.#push(event);
        throw new TooLate(`${what}: not within ${Math.round(limit / 1000)} s`);
      }
      this.#happen(event);
    }
  }

  #happen(event: Event): void {
    this.#now = event.time;
    this.#pending--;
    const { callback } = event;
    // So that cancelling has no effect any more.
    event.callback = null;
    callback?.();
  }

  #push(event: Event): void {
    const events = this.#events;
    let index = events.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = events[parent];
      if (above === undefined || before(above, event)) break;
      events[index] = above;
      index = parent;
    }
    events[index] = event;
  }

  /** The next event that was not cancelled. */
  #pop(): Event | null {
    for (;;) {
      const first = this.#events[0];
      const last = this.#events.pop();
      if (first === undefined || last === undefined) return null;
      if (first !== last) this.#sink(last);
      if (first.callback !== null) return first;
    }
  }

  /** Puts an event in the place of the first. */
  #sink(event: Event): void {
    const events = this.#events;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      let below = events[child];
      if (below === undefined) break;
      const right = events[child + 1];
      if (right !== undefined && before(right, below)) {
        child++;
        below = right;
      }
      if (before(event, below)) break;
      events[index] = below;
      index = child;
    }
    events[index] = event;
  }
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || a.time === b.time && a.order < b.order;
}

/** Everything that can happen without waiting happens. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
