/**
 * Python's pickles of plain values: what the extension of a transaction is made of.
 *
 * @module
 */

import { PickleBytes } from "./pickle_bytes.ts";

/** What a pickle may contain to be read here. Integers beyond 2^53 are `bigint`. */
export type PlainValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PlainValue[]
  | { readonly [key: string]: PlainValue };

/** A pickle that is damaged, or has something else than plain values in it. */
export class PickleError extends Error {
  /** Always `"PickleError"`. */
  override readonly name = "PickleError";
}

const PROTOCOL = 3;
/** Values inside of values that are read: much more than anybody needs, much less than the stack has. */
const MAX_DEPTH = 500;
/** Bytes of integers that are read: longer ones would only take time. */
const MAX_INTEGER = 1024;
const textEncoder = new TextEncoder();

/** Pickles a value. Whole numbers become integers, others floats. @throws {TypeError} if it is not plain. */
export function pickle(value: PlainValue): Uint8Array {
  const bytes: number[] = [0x80, PROTOCOL];
  write(value, bytes);
  bytes.push(0x2e);
  return Uint8Array.from(bytes);
}

function write(value: PlainValue, bytes: number[]): void {
  const sized = (opcode: number, data: Uint8Array) => {
    bytes.push(opcode, ...littleEndian(data.length, 4));
    for (const byte of data) bytes.push(byte);
  };
  if (value === null) bytes.push(0x4e);
  else if (typeof value === "boolean") bytes.push(value ? 0x88 : 0x89);
  else if (typeof value === "string") sized(0x58, textEncoder.encode(value));
  else if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    writeInteger(BigInt(value as bigint | number), bytes);
  } else if (typeof value === "number") {
    const float = new DataView(new ArrayBuffer(8));
    float.setFloat64(0, value);
    bytes.push(0x47, ...new Uint8Array(float.buffer));
  } else if (value instanceof Uint8Array) sized(0x42, value);
  else if (Array.isArray(value)) {
    bytes.push(0x5d, 0x28);
    for (const item of value) write(item, bytes);
    bytes.push(0x65);
  } else if (typeof value === "object") {
    bytes.push(0x7d, 0x28);
    for (const [key, item] of Object.entries(value)) {
      write(key, bytes);
      write(item, bytes);
    }
    bytes.push(0x75);
  } else throw new TypeError(`a ${typeof value} can't be pickled`);
}

function writeInteger(value: bigint, bytes: number[]): void {
  if (value >= 0n && value < 0x100n) bytes.push(0x4b, Number(value));
  else if (BigInt.asIntN(32, value) === value) bytes.push(0x4a, ...littleEndian(Number(value), 4));
  else {
    let width = 1;
    while (BigInt.asIntN(8 * width, value) !== value) width++;
    if (width > 0xff) throw new TypeError("an integer is too great to be pickled");
    bytes.push(0x8a, width);
    for (let i = 0; i < width; i++) bytes.push(Number((value >> BigInt(8 * i)) & 0xffn));
  }
}

function littleEndian(value: number, width: number): number[] {
  return Array.from({ length: width }, (_, i) => (value >> (8 * i)) & 0xff);
}

/**
 * Reads a pickle of any protocol without executing anything in it.
 *
 * @throws {PickleError} if it is damaged, or not of plain values only.
 */
export function unpickle(bytes: Uint8Array): PlainValue {
  return new Unpickler(bytes).run();
}

/** Built while reading. Dictionaries are converted when they are complete, at the end. */
type Building = PlainValue | Building[] | Map<string, Building> | typeof MARK;

const MARK = Symbol("mark");

class Unpickler {
  readonly #bytes: PickleBytes;
  readonly #stack: Building[] = [];
  readonly #memo = new Map<number, Building>();

