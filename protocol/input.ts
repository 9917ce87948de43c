/**
 * MessagePack input. Nothing is allocated for a length that the input does not really have, and
 * byte strings are views of it.
 *
 * @module
 */

import { ProtocolError } from "./errors.ts";

/** Keeps every character, even one that marks the byte order in files. */
const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Most entries of a map: twice the objects of a transaction, and less than a `Map` can hold. */
export const MAX_ENTRIES = 1 << 22;

/** Reads values one after the other from the bytes of one message. */
export class Input {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Where the next value starts. */
  get position(): number {
    return this.#position;
  }

  /** Bytes that were not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#position;
  }

  #advance(size: number): number {
    const position = this.#position;
    if (position + size > this.#bytes.length) throw new ProtocolError("truncated message");
    this.#position = position + size;
    return position;
  }

  /** The format byte of the next value. */
  peek(): number {
    const format = this.#bytes[this.#position];
    if (format === undefined) throw new ProtocolError("truncated message");
    return format;
  }

  #unexpected(expected: string): ProtocolError {
    const format = this.peek().toString(16).padStart(2, "0");
    return new ProtocolError(`expected ${expected}, found MessagePack format 0x${format}`);
  }

  /** Skips a nil if there is one. */
  nil(): boolean {
    if (this.peek() !== 0xc0) return false;
    this.#position++;
    return true;
  }

  boolean(): boolean {
    const format = this.peek();
    if (format !== 0xc2 && format !== 0xc3) throw this.#unexpected("a boolean");
    this.#position++;
    return format === 0xc3;
  }

  /** An integer of any width that is exact as a number. */
  int(): number {
    const format = this.peek();
    if (format < 0x80) {
      this.#position++;
      return format;
    }
    if (format >= 0xe0) {
      this.#position++;
      return format - 0x100;
    }
    const view = this.#view;
    switch (format) {
      case 0xcc:
        return view.getUint8(this.#advance(2) + 1);
      case 0xcd:
        return view.getUint16(this.#advance(3) + 1);
      case 0xce:
        return view.getUint32(this.#advance(5) + 1);
      case 0xcf:
        return safe(view.getBigUint64(this.#advance(9) + 1));
      case 0xd0:
        return view.getInt8(this.#advance(2) + 1);
      case 0xd1:
        return view.getInt16(this.#advance(3) + 1);
      case 0xd2:
        return view.getInt32(this.#advance(5) + 1);
      case 0xd3:
        return safe(view.getBigInt64(this.#advance(9) + 1));
      default:
        throw this.#unexpected("an integer");
    }
  }

  float(): number {
    if (this.peek() !== 0xcb) throw this.#unexpected("a float64");
    return this.#view.getFloat64(this.#advance(9) + 1);
  }

  /** An unsigned 64-bit id. */
  id(): bigint {
    if (this.peek() !== 0xc4 || this.#bytes[this.#position + 1] !== 8) {
      throw this.#unexpected("an id of 8 bytes");
    }
    return this.#view.getBigUint64(this.#advance(10) + 2);
  }

  #binLength(): number {
    const view = this.#view;
    switch (this.peek()) {
      case 0xc4:
        return view.getUint8(this.#advance(2) + 1);
      case 0xc5:
        return view.getUint16(this.#advance(3) + 1);
      case 0xc6:
        return view.getUint32(this.#advance(5) + 1);
      default:
        throw this.#unexpected("a byte string");
    }
  }

  /** A view of the input. */
  bin(): Uint8Array {
    const length = this.#binLength();
    const position = this.#advance(length);
    return this.#bytes.subarray(position, position + length);
  }

  text(): string {
    return textDecoder.decode(this.bin());
  }

  /** The length of an array; its items follow. */
  array(): number {
    const format = this.peek();
    const view = this.#view;
    let length: number;
    if (format >= 0x90 && format <= 0x9f) {
      this.#position++;
      length = format & 0x0f;
    } else if (format === 0xdc) length = view.getUint16(this.#advance(3) + 1);
    else if (format === 0xdd) length = view.getUint32(this.#advance(5) + 1);
    else throw this.#unexpected("an array");
    if (length > MAX_ENTRIES) throw new ProtocolError(`array of more than ${MAX_ENTRIES} items`);
    // Every item takes a byte at least.
    if (length > this.remaining) throw new ProtocolError("truncated array");
    return length;
  }

  /** The number of entries of a map; keys and values follow alternately. */
  map(): number {
    const format = this.peek();
    const view = this.#view;
    let length: number;
    if (format >= 0x80 && format <= 0x8f) {
      this.#position++;
      length = format & 0x0f;
    } else if (format === 0xde) length = view.getUint16(this.#advance(3) + 1);
    else if (format === 0xdf) length = view.getUint32(this.#advance(5) + 1);
    else throw this.#unexpected("a map");
    if (length * 2 > this.remaining) throw new ProtocolError("truncated map");
    if (length > MAX_ENTRIES) throw new ProtocolError(`map of more than ${MAX_ENTRIES} entries`);
    return length;
  }

  /** The number of a member of the enumeration of ext type `type`, among `count` members. */
  member(type: number, count: number): number {
    if (this.peek() !== 0xd4 || this.#bytes[this.#position + 1] !== type) {
      throw this.#unexpected(`an enumeration of type ${type}`);
    }
    const value = this.#view.getUint8(this.#advance(3) + 2);
    if (value >= count) throw new ProtocolError(`no member ${value} in enumeration ${type}`);
    return value;
  }

  /** Any ext of one byte. */
  anyMember(): { type: number; value: number } {
    const position = this.#advance(3);
    return { type: this.#view.getInt8(position + 1), value: this.#view.getUint8(position + 2) };
  }

  /** Fails unless everything was read. */
  end(): void {
    if (this.remaining > 0) throw new ProtocolError(`${this.remaining} bytes too many`);
  }
}

function safe(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new ProtocolError(`integer out of range: ${value}`);
  return number;
}
