/**
 * A stream of bytes between two nodes, whatever carries it: TCP, TLS or memory.
 *
 * @module
 */

import type { Address } from "../protocol/nodes.ts";

/** Who reads a transport. Calls are never made from inside a call to the transport. */
export interface TransportReceiver {
  /** Bytes arrived. The receiver owns the chunk and may keep views of it. */
  received(chunk: Uint8Array): void;
  /** `buffered` went back below {@linkcode LOW_WATER_MARK} after having been above it. */
  drained(): void;
  /** Nothing will arrive any more; called once, after everything received before. */
  closed(reason: Error | null): void;
}

/** A `drained` call is owed once the output queue got as long as this, in bytes. */
export const HIGH_WATER_MARK = 1 << 20;
/** The length, in bytes, at which the output queue is considered to be drained. */
export const LOW_WATER_MARK = 1 << 18;

/** One end of an open stream. */
export interface Transport {
  /** The other end, `null` if it has no address. */
  readonly remote: Address | null;
  /** Bytes given to `write` that the system has not taken yet. */
  readonly buffered: number;
  /** Starts reading. Must be called once, before anything else. */
  start(receiver: TransportReceiver): void;
  /** Queues bytes; the chunk belongs to the transport from now on. Ignored once closed. */
  write(chunk: Uint8Array): void;
  /** Stops reading, so that the sender ends up waiting. */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /** Sends what is queued (for a bounded time), then closes. Nothing more is read. */
  end(): void;
  /** Closes at once; what is queued is lost. */
  close(): void;
}

/** Accepts transports until closed. */
export interface Listener {
  /** The real address, with the port that was given by the system. */
  readonly address: Address;
  /** Accepts no more. */
  close(): void;
}
