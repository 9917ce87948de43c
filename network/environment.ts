/**
 * Everything a node uses of the world outside of its own memory. Production gives the real clock and
 * network, a simulator virtual ones; the code of nodes cannot tell the difference.
 *
 * @module
 */

import type { Address } from "../protocol/nodes.ts";
import type { NetworkCounters } from "./counters.ts";
import type { Log } from "./log.ts";
import type { Tracer } from "./tracer.ts";
import type { Listener, Transport } from "./transport.ts";

/** Cancels the timer it was returned for; harmless afterwards and when repeated. */
export type CancelTimer = () => void;

/** Clock, timers, randomness, network and log of a node. */
export interface Environment {
  /** Wall clock, in seconds since the Unix epoch with a fraction. It may jump. */
  now(): number;
  /** Milliseconds since some fixed moment. Never goes back. */
  monotonic(): number;
  /** Calls back once after a delay in milliseconds. */
  setTimer(delay: number, callback: () => void): CancelTimer;
  /**
   * Calls back once all that can be done without waiting is done, so that what is sent meanwhile
   * leaves together. Without it, microtasks decide.
   */
  readonly defer?: (callback: () => void) => void;
  /** A random number in [0, 1). */
  random(): number;
  /**
   * Opens a stream to an address.
   *
   * @throws {Error} if it can't be opened, or with the signal's reason.
   */
  connect(address: Address, signal?: AbortSignal): Promise<Transport>;
  /**
   * Accepts streams at an address, port 0 meaning any free port.
   *
   * @throws {Error} if the address can't be listened to.
   */
  listen(address: Address, accept: (transport: Transport) => void): Promise<Listener>;
  /** Where a node writes what it does. */
  readonly log: Log;
  /** @internal Counts what connections do, for whoever wants to know. */
  readonly counters?: NetworkCounters;
  /** Collects what nodes do for transactions, if somebody wants to know. */
  readonly tracer?: Tracer;
}

/** Waits, on the environment's clock. Rejects with the signal's reason when it aborts. */
export function delay(env: Environment, milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = env.setTimer(milliseconds, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
