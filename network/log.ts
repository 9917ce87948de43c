/**
 * Where nodes write what they do. Production logs are in `node/`; a client or a test may give its own.
 *
 * @module
 */

import type { Nid } from "../protocol/nodes.ts";

/** Severity of a record, with the numbers used in log databases. */
export enum LogLevel {
  DEBUG = 10,
  INFO = 20,
  WARNING = 30,
  ERROR = 40,
  CRITICAL = 50,
}

/** A message that was sent or received. */
export interface PacketRecord {
  /** Whether it was sent; else it was received. */
  readonly sent: boolean;
  /** What an answer has in common with its request. */
  readonly id: number;
  /** Which message it is. */
  readonly code: number;
  /** Name and address of the peer, as `S1 (127.0.0.1:20000)`. */
  readonly peer: string;
  /** MessagePack of the array of arguments. Only valid during the call: copy to keep. */
  readonly body: Uint8Array;
}

/** Receiver of log records. */
export interface Log {
  /** Records what developers may want to know. */
  debug(message: string): void;
  /** Records what operators may want to know. */
  info(message: string): void;
  /** Records what operators should know. */
  warning(message: string): void;
  /** Records what operators must know. */
  error(message: string): void;
  /** Records a message; `null` when nobody keeps them, so that nothing is prepared in vain. */
  readonly packet: ((record: PacketRecord) => void) | null;
  /** Tells who is writing from now on. */
  identify(cluster: string, nid: Nid | null): void;
  /** Writes what is kept in memory. */
  flush(): void;
}

/** A log that keeps nothing. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warning() {},
  error() {},
  packet: null,
  identify() {},
  flush() {},
};

/** The text of anything that was thrown, with its causes. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${errorText(error.cause)}`;
}
