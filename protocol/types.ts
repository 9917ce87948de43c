/**
 * The types of message arguments: how each is checked, encoded, decoded and named. The table of
 * messages is written with them, and static types are derived from them.
 *
 * @module
 */

import { CellState, ClusterState, NodeState, NodeType } from "./enums.ts";
import { ProtocolError } from "./errors.ts";
import type { Oid, Tid } from "./ids.ts";
import type { Input } from "./input.ts";
import type { Address, Nid, NodeDescription } from "./nodes.ts";
import type { Output } from "./output.ts";

/** The type of an argument whose value in the program is a `V`. */
export interface Type<V> {
  /** In the notation of the message reference. */
  readonly notation: string;
  write(output: Output, value: V): void;
  /** @throws {ProtocolError} if the next value is not of this type. */
  read(input: Input): V;
}

/** The value in the program of a type. */
export type ValueOf<T> = T extends Type<infer V> ? V : never;

function idType<V extends bigint>(notation: string): Type<V> {
  return {
    notation,
    write: (output, value) => output.id(value),
    read: (input) => input.id() as V,
  };
}

/** An object id. */
export const oid: Type<Oid> = idType("oid");
/** A transaction id or a ttid. */
export const tid: Type<Tid> = idType("tid");

function intType(notation: string, min: number, max: number): Type<number> {
  const check = (value: number): number => {
    if (!(value >= min && value <= max)) {
      throw new ProtocolError(`${notation} out of range: ${value}`);
    }
    return value;
  };
  return {
    notation,
    write(output, value) {
      if (!Number.isInteger(value)) throw new ProtocolError(`${notation} is no integer: ${value}`);
      output.int(check(value));
    },
    read: (input) => check(input.int()),
  };
}

/** Any exact integer. */
export const int: Type<number> = intType(
  "int",
  Number.MIN_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER,
);
/** A number of things. */
export const count: Type<number> = intType("count", 0, Number.MAX_SAFE_INTEGER);
/** A node id. */
export const nid: Type<Nid> = intType("nid", -0x8000_0000, 0x7fff_ffff);
/** A partition number. */
export const part: Type<number> = intType("part", 0, 0xffff_ffff);
/** The version of a partition table. */
export const ptid: Type<number> = intType("ptid", 0, Number.MAX_SAFE_INTEGER);

/** Seconds since the Unix epoch, always a float64. */
export const float: Type<number> = {
  notation: "float",
  write: (output, value) => output.float(value),
  read: (input) => input.float(),
};

export const bool: Type<boolean> = {
  notation: "bool",
  write: (output, value) => output.boolean(value),
  read: (input) => input.boolean(),
};

/** Opaque bytes. Decoding gives a view of the message. */
export const bin: Type<Uint8Array> = {
  notation: "bin",
  write: (output, value) => output.bin(value),
  read: (input) => input.bin(),
};

/** Bytes that are UTF-8 text. */
export const text: Type<string> = {
  notation: "text",
  write: (output, value) => output.text(value),
  read: (input) => input.text(),
};

/** A checksum. */
export const sha1: Type<Uint8Array> = {
  notation: "sha1",
  write(output, value) {
    if (value.length !== 20) {
      throw new ProtocolError(`a checksum has 20 bytes, not ${value.length}`);
    }
    output.bin(value);
  },
  read(input) {
    const value = input.bin();
    if (value.length !== 20) {
      throw new ProtocolError(`a checksum has 20 bytes, not ${value.length}`);
    }
    return value;
  },
};

function enumType<V extends number>(name: string, type: number, members: number): Type<V> {
  return {
    notation: name,
    write: (output, value) => output.member(type, value),
    read: (input) => input.member(type, members) as V,
  };
}

export const cellState: Type<CellState> = enumType("CellStates", 0, 5);
export const clusterState: Type<ClusterState> = enumType("ClusterStates", 1, 7);
export const nodeState: Type<NodeState> = enumType("NodeStates", 3, 4);
export const nodeType: Type<NodeType> = enumType("NodeTypes", 4, 4);

/** A value or nil. */
export function optional<V>(type: Type<V>): Type<V | null> {
  return {
    notation: `?${type.notation}`,
    write(output, value) {
      if (value === null) output.nil();
      else type.write(output, value);
    },
    read: (input) => input.nil() ? null : type.read(input),
  };
}

/** Any number of items. */
export function list<V>(type: Type<V>): Type<readonly V[]> {
  return {
    notation: `[${type.notation}]`,
    write(output, values) {
      output.array(values.length);
      for (const value of values) type.write(output, value);
    },
    read(input) {
      const length = input.array();
      const values: V[] = [];
      for (let i = 0; i < length; i++) values.push(type.read(input));
      return values;
    },
  };
}

/** Keys and values. */
export function map<K, V>(key: Type<K>, value: Type<V>): Type<ReadonlyMap<K, V>> {
  return {
    notation: `{${key.notation}: ${value.notation}}`,
    write(output, entries) {
      output.map(entries.size);
      for (const [k, v] of entries) {
        key.write(output, k);
        value.write(output, v);
      }
    },
    read(input) {
      const length = input.map();
      const entries = new Map<K, V>();
      for (let i = 0; i < length; i++) entries.set(key.read(input), value.read(input));
      return entries;
    },
  };
}

/** Named types in a fixed order. */
export type Fields = { readonly [name: string]: Type<unknown> };
/** The values of {@linkcode Fields}, by name. */
export type Values<F extends Fields> = { readonly [N in keyof F]: ValueOf<F[N]> };