  constructor(bytes: Uint8Array) {
    this.#bytes = new PickleBytes(bytes, (problem) => {
      throw new PickleError(`the pickle can't be read: ${problem}`);
    });
  }

  run(): PlainValue {
    for (let opcode; (opcode = this.#bytes.byte()) !== 0x2e;) this.#step(opcode);
    return plain(this.#pop(), new Map());
  }

  #step(opcode: number): void {
    const bytes = this.#bytes;
    switch (opcode) {
      case 0x80: // PROTO
        return void bytes.byte();
      case 0x95: // FRAME
        return void bytes.take(8);
      case 0x28:
        return this.#push(MARK);
      case 0x30: // POP
        return void this.#pop();
      case 0x31: // POP_MARK
        return void this.#popToMark();
      case 0x32: // DUP
        return this.#push(this.#top());
      case 0x4e:
        return this.#push(null);
      case 0x88:
        return this.#push(true);
      case 0x89:
        return this.#push(false);
      case 0x49: // INT
        return this.#push(integerLine(this.#line()));
      case 0x4c: // LONG
        return this.#push(integerLine(this.#line().replace(/L$/, "")));
      case 0x46: // FLOAT
        return this.#push(floatLine(this.#line()));
      case 0x4b: // BININT1
        return this.#push(bytes.byte());
      case 0x4d: // BININT2
        return this.#push(bytes.size(2));
      case 0x4a: // BININT
        return this.#push(integer(bytes.take(4)));
      case 0x8a: // LONG1
        return this.#push(integer(bytes.take(bytes.byte())));
      case 0x8b: // LONG4
        return this.#push(integer(bytes.take(bytes.size(4))));
      case 0x47: { // BINFLOAT
        const taken = bytes.take(8);
        return this.#push(new DataView(taken.buffer, taken.byteOffset).getFloat64(0));
      }
      case 0x53: // STRING, of Python 2
        return this.#push(text(bytes.quotedLine()));
      case 0x54: // BINSTRING, of Python 2
        return this.#push(text(bytes.take(bytes.size(4))));
      case 0x55: // SHORT_BINSTRING, of Python 2
        return this.#push(text(bytes.take(bytes.byte())));
      case 0x42: // BINBYTES
        return this.#push(bytes.take(bytes.size(4)).slice());
      case 0x43: // SHORT_BINBYTES
        return this.#push(bytes.take(bytes.byte()).slice());
      case 0x8e: // BINBYTES8
        return this.#push(bytes.take(bytes.size(8)).slice());
      case 0x56: // UNICODE
        return this.#push(
          this.#line().replace(
            /\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})/g,
            (_, short, long) => character(parseInt(short ?? long, 16)),
          ),
        );
      case 0x58: // BINUNICODE
        return this.#push(text(bytes.take(bytes.size(4))));
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(text(bytes.take(bytes.byte())));
      case 0x8d: // BINUNICODE8
        return this.#push(text(bytes.take(bytes.size(8))));
      case 0x29:
        return this.#push([]); // EMPTY_TUPLE
      case 0x74: // TUPLE
      case 0x6c: // LIST
        return this.#push(this.#popToMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: { // TUPLE3
        const items = Array.from({ length: opcode - 0x84 }, () => this.#pop());
        return this.#push(items.reverse());
      }
      case 0x5d: // EMPTY_LIST
        return this.#push([]);
      case 0x61: { // APPEND
        const item = this.#pop();
        return void this.#list().push(item);
      }
      case 0x65: { // APPENDS
        const items = this.#popToMark();
        const list = this.#list();
        for (const item of items) list.push(item);
        return;
      }
      case 0x7d: // EMPTY_DICT
        return this.#push(new Map());
      case 0x64: { // DICT
        const items = this.#popToMark();
        this.#push(new Map());
        return this.#setItems(items);
      }
      case 0x73: { // SETITEM
        const value = this.#pop();
        return this.#setItems([this.#pop(), value]);
      }
      case 0x75: // SETITEMS
        return this.#setItems(this.#popToMark());
      case 0x70: // PUT
        return this.#put(bytes.decimalLine());
      case 0x71: // BINPUT
        return this.#put(bytes.byte());
      case 0x72: // LONG_BINPUT
        return this.#put(bytes.size(4));
      case 0x94: // MEMOIZE
        return this.#put(this.#memo.size);
      case 0x67: // GET
        return this.#get(bytes.decimalLine());
      case 0x68: // BINGET
        return this.#get(bytes.byte());
      case 0x6a: // LONG_BINGET
        return this.#get(bytes.size(4));
      default:
        throw new PickleError(`opcode 0x${opcode.toString(16)} does not make a plain value`);
    }
  }

  #line(): string {
    return new TextDecoder("latin1").decode(this.#bytes.line());
  }

  #push(value: Building): void {
    this.#stack.push(value);
  }

  #pop(): Building {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #top(): Building {
    const value = this.#stack.at(-1);
    if (value === undefined) throw new PickleError("the pickle takes what it did not make");
    return value;
  }

  #popToMark(): Building[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw new PickleError("the pickle lacks a mark");
    const items = this.#stack.splice(mark);
    items.shift();
    return items;
  }

  #list(): Building[] {
    const list = this.#top();
    if (!Array.isArray(list)) throw new PickleError("something that is no list is appended to");
    return list;
  }

  #setItems(items: Building[]): void {
    const dictionary = this.#top();
    if (!(dictionary instanceof Map)) {
      throw new PickleError("an item is set, but not in a dictionary");
    }
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      const value = items[i + 1];
      if (typeof key !== "string" || value === undefined) {
        throw new PickleError("keys of dictionaries must be texts");
      }
      dictionary.set(key, value);
    }
  }

  #put(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleError("the pickle uses what it did not remember");
    this.#push(value);
  }
}

