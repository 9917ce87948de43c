/**
 * The arguments of messages in logs, whatever program wrote them: MessagePack to values, and values to
 * the text that the log viewer of NEO shows, which is that of Python.
 *
 * Nothing is known of what a message should contain: what a newer or a broken program has sent is shown
 * as well.
 *
 * @module
 */

import { ENUMERATIONS } from "../node/neolog_protocol.ts";

/** A member of an enumeration of the protocol. */
export class EnumItem {
  constructor(readonly name: string, readonly value: number) {}
}

/** A floating point number, which differs from an integer even if it has no fraction. */
export class Float {
  constructor(readonly value: number) {}
}

/** A MessagePack extension that is no enumeration of the protocol. */
export class Extension {
  constructor(readonly type: number, readonly data: Uint8Array) {}
}

/** A decoded value. Integers are `bigint`. */
export type Value =
  | null
  | boolean
  | bigint
  | string
  | Uint8Array
  | EnumItem
  | Float
  | Extension
  | ReadonlyMap<Value, Value>
  | readonly Value[];

/** Deeper values are no messages. */
const MAX_DEPTH = 50;

/**
 * Decodes the array of arguments of a message.
 *
 * @throws {RangeError} if it is not exactly one array in MessagePack.
 */
export function decodeArguments(body: Uint8Array): readonly Value[] {
  const reader = new Reader(body);
  const value = reader.value(0);
  if (!Array.isArray(value) || !reader.ended) throw new RangeError("not an array of arguments");
  return value;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get ended(): boolean {
    return this.#position === this.#bytes.length;
  }

  /** Where the next `size` bytes are, which are then passed. */
  #pass(size: number): number {
    const position = this.#position;
    if (position + size > this.#bytes.length) throw new RangeError("truncated");
    this.#position += size;
    return position;
  }

  /** An unsigned number of 1, 2, 4 or 8 bytes. */
  #unsigned(size: number): bigint {
    let value = 0n;
    for (const byte of this.#take(size)) value = value << 8n | BigInt(byte);
    return value;
  }

  #length(size: number): number {
    return Number(this.#unsigned(size));
  }

  #take(size: number): Uint8Array {
    const position = this.#pass(size);
    return this.#bytes.subarray(position, position + size);
  }

  value(depth: number): Value {
    if (depth > MAX_DEPTH) throw new RangeError("nested too deeply");
    const format = this.#bytes[this.#pass(1)] ?? 0;
    if (format < 0x80) return BigInt(format);
    if (format < 0x90) return this.#map(format & 0x0f, depth);
    if (format < 0xa0) return this.#array(format & 0x0f, depth);
    if (format < 0xc0) return this.#text(format & 0x1f);
    if (format >= 0xe0) return BigInt(format - 0x100);
    if (format >= 0xcc && format <= 0xcf) return this.#unsigned(1 << format - 0xcc);
    if (format >= 0xd0 && format <= 0xd3) {
      const size = 1 << format - 0xd0;
      return BigInt.asIntN(8 * size, this.#unsigned(size));
    }
    if (format >= 0xd4 && format <= 0xd8) return this.#extension(1 << format - 0xd4);
    switch (format) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return format === 0xc3;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#take(this.#length(1 << format - 0xc4));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#length(1 << format - 0xc7));
      case 0xca:
        return new Float(this.#view.getFloat32(this.#pass(4)));
      case 0xcb:
        return new Float(this.#view.getFloat64(this.#pass(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#length(1 << format - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(format === 0xdc ? 2 : 4), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(format === 0xde ? 2 : 4), depth);
      default:
        throw new RangeError(`0x${format.toString(16)} is no MessagePack format`);
    }
  }

  #text(length: number): string {
    return new TextDecoder().decode(this.#take(length));
  }

  #array(length: number, depth: number): Value[] {
    const items: Value[] = [];
    for (let i = 0; i < length; i++) items.push(this.value(depth + 1));
    return items;
  }

  #map(length: number, depth: number): Map<Value, Value> {
    const entries = new Map<Value, Value>();
    for (let i = 0; i < length; i++) entries.set(this.value(depth + 1), this.value(depth + 1));
    return entries;
  }

  #extension(length: number): EnumItem | Extension {
    const type = this.#view.getInt8(this.#pass(1));
    const data = this.#take(length);
    const enumerations: Readonly<Record<number, Readonly<Record<number, string>>>> = ENUMERATIONS;
    const [value = 0] = data;
    const name = length === 1 ? enumerations[type]?.[value] : undefined;
    return name === undefined ? new Extension(type, data) : new EnumItem(name, value);
  }
}

/** A value as Python writes it. */
export function showValue(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string") return showText(value);
  if (value instanceof Uint8Array) return "b" + showText(String.fromCharCode(...value), 0x7e);
  if (value instanceof EnumItem) return `<EnumItem ${value.name} (${value.value})>`;
  if (value instanceof Float) return showFloat(value.value);
  if (value instanceof Extension) {
    return `ExtType(code=${value.type}, data=${showValue(value.data)})`;
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => `${showValue(key)}: ${showValue(item)}`);
    return `{${entries.join(", ")}}`;
  }
  const items = [...value as readonly Value[]].map(showValue);
  return `(${items.join(", ")}${items.length === 1 ? "," : ""})`;
}

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** @param last the last character code that is shown as it is. */
function showText(text: string, last = 0x10ffff): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let shown = quote;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (character === quote || character === "\\") shown += `\\${character}`;
    else if (code < 0x20 || code > last || code >= 0x7f && code < 0xa0) {
      shown += ESCAPES[character] ?? `\\x${code.toString(16).padStart(2, "0")}`;
    } else shown += character;
  }
  return shown + quote;
}

function showFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Number.isInteger(value) && Math.abs(value) < 1e16 ? value.toFixed(1) : String(value);
}

/** Whether an id of 8 bytes is somewhere in a value. */
export function containsId(value: Value, id: bigint): boolean {
  if (value instanceof Uint8Array) {
    return value.length === 8 &&
      new DataView(value.buffer, value.byteOffset, 8).getBigUint64(0) === id;
  }
  if (value instanceof Map) {
    return [...value].some(([key, item]) => containsId(key, id) || containsId(item, id));
  }
  return Array.isArray(value) && value.some((item) => containsId(item, id));
}
