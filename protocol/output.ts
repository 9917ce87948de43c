/**
 * MessagePack output: the few formats of the protocol, always in their shortest form.
 *
 * @module
 */

const FIRST_SIZE = 1024;
const MAX_SIZE = 1 << 18;
/** Longer byte strings are passed on as they are instead of being copied. */
const COPY_LIMIT = 1 << 14;

const textEncoder = new TextEncoder();

/** Encodes values one after the other into chunks of bytes. */
export class Output {
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #chunksLength = 0;
  #buffer = new Uint8Array(FIRST_SIZE);
  #view = new DataView(this.#buffer.buffer);
  #start = 0;
  #end = 0;

  /** Bytes encoded and not taken yet. */
  get length(): number {
    return this.#chunksLength + this.#end - this.#start;
  }

  /** Removes what was encoded. The chunks belong to the caller. */
  take(): Uint8Array<ArrayBuffer>[] {
    this.#cut();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#chunksLength = 0;
    // Nothing can be rolled back any more, and old buffers are not to be kept for it.
    this.begin();
    return chunks;
  }

  /** Like {@linkcode take}, in one chunk. */
  takeBytes(): Uint8Array<ArrayBuffer> {
    const length = this.length;
    const chunks = this.take();
    if (chunks.length === 1 && chunks[0] !== undefined) return chunks[0];
    const bytes = new Uint8Array(length);
    let position = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, position);
      position += chunk.length;
    }
    return bytes;
  }

  #saved = {
    chunks: 0,
    chunksLength: 0,
    buffer: this.#buffer,
    view: this.#view,
    start: 0,
    end: 0,
  };

  /** Marks the beginning of something that may fail to be encoded. */
  begin(): void {
    const saved = this.#saved;
    saved.chunks = this.#chunks.length;
    saved.chunksLength = this.#chunksLength;
    saved.buffer = this.#buffer;
    saved.view = this.#view;
    saved.start = this.#start;
    saved.end = this.#end;
  }

  /** Forgets what was encoded since the last `begin`. Nothing may have been taken meanwhile. */
  rollback(): void {
    const saved = this.#saved;
    this.#chunks.length = saved.chunks;
    this.#chunksLength = saved.chunksLength;
    this.#buffer = saved.buffer;
    this.#view = saved.view;
    this.#start = saved.start;
    this.#end = saved.end;
  }

  /** Moves what is in the buffer to the list of chunks; the rest of the buffer is used further. */
  #cut(): void {
    if (this.#end === this.#start) return;
    this.#chunks.push(this.#buffer.subarray(this.#start, this.#end));
    this.#chunksLength += this.#end - this.#start;
    this.#start = this.#end;
  }

  /** Makes room for `size` more bytes and returns where they go. */
  #room(size: number): number {
    const position = this.#end;
    if (position + size > this.#buffer.length) return this.#grow(size);
    this.#end += size;
    return position;
  }

  #grow(size: number): number {
    this.#cut();
    // By what is waiting, not by what was sent so far: thousands of idle connections must be cheap.
    const wanted = Math.min(Math.max(2 * this.#chunksLength, FIRST_SIZE), MAX_SIZE);
    const capacity = Math.max(wanted, size);
    this.#buffer = new Uint8Array(capacity);
    this.#view = new DataView(this.#buffer.buffer);
    this.#start = 0;
    this.#end = size;
    return 0;
  }

  #byte(value: number): void {
    const position = this.#room(1);
    this.#buffer[position] = value;
  }

  #head8(format: number, value: number): void {
    const position = this.#room(2);
    this.#buffer[position] = format;
    this.#buffer[position + 1] = value;
  }

  #head16(format: number, value: number): void {
    const position = this.#room(3);
    this.#buffer[position] = format;
    this.#view.setUint16(position + 1, value);
  }

  #head32(format: number, value: number): void {
    const position = this.#room(5);
    this.#buffer[position] = format;
    this.#view.setUint32(position + 1, value);
  }

  nil(): void {
    this.#byte(0xc0);
  }

  boolean(value: boolean): void {
    this.#byte(value ? 0xc3 : 0xc2);
  }

  /** A safe integer. */
  int(value: number): void {
    if (value >= 0) {
      if (value < 0x80) this.#byte(value);
      else if (value < 0x100) this.#head8(0xcc, value);
      else if (value < 0x10000) this.#head16(0xcd, value);
      else if (value < 0x1_0000_0000) this.#head32(0xce, value);
      else this.#int64(0xcf, value);
    } else if (value >= -0x20) this.#byte(value & 0xff);
    else if (value >= -0x80) this.#head8(0xd0, value & 0xff);
    else if (value >= -0x8000) this.#head16(0xd1, value & 0xffff);
    else if (value >= -0x8000_0000) this.#head32(0xd2, value >>> 0);
    else this.#int64(0xd3, value);
  }

  #int64(format: number, value: number): void {
    const position = this.#room(9);
    this.#buffer[position] = format;
    this.#view.setBigInt64(position + 1, BigInt(value));
  }

  /** Always a float64, even for an integral value. */
  float(value: number): void {
    const position = this.#room(9);
    this.#buffer[position] = 0xcb;
    this.#view.setFloat64(position + 1, value);
  }

  /** An unsigned 64-bit id as a bin of 8 bytes. */
  id(value: bigint): void {
    const position = this.#room(10);
    this.#buffer[position] = 0xc4;
    this.#buffer[position + 1] = 8;
    this.#view.setBigUint64(position + 2, value);
  }

  bin(value: Uint8Array): void {
    const { length } = value;
    if (length < 0x100) this.#head8(0xc4, length);
    else if (length < 0x10000) this.#head16(0xc5, length);
    else this.#head32(0xc6, length);
    if (length > COPY_LIMIT && value.buffer instanceof ArrayBuffer) {
      this.#cut();
      this.#chunks.push(value as Uint8Array<ArrayBuffer>);
      this.#chunksLength += length;
    } else {
      // Not before #room returned: it may replace the buffer.
      const position = this.#room(length);
      this.#buffer.set(value, position);
    }
  }

  text(value: string): void {
    this.bin(textEncoder.encode(value));
  }

  array(length: number): void {
    if (length < 0x10) this.#byte(0x90 | length);
    else if (length < 0x10000) this.#head16(0xdc, length);
    else this.#head32(0xdd, length);
  }

  map(length: number): void {
    if (length < 0x10) this.#byte(0x80 | length);
    else if (length < 0x10000) this.#head16(0xde, length);
    else this.#head32(0xdf, length);
  }

  /** A member of an enumeration: an ext of one byte. */
  member(type: number, value: number): void {
    const position = this.#room(3);
    this.#buffer[position] = 0xd4;
    this.#buffer[position + 1] = type;
    this.#buffer[position + 2] = value;
  }

  /** Bytes that are already encoded. */
  raw(bytes: Uint8Array): void {
    const position = this.#room(bytes.length);
    this.#buffer.set(bytes, position);
  }
}
