/**
 * The back-off of the protocol: at most one connection per second to a given address.
 *
 * @module
 */

import { type Address, formatAddress } from "../protocol/nodes.ts";
import { delay, type Environment } from "./environment.ts";

/** Milliseconds between the starts of two attempts to connect to the same address. */
export const RECONNECTION_DELAY = 1000;

/**
 * Milliseconds between the first two attempts of those who look for the primary master. When it is
 * lost, not all masters notice at the same moment, and nobody should wait for long until they agree.
 */
export const FIRST_RETRY_DELAY = 20;
/** The last attempt to connect to an address. */
interface Attempt {
  /** When the next one may start. */
  readonly next: number;
  /** How long it has to wait for that. */
  readonly delay: number;
}

/** Spaces out the attempts to connect to each address. */
export class ConnectionLimiter {
  readonly #env: Environment;
  readonly #firstDelay: number;
  readonly #attempts = new Map<string, Attempt>();

  /**
   * @param firstDelay milliseconds between the first two attempts, doubled for each of the following
   * until it is {@linkcode RECONNECTION_DELAY}.
   */
  constructor(env: Environment, firstDelay: number = RECONNECTION_DELAY) {
    this.#env = env;
    this.#firstDelay = firstDelay;
  }

  /** Waits until an attempt may start, and counts it. Rejects with the signal's reason. */
  async turn(address: Address, signal?: AbortSignal): Promise<void> {
    const key = formatAddress(address);
    const now = this.#env.monotonic();
    const last = this.#attempts.get(key);
    const wait = last === undefined
      ? this.#firstDelay
      : Math.min(2 * last.delay, RECONNECTION_DELAY);
    const start = Math.max(now, last?.next ?? 0);
    this.#attempts.set(key, { next: start + wait, delay: wait });
    if (start > now) await delay(this.#env, start - now, signal);
  }

  /** Milliseconds until an attempt may start. */
  wait(address: Address): number {
    const next = this.#attempts.get(formatAddress(address))?.next ?? 0;
    return Math.max(0, next - this.#env.monotonic());
  }

  /**
   * A connection that was found in the end is lost: the search is as eager as at first. Not if it was
   * a short one, or else a peer that accepts and closes would be asked without pause.
   *
   * @param since when it was accepted, on the monotonic clock.
   */
  restart(since: number): void {
    if (this.#env.monotonic() - since >= RECONNECTION_DELAY) this.#attempts.clear();
  }

  /** The peer asked to come back later: even an eager search leaves it a second from the last attempt. */
  postpone(address: Address): void {
    const key = formatAddress(address);
    const last = this.#attempts.get(key);
    if (last === undefined) return;
    const next = last.next - last.delay + RECONNECTION_DELAY;
    this.#attempts.set(key, { next, delay: RECONNECTION_DELAY });
  }

  /** Allows the next attempt to an address at once. */
  waive(address: Address): void {
    this.#attempts.delete(formatAddress(address));
  }
}
