/** Arbitrary messages, from the notation of the types of their arguments. */

import fc from "npm:fast-check@4.3.0";
import { allCodecs, type Message, type MessageCodec } from "../../protocol/codec.ts";
import { type Anything, Float, Member } from "../../protocol/types.ts";

type Any = fc.Arbitrary<unknown>;

const uint32 = fc.nat(0x7fffffff).chain((n) => fc.constantFrom(n, n * 2 + 1));
const text = fc.string({ unit: "binary", maxLength: 20 });
const id = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 2n ** 63n - 1n, 2n ** 64n - 1n),
);
const bin = fc.oneof(
  { weight: 20, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 1, arbitrary: fc.nat(80_000).map((length) => new Uint8Array(length).fill(length)) },
);
const member = fc.record({ type: fc.nat(4), value: fc.nat(127) })
  .map(({ type, value }) => new Member(type, value));

const { anything } = fc.letrec<{ anything: Anything }>((tie) => ({
  anything: fc.oneof(
    { maxDepth: 3 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double().map((value) => new Float(value)),
    member,
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie("anything"), { maxLength: 3 }),
    fc.array(fc.tuple(fc.oneof(fc.integer(), member), tie("anything")), { maxLength: 3 })
      .map((entries) => new Map<Anything, Anything>(entries)),
  ),
}));

const NAMED: Readonly<Record<string, Any>> = {
  oid: id,
  tid: id,
  int: fc.maxSafeInteger(),
  count: fc.maxSafeNat(),
  ptid: fc.maxSafeNat(),
  nid: fc.integer(),
  part: uint32,
  float: fc.double(),
  bool: fc.boolean(),
  bin,
  text,
  sha1: fc.uint8Array({ minLength: 20, maxLength: 20 }),
  CellStates: fc.nat(4),
  ClusterStates: fc.nat(6),
  NodeStates: fc.nat(3),
  NodeTypes: fc.nat(3),
  any: anything,
};

/** Types that are shown by a name of their own. */
const ABBREVIATIONS: Readonly<Record<string, string>> = {
  addr: "(text host, uint16 port)",
  node: "(NodeTypes type, ?addr address, ?nid nid, NodeStates state, ?float idTimestamp)",
  rows: "[[(nid nid, CellStates state)]]",
};

class NotationParser {
  readonly #tokens: string[];

  constructor(notation: string) {
    this.#tokens = notation.match(/\w+|[^\w\s]/g) ?? [];
  }

  #take(): string {
    return this.#tokens.shift() ?? "nothing";
  }

  #skip(token: string): boolean {
    if (this.#tokens[0] !== token) return false;
    this.#tokens.shift();
    return true;
  }

  parse(): Any {
    const token = this.#take();
    if (token === "?") return fc.option(this.parse(), { nil: null });
    if (token === "[") return this.#closed("]", fc.array(this.parse(), { maxLength: 4 }));
    if (token === "(") return this.#tuple();
    if (token === "{") return this.#braces();
    if (token === "uint16") return fc.nat(0xffff);
    const abbreviated = ABBREVIATIONS[token];
    if (abbreviated !== undefined) return new NotationParser(abbreviated).parse();
    const named = NAMED[token];
    if (named === undefined) throw new Error(`unknown type ${token}`);
    return named;
  }

  #closed<T>(token: string, value: T): T {
    if (!this.#skip(token)) throw new Error(`${token} expected in a notation`);
    return value;
  }

  #tuple(): Any {
    const fields: Record<string, Any> = {};
    do {
      const type = this.parse();
      fields[this.#take()] = type;
    } while (this.#skip(","));
    return this.#closed(")", fc.record(fields, { noNullPrototype: true }));
  }

  /** A map, or some of several named keys. */
  #braces(): Any {
    if (NAMED[this.#tokens[0] ?? ""] !== undefined) {
      const key = this.parse();
      this.#closed(":", null);
      const entries = fc.array(fc.tuple(key, this.parse()), { maxLength: 4 });
      return this.#closed("}", entries.map((pairs) => new Map(pairs)));
    }
    const fields: Record<string, Any> = {};
    do {
      const name = this.#take().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
      this.#closed(":", null);
      fields[name] = this.parse();
    } while (this.#skip(","));
    return this.#closed("}", fc.record(fields, { requiredKeys: [], noNullPrototype: true }));
  }
}

function argsOf(codec: MessageCodec): fc.Arbitrary<Record<string, unknown>> {
  const fields: Record<string, Any> = {};
  for (const [name, type] of codec.fields) {
    const isErrorCode = codec.name === "Error" && name === "code";
    fields[name] = isErrorCode ? fc.nat(13) : new NotationParser(type.notation).parse();
  }
  return fc.record(fields, { noNullPrototype: true });
}

/** A valid message of any type. */
export const arbitraryMessage: fc.Arbitrary<Message> = fc.oneof(
  ...allCodecs().map((codec) =>
    fc.record({ id: uint32, codec: fc.constant(codec), args: argsOf(codec) }, {
      noNullPrototype: true,
    })
  ),
);
