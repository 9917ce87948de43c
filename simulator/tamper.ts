/**
 * Changing messages on their way.
 *
 * @module
 */

import { decodeHead, HANDSHAKE } from "../protocol/codec.ts";
import { MessageSplitter } from "../protocol/splitter.ts";
import type { Medium, StreamEnd } from "./stream.ts";

/** A message on its way, from one host to another. */
export interface PassingMessage {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly bytes: Uint8Array;
  /** Messages of the same stream that were kept back before. */
  readonly held: Uint8Array[];
}

/** What arrives in the place of a message. */
export type ChangeMessage = (message: PassingMessage) => Uint8Array[];

/** Makes each whole message pass through a function. */
export function tamperMessages(change: ChangeMessage): Medium["tamper"] {
  const directions = new WeakMap<StreamEnd, Direction>();
  return (end, bytes) => {
    let direction = directions.get(end);
    if (direction === undefined) directions.set(end, direction = new Direction());
    return direction.pass(end, bytes, change);
  };
}

/** One direction of a stream. */
class Direction {
  readonly #splitter = new MessageSplitter();
  readonly #held: Uint8Array[] = [];
  #handshake = 0;

  pass(end: StreamEnd, bytes: Uint8Array, change: ChangeMessage): Uint8Array[] {
    const skipped = Math.min(HANDSHAKE.length - this.#handshake, bytes.length);
    this.#handshake += skipped;
    const passed = skipped > 0 ? [bytes.subarray(0, skipped)] : [];
    this.#splitter.push(bytes.subarray(skipped));
    for (;;) {
      const message = this.#splitter.next();
      if (message === null) return passed;
      const { codec: { name } } = decodeHead(message);
      const { from: { host: from }, remote: { host: to } } = end;
      passed.push(...change({ name, from, to, bytes: message, held: this.#held }));
    }
  }
}