/** Replaces maps, each once: the same one may be at several places, even inside itself. */
function plain(value: Building, done: Map<Building, PlainValue>, depth = 0): PlainValue {
  if (value === MARK) throw new PickleError("a mark is no value");
  if (depth > MAX_DEPTH) throw new PickleError(`values are nested more than ${MAX_DEPTH} times`);
  if (!(value instanceof Map || Array.isArray(value))) return value as PlainValue;
  const known = done.get(value);
  if (known !== undefined) return known;
  if (Array.isArray(value)) {
    const list: PlainValue[] = [];
    done.set(value, list);
    for (const item of value) list.push(plain(item, done, depth + 1));
    return list;
  }
  const dictionary: { [key: string]: PlainValue } = {};
  done.set(value, dictionary);
  for (const [key, item] of value) {
    // Unlike an assignment, takes any key for what it is.
    Object.defineProperty(dictionary, key, {
      value: plain(item, done, depth + 1),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return dictionary;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function character(code: number): string {
  if (code > 0x10_ffff) throw new PickleError(`${code} is not the code of a character`);
  return String.fromCodePoint(code);
}

/** Two's complement, little-endian. */
function integer(bytes: Uint8Array): number | bigint {
  if (bytes.length > MAX_INTEGER) throw new PickleError("an integer is too long");
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[i] ?? 0);
  return small(BigInt.asIntN(8 * bytes.length, value));
}

function integerLine(line: string): number | bigint | boolean {
  if (line === "00" || line === "01") return line === "01";
  if (line.length > 2 * MAX_INTEGER) throw new PickleError("an integer is too long");
  const [, sign, digits] = /^([-+]?)(\d+)$/.exec(line) ?? [];
  if (digits === undefined) throw new PickleError(`"${line}" is not a number`);
  return small(sign === "-" ? -BigInt(digits) : BigInt(digits));
}

function floatLine(line: string): number {
  const [, sign, digits] = /^([-+]?)([\d.]+(?:e[-+]?\d+)?|inf|nan)$/i.exec(line) ?? [];
  const value = digits?.toLowerCase() === "inf" ? Infinity : Number(digits);
  if (digits === undefined || Number.isNaN(value) && digits.toLowerCase() !== "nan") {
    throw new PickleError(`"${line}" is not a number`);
  }
  return sign === "-" ? -value : value;
}

function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
