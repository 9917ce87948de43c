/**
 * What log databases contain.
 *
 * @module
 */

/** Something a node said. */
export interface TextRecord {
  readonly kind: "text";
  readonly date: number;
  readonly node: string;
  readonly level: number;
  readonly message: string;
}

/** A message that a node sent or received. */
export interface PacketRecord {
  readonly kind: "packet";
  readonly date: number;
  readonly node: string;
  readonly id: number;
  readonly code: number;
  /** `> ` sent or `< ` received, and the peer. */
  readonly peer: string;
  /** MessagePack of the array of arguments, `null` if it was too big to be kept. */
  readonly body: Uint8Array | null;
}

/** A row of a log database. */
export type LogRecord = TextRecord | PacketRecord;
