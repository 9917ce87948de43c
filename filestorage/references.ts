/**
 * Finding which objects an object record refers to, without Python.
 *
 * A record is two pickles, the class then the state, that share one memo. They are run by a machine
 * that knows what each opcode does to the stack but builds nothing except what references are made
 * of: strings, tuples and lists. Anything else is an inert placeholder.
 *
 * @module
 */

import { type Oid, toOid } from "../protocol/ids.ts";
import { PickleBytes } from "../client/pickle_bytes.ts";

/** A record that is not made of two pickles, or refers to objects in no known way. */
export class UndecodableRecordError extends Error {
  override readonly name = "UndecodableRecordError";
}

/**
 * The objects that a record refers to, in order, repeated as they are there.
 *
 * Weak references, and references to other databases, are not followed by ZODB and are left out.
 *
 * @throws {UndecodableRecordError} if it can not be decoded.
 */
export function findReferences(record: Uint8Array): Oid[] {
  const machine = new Machine(new PickleBytes(record, undecodable));
  machine.run();
  machine.run();
  return machine.references;
}

function undecodable(problem: string): never {
  throw new UndecodableRecordError(`the record can not be decoded: ${problem}`);
}

/** What the machine handles: `null` is the placeholder, byte strings stand for texts too. */
type Value = null | Uint8Array | readonly Value[] | List;

class List {
  constructor(readonly items: Value[]) {}
}

const OID_SIZE = 8;

class Machine {
  readonly references: Oid[] = [];
  readonly #memo = new Map<number, Value>();
  #stack: Value[] = [];
  /** Heights of the stack when marks were set. */
  #marks: number[] = [];

  constructor(private readonly bytes: PickleBytes) {}

  /** Runs one pickle to its end. */
  run(): void {
    this.#stack = [];
    this.#marks = [];
    for (let opcode; (opcode = this.bytes.byte()) !== 0x2e /* STOP */;) this.#step(opcode);
  }