/** An array with exactly these items; an object with these names in the program. */
export function tuple<F extends Fields>(fields: F): Type<Values<F>> {
  const items = Object.entries(fields);
  const size = items.length;
  return {
    notation: `(${items.map(([name, type]) => `${type.notation} ${name}`).join(", ")})`,
    write(output, values) {
      output.array(size);
      for (const [name, type] of items) type.write(output, values[name]);
    },
    read(input) {
      const length = input.array();
      if (length !== size) throw new ProtocolError(`expected ${size} items, found ${length}`);
      const values: Record<string, unknown> = {};
      for (const [name, type] of items) values[name] = type.read(input);
      return values as Values<F>;
    },
  };
}

/** Any of some named keys, in any order; keys of the wire are given with `names`. */
export function partial<F extends Fields>(
  fields: F,
  names: { readonly [N in keyof F]: string },
): Type<Partial<Values<F>>> {
  const byName = Object.entries(fields).map(([field, type]) => ({
    field,
    type,
    key: names[field] ?? field,
  }));
  return {
    notation: `{${byName.map(({ key, type }) => `${key}: ${type.notation}`).join(", ")}}`,
    write(output, values) {
      const present = byName.filter(({ field }) => values[field] !== undefined);
      output.map(present.length);
      for (const { field, key, type } of present) {
        output.text(key);
        type.write(output, values[field]);
      }
    },
    read(input) {
      const length = input.map();
      const values: Record<string, unknown> = {};
      for (let i = 0; i < length; i++) {
        const key = input.text();
        const entry = byName.find((candidate) => candidate.key === key);
        if (entry === undefined) anything.read(input);
        else values[entry.field] = entry.type.read(input);
      }
      return values as Partial<Values<F>>;
    },
  };
}

/** A float64 among values of any type, to tell it from an integer. */
export class Float {
  constructor(readonly value: number) {}
}

/** A member of an enumeration among values of any type. */
export class Member {
  constructor(readonly type: number, readonly value: number) {}
}

/** A value whose type is not fixed. */
export type Anything =
  | null
  | boolean
  | number
  | bigint
  | Float
  | Member
  | Uint8Array
  | readonly Anything[]
  | ReadonlyMap<Anything, Anything>;

/** Depth of values of any type: more than any peer sends, little enough for the stack. */
const MAX_DEPTH = 8;

function writeAnything(output: Output, value: Anything): void {
  if (value === null) output.nil();
  else if (typeof value === "boolean") output.boolean(value);
  else if (typeof value === "number") output.int(value);
  else if (typeof value === "bigint") output.id(value);
  else if (value instanceof Float) output.float(value.value);
  else if (value instanceof Member) output.member(value.type, value.value);
  else if (value instanceof Uint8Array) output.bin(value);
  else if (value instanceof Map) {
    const entries: ReadonlyMap<Anything, Anything> = value;
    output.map(entries.size);
    for (const [k, v] of entries) {
      writeAnything(output, k);
      writeAnything(output, v);
    }
  } else {
    const items = value as readonly Anything[];
    output.array(items.length);
    for (const item of items) writeAnything(output, item);
  }
}

function readAnything(input: Input, depth: number): Anything {
  if (depth > MAX_DEPTH) throw new ProtocolError("value nested too deeply");
  const format = input.peek();
  if (format < 0x80 || format >= 0xe0 || (format >= 0xcc && format <= 0xd3)) return input.int();
  if (format < 0x90 || format === 0xde || format === 0xdf) {
    const length = input.map();
    const entries = new Map<Anything, Anything>();
    for (let i = 0; i < length; i++) {
      entries.set(readAnything(input, depth + 1), readAnything(input, depth + 1));
    }
    return entries;
  }
  if (format < 0xa0 || format === 0xdc || format === 0xdd) {
    const length = input.array();
    const items: Anything[] = [];
    for (let i = 0; i < length; i++) items.push(readAnything(input, depth + 1));
    return items;
  }
  switch (format) {
    case 0xc0:
      input.nil();
      return null;
    case 0xc2:
    case 0xc3:
      return input.boolean();
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return input.bin();
    case 0xcb:
      return new Float(input.float());
    case 0xd4: {
      const { type, value } = input.anyMember();
      return new Member(type, value);
    }
    default:
      throw new ProtocolError(`MessagePack format 0x${format.toString(16)} is not allowed`);
  }
}

/** A value whose type is not fixed. Byte strings stay bytes, whatever their length. */
export const anything: Type<Anything> = {
  notation: "any",
  write: writeAnything,
  read: (input) => readAnything(input, 0),
};

/** The address of a node. */
export const address: Type<Address> = {
  ...tuple({ host: text, port: intType("port", 0, 0xffff) }),
  notation: "addr",
};

/** The description of a node. */
export const node: Type<NodeDescription> = {
  ...tuple({
    type: nodeType,
    address: optional(address),
    nid: optional(nid),
    state: nodeState,
    idTimestamp: optional(float),
  }),
  notation: "node",
};

/** A cell in a row of the partition table. */
export const cell = tuple({ nid, state: cellState });
/** All the partitions in order, each with its cells. */
export const rows: Type<readonly (readonly ValueOf<typeof cell>[])[]> = {
  ...list(list(cell)),
  notation: "rows",
};
/** A change of a cell. */
export const cellChange = tuple({ partition: part, nid, state: cellState });

/** A pack request. */
export const pack = tuple({ oids: optional(list(oid)), tid });
