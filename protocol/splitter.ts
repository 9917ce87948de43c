/**
 * Cuts a stream of bytes into messages, without decoding them.
 *
 * @module
 */

import { ProtocolError } from "./errors.ts";

/** Longest byte string, in bytes, as in all implementations. */
export const MAX_SCALAR = 64 << 20;
/**
 * Longest message, in bytes: the longest byte string and as much again for lists of oids, which are
 * limited to 2^21 items of 10 bytes.
 */
export const MAX_MESSAGE = 2 * MAX_SCALAR;
/** Longest message of a peer that is not identified yet, in bytes. */
export const MAX_UNIDENTIFIED_MESSAGE = 1 << 16;
/** Deepest nesting; no message needs half of it. */
const MAX_DEPTH = 16;

const NOTHING = new Uint8Array(0);

/**
 * Splits a stream of messages. Each byte is looked at once, however the stream is cut into chunks,
 * and no more memory is used than a small multiple of what was received.
 */
export class MessageSplitter {
  /** Longest message accepted, in bytes. */
  limit = MAX_UNIDENTIFIED_MESSAGE;

  #buffer: Uint8Array = NOTHING;
  /** Whether the buffer was allocated here, so that bytes may be appended to it. */
  #owned = false;
  /** End of what was received. */
  #end = 0;
  /** Start of the next message. */
  #start = 0;
  /** Start of the next value to scan; beyond the end while a byte string is incomplete. */
  #scan = 0;
  #inMessage = false;
  /** How many values are still to scan at each level of nesting of the message. */
  readonly #levels: number[] = [];
  /** Number of values inside the value whose head was read last. */
  #items = 0;
  /** Number of bytes after that head. */
  #payload = 0;

  /** Bytes received that are not part of a message returned by `next`. */
  get pending(): number {
    return this.#end - this.#start;
  }

  /** Bytes of memory that hold them: a small multiple of what was received. */
  get allocated(): number {
    return this.#buffer.length;
  }

  /** Adds what was received. The chunk must not be modified afterwards. */
  push(chunk: Uint8Array): void {
    const pending = this.#end - this.#start;
    if (pending === 0) {
      this.#rebase(chunk, false);
      this.#end = chunk.length;
      return;
    }
    if (!this.#owned || this.#end + chunk.length > this.#buffer.length) {
      const grown = new Uint8Array(2 * (pending + chunk.length));
      grown.set(this.#buffer.subarray(this.#start, this.#end));
      this.#rebase(grown, true);
      this.#end = pending;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Continues in another buffer, at whose beginning the next message starts. */
  #rebase(buffer: Uint8Array, owned: boolean): void {
    this.#buffer = buffer;
    this.#owned = owned;
    this.#scan -= this.#start;
    this.#start = 0;
  }

  /**
   * The bytes of the next complete message, as a view, or `null` if more must be received.
   *
   * @throws {ProtocolError} if the stream can't be one of messages, or a message exceeds a limit.
   */
  next(): Uint8Array | null {
    const levels = this.#levels;
    if (!this.#inMessage) {
      if (this.#start === this.#end) return null;
      if (this.#buffer[this.#start] !== 0x93) {
        throw new ProtocolError("a message is an array of 3 items");
      }
      this.#inMessage = true;
      levels.push(1);
    }
    while (levels.length > 0) {
      const head = this.#readHead();
      if (head === 0) return null;
      this.#scan += head + this.#payload;
      // Every item inside takes a byte at least: what can't fit is refused before it arrives.
      if (this.#scan - this.#start + this.#items > this.limit) {
        throw new ProtocolError(`message longer than ${this.limit} bytes`);
      }
      levels.push((levels.pop() ?? 0) - 1);
      if (this.#items > 0) {
        if (levels.length === MAX_DEPTH) throw new ProtocolError("message nested too deeply");
        levels.push(this.#items);
      }
      while (levels.at(-1) === 0) levels.pop();
    }
    if (this.#scan > this.#end) return null;
    const message = this.#buffer.subarray(this.#start, this.#scan);
    this.#start = this.#scan;
    this.#inMessage = false;
    // An idle connection does not hold the memory of its last message.
    if (this.#start === this.#end) {
      this.#rebase(NOTHING, false);
      this.#end = 0;
    }
    return message;
  }

  /** Reads the head of the next value. Returns its length, 0 if it has not all arrived. */
  #readHead(): number {
    this.#items = 0;
    this.#payload = 0;
    const format = this.#buffer[this.#scan];
    if (this.#scan >= this.#end || format === undefined) return 0;
    if (format < 0x80 || format >= 0xe0) return 1;
    if (format < 0xa0) {
      const count = format & 0x0f;
      this.#items = format < 0x90 ? 2 * count : count;
      return 1;
    }
    switch (format) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        return 1;
      case 0xc4: // bin 8, 16, 32
        return this.#sized(1, false, 1);
      case 0xc5:
        return this.#sized(2, false, 1);
      case 0xc6:
        return this.#sized(4, false, 1);
      case 0xcc: // integers
      case 0xd0:
        return this.#fixed(2);
      case 0xcd:
      case 0xd1:
      case 0xd4: // enumeration
        return this.#fixed(3);
      case 0xce:
      case 0xd2:
        return this.#fixed(5);
      case 0xcb: // float 64
      case 0xcf:
      case 0xd3:
        return this.#fixed(9);
      case 0xdc: // array 16, 32
        return this.#sized(2, true, 1);
      case 0xdd:
        return this.#sized(4, true, 1);
      case 0xde: // map 16, 32
        return this.#sized(2, true, 2);
      case 0xdf:
        return this.#sized(4, true, 2);
      default:
        throw new ProtocolError(`MessagePack format 0x${format.toString(16)} is not allowed`);
    }
  }

  #fixed(length: number): number {
    this.#payload = length - 1;
    return 1;
  }

  /** A head that ends with a length of `width` bytes, of items or of bytes. */
  #sized(width: number, container: boolean, factor: number): number {
    if (this.#scan + 1 + width > this.#end) return 0;
    let length = 0;
    for (let i = 1; i <= width; i++) {
      length = length * 256 + (this.#buffer[this.#scan + i] ?? 0);
    }
    if (container) this.#items = length * factor;
    else {
      if (length > MAX_SCALAR) {
        throw new ProtocolError(`byte string longer than ${MAX_SCALAR} bytes`);
      }
      this.#payload = length;
    }
    return 1 + width;
  }
}