  /** Runs one opcode. Not a call deeper: nesting of data costs stack in the machine only. */
  #step(opcode: number): void {
    const { bytes } = this;
    switch (opcode) {
      case 0x80: // PROTO
        bytes.take(1);
        break;
      case 0x95: // FRAME
        bytes.take(8);
        break;
      case 0x98: // READONLY_BUFFER
        break;

      case 0x28: // MARK
        this.#marks.push(this.#stack.length);
        break;
      case 0x30: // POP
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#pop();
        break;
      case 0x31: // POP_MARK
        this.#popToMark();
        break;
      case 0x32: // DUP
        this.#push(this.#top());
        break;

      case 0x4e: // NONE
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
      case 0x7d: // EMPTY_DICT
      case 0x8f: // EMPTY_SET
      case 0x97: // NEXT_BUFFER
        this.#push(null);
        break;
      case 0x49: // INT
      case 0x4c: // LONG
      case 0x46: // FLOAT
        bytes.line();
        this.#push(null);
        break;
      case 0x4b: // BININT1
      case 0x82: // EXT1
        this.#skip(1);
        break;
      case 0x4d: // BININT2
      case 0x83: // EXT2
        this.#skip(2);
        break;
      case 0x4a: // BININT
      case 0x84: // EXT4
        this.#skip(4);
        break;
      case 0x47: // BINFLOAT
        this.#skip(8);
        break;
      case 0x8a: // LONG1
        this.#skip(bytes.size(1));
        break;
      case 0x8b: // LONG4
        this.#skip(bytes.size(4));
        break;

      case 0x55: // SHORT_BINSTRING
      case 0x43: // SHORT_BINBYTES
      case 0x8c: // SHORT_BINUNICODE
        this.#push(bytes.take(bytes.size(1)));
        break;
      case 0x54: // BINSTRING
      case 0x42: // BINBYTES
      case 0x58: // BINUNICODE
        this.#push(bytes.take(bytes.size(4)));
        break;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
      case 0x8d: // BINUNICODE8
        this.#push(bytes.take(bytes.size(8)));
        break;
      case 0x53: // STRING
        this.#push(bytes.quotedLine());
        break;
      case 0x56: // UNICODE
        this.#push(bytes.escapedLine());
        break;

      case 0x5d: // EMPTY_LIST
        this.#push(new List([]));
        break;
      case 0x6c: // LIST
        this.#push(new List(this.#popToMark()));
        break;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        break;
      case 0x65: // APPENDS
        this.#append(this.#popToMark());
        break;
      case 0x29: // EMPTY_TUPLE
        this.#push([]);
        break;
      case 0x74: // TUPLE
        this.#push(this.#popToMark());
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.#push(this.#popSeveral(opcode - 0x84));
        break;

      case 0x64: // DICT
      case 0x91: // FROZENSET
      case 0x6f: // OBJ
        this.#popToMark();
        this.#push(null);
        break;
      case 0x75: // SETITEMS
      case 0x90: // ADDITEMS
        this.#popToMark();
        break;
      case 0x73: // SETITEM
        this.#popSeveral(2);
        break;

      case 0x67: // GET
        this.#recall(bytes.decimalLine());
        break;
      case 0x68: // BINGET
        this.#recall(bytes.size(1));
        break;
      case 0x6a: // LONG_BINGET
        this.#recall(bytes.size(4));
        break;
      case 0x70: // PUT
        this.#memo.set(bytes.decimalLine(), this.#top());
        break;
      case 0x71: // BINPUT
        this.#memo.set(bytes.size(1), this.#top());
        break;
      case 0x72: // LONG_BINPUT
        this.#memo.set(bytes.size(4), this.#top());
        break;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        break;

      case 0x63: // GLOBAL
        bytes.line();
        bytes.line();
        this.#push(null);
        break;
      case 0x69: // INST
        bytes.line();
        bytes.line();
        this.#popToMark();
        this.#push(null);
        break;
      case 0x93: // STACK_GLOBAL
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ
        this.#popSeveral(2);
        this.#push(null);
        break;
      case 0x92: // NEWOBJ_EX
        this.#popSeveral(3);
        this.#push(null);
        break;
      case 0x62: // BUILD
        this.#pop();
        break;

      case 0x50: // PERSID
        this.#refer(bytes.line());
        this.#push(null);
        break;
      case 0x51: // BINPERSID
        this.#refer(this.#pop());
        this.#push(null);
        break;

      default:
        undecodable(`unknown opcode 0x${opcode.toString(16)}`);
    }
  }

  /** Notes a reference, given what identifies the object: its oid, with its class or not. Lists are
   * weak references and references to other databases. */
  #refer(id: Value): void {
    if (id instanceof List) return;
    const oid = Array.isArray(id) && id.length === 2 ? id[0] : id;
    if (!(oid instanceof Uint8Array) || oid.length !== OID_SIZE) {
      undecodable("a reference has an unknown form");
    }
    this.references.push(toOid(new DataView(oid.buffer, oid.byteOffset).getBigUint64(0)));
  }

  #push(value: Value): void {
    this.#stack.push(value);
  }

  /** Pushes a placeholder for an operand of this many bytes. */
  #skip(size: number): void {
    this.bytes.take(size);
    this.#push(null);
  }

  #top(): Value {
    const value = this.#stack.at(-1);
    return value === undefined ? undecodable("a value is missing on the stack") : value;
  }

  #pop(): Value {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popSeveral(count: number): Value[] {
    if (this.#stack.length < count) undecodable("values are missing on the stack");
    return this.#stack.splice(this.#stack.length - count);
  }

  #popToMark(): Value[] {
    const height = this.#marks.pop();
    if (height === undefined || height > this.#stack.length) undecodable("a mark is missing");
    return this.#stack.splice(height);
  }

  #append(values: readonly Value[]): void {
    const target = this.#top();
    if (target instanceof List) { for (const value of values) target.items.push(value); }
  }

  #recall(key: number): void {
    const value = this.#memo.get(key);
    this.#push(value === undefined ? undecodable(`nothing is memorized under ${key}`) : value);
  }
}
