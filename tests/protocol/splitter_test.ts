import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { decodeMessage, encodeMessage, type Message, writeMessage } from "../../protocol/codec.ts";
import { ProtocolError } from "../../protocol/errors.ts";
import { toOid, toTid } from "../../protocol/ids.ts";
import { Output } from "../../protocol/output.ts";
import {
  MAX_MESSAGE,
  MAX_SCALAR,
  MAX_UNIDENTIFIED_MESSAGE,
  MessageSplitter,
} from "../../protocol/splitter.ts";
import { arbitraryMessage } from "./arbitrary.ts";
import { fromHex, hex } from "./json_output.ts";

function encodeAll(messages: readonly Message[]): Uint8Array {
  const output = new Output();
  for (const { codec, id, args } of messages) writeMessage(output, codec, id, args);
  return output.takeBytes();
}

/** Cuts a stream at arbitrary places. */
function chunksOf(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const positions = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
  return [...positions, bytes.length].map((end, i) => bytes.slice(positions[i - 1] ?? 0, end));
}

/** Feeds a stream, and decodes what comes out of it. */
function receive(splitter: MessageSplitter, chunks: readonly Uint8Array[]): Message[] {
  const messages: Message[] = [];
  for (const chunk of chunks) {
    splitter.push(chunk);
    for (let bytes = splitter.next(); bytes !== null; bytes = splitter.next()) {
      messages.push(decodeMessage(bytes));
    }
  }
  return messages;
}

function splitter(limit = MAX_MESSAGE): MessageSplitter {
  const splitter = new MessageSplitter();
  splitter.limit = limit;
  return splitter;
}

/** A message with objects of `length` bytes in all. */
function longMessage(length: number): Uint8Array<ArrayBuffer> {
  return encodeMessage("AddObject", 5, {
    oid: toOid(1),
    tid: toTid(2),
    compression: 0,
    checksum: new Uint8Array(20),
    data: new Uint8Array(length).fill(0x93),
    dataSerial: null,
  });
}

/** Counts the calls of a method of all objects of a class while something is done. */
function countCalls(prototype: object, method: string, run: () => void): number {
  const original: unknown = Reflect.get(prototype, method);
  assert.ok(typeof original === "function");
  let calls = 0;
  Reflect.set(prototype, method, function (this: unknown, ...args: unknown[]) {
    calls++;
    return Reflect.apply(original, this, args);
  });
  try {
    run();
  } finally {
    Reflect.set(prototype, method, original);
  }
  return calls;
}

Deno.test("messages of any type survive encoding, any cutting, and decoding", () => {
  const messages = fc.array(arbitraryMessage, { minLength: 1, maxLength: 4 });
  const cuts = fc.array(fc.nat(200_000), { maxLength: 12 });
  fc.assert(
    fc.property(messages, cuts, (messages, cuts) => {
      const decoded = receive(splitter(), chunksOf(encodeAll(messages), cuts));
      assert.deepEqual(decoded, messages);
    }),
    { numRuns: 1500 },
  );
});

Deno.test("messages survive a stream of single bytes", () => {
  fc.assert(
    fc.property(fc.array(arbitraryMessage, { minLength: 1, maxLength: 2 }), (messages) => {
      const bytes = encodeAll(messages).slice(0, 5000);
      const whole = receive(splitter(), [bytes]);
      assert.deepEqual(
        receive(splitter(), Array.from(bytes, (byte) => Uint8Array.of(byte))),
        whole,
      );
    }),
    { numRuns: 100 },
  );
});

/** Whether a stream ends in messages or in one error of the protocol, and nothing else. */
function assertHarmless(chunks: readonly Uint8Array[], limit: number): void {
  try {
    receive(splitter(limit), chunks);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
}

Deno.test("MessageSplitter and decodeMessage() only throw ProtocolError when bytes are random", () => {
  const bytes = fc.uint8Array({ maxLength: 100 });
  fc.assert(
    fc.property(bytes, (bytes) => {
      assertHarmless([bytes], MAX_MESSAGE);
      assertHarmless([fromHex("9305"), bytes], MAX_UNIDENTIFIED_MESSAGE);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("MessageSplitter and decodeMessage() only throw ProtocolError when bytes are changed", () => {
  const change = fc.tuple(fc.nat(100_000), fc.nat(255));
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  const cuts = fc.array(fc.nat(1000), { maxLength: 3 });
  fc.assert(
    fc.property(arbitraryMessage, changes, cuts, (message, changes, cuts) => {
      const bytes = encodeAll([message]);
      for (const [position, value] of changes) bytes[position % bytes.length] = value;
      assertHarmless(chunksOf(bytes, cuts), MAX_MESSAGE);
    }),
    { numRuns: 3000 },
  );
});

Deno.test("MessageSplitter.next() refuses what is no message at its first byte", () => {
  for (const digits of ["92", "94", "c0", "00", "dc0003", "a3"]) {
    const split = splitter();
    split.push(fromHex(digits).slice(0, 1));
    assert.throws(() => split.next(), /a message is an array of 3 items/, digits);
  }
});

Deno.test("MessageSplitter.next() refuses formats that no message has", () => {
  for (
    const digits of ["9305a1", "9305ca", "9305d9", "9305da", "9305db", "9305c1", "9305c7", "9305d5"]
  ) {
    assert.throws(() => receive(splitter(), [fromHex(digits)]), /is not allowed/, digits);
  }
});

Deno.test("MessageSplitter.next() refuses too deep a nesting", () => {
  const nested = "93050191" + "91".repeat(30);
  assert.throws(() => receive(splitter(), [fromHex(nested)]), /nested too deeply/);
});

Deno.test("MessageSplitter.next() refuses a long message before it is received", () => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ["930544c6" + "00010000", /message longer than 65536 bytes/],
    ["930544dc" + "ffff", /message longer than 65536 bytes/],
    ["930544df" + "7fffffff", /message longer than 65536 bytes/],
    ["930544c6" + "04000001", /byte string longer than 67108864 bytes/],
  ];
  for (const [digits, message] of refused) {
    assert.throws(() => receive(splitter(MAX_UNIDENTIFIED_MESSAGE), [fromHex(digits)]), message);
  }
  assert.throws(() => receive(splitter(), [fromHex("930544ddffffffff")]), /message longer/);
  assert.deepEqual(receive(splitter(), [fromHex("930544c604000000")]), []);
});

Deno.test("MessageSplitter allocates in proportion to what it received when lengths lie", () => {
  for (const digits of ["930544c604000000", "930544dd03000000", "930544df02000000"]) {
    const split = splitter();
    const head = fromHex(digits);
    split.push(head);
    assert.equal(split.next(), null);
    let received = head.length;
    for (let i = 0; i < 2000; i++) {
      const chunk = new Uint8Array(i % 50 + 1);
      received += chunk.length;
      split.push(chunk);
      assert.equal(split.next(), null);
      assert.equal(split.pending, received);
      assert.ok(split.allocated <= 2 * received + 2, `${split.allocated} for ${received}`);
    }
  }
});

Deno.test("MessageSplitter keeps nothing of a message that was handled", () => {
  const split = splitter();
  const bytes = longMessage(1 << 20);
  const half = bytes.length >> 1;
  split.push(bytes.slice(0, half));
  assert.equal(split.next(), null);
  split.push(bytes.slice(half));
  assert.equal(split.next()?.length, bytes.length);
  assert.equal(split.allocated, 0);
  assert.equal(split.pending, 0);
  split.push(fromHex("93050290"));
  assert.equal(hex(split.next() ?? new Uint8Array()), "93050290");
});

Deno.test("MessageSplitter does work in proportion to the bytes when they come one by one", () => {
  // Many short values, then one long one: neither may be scanned or copied again for each byte.
  const oids = Array.from({ length: 20_000 }, (_, i) => toOid(i));
  const manyValues = encodeMessage("AnswerNewOIDs", 5, { oids });
  for (const bytes of [manyValues, longMessage(1 << 20)]) {
    const feed = (count: number) => {
      const split = splitter();
      let messages = 0;
      for (let i = 0; i < count; i++) {
        split.push(bytes.slice(i, i + 1));
        if (split.next() !== null) messages++;
      }
      assert.equal(messages, count === bytes.length ? 1 : 0);
    };
    // Each value that is scanned pushes on the stack of levels; each buffer is filled with `set`.
    const scanned = countCalls(Array.prototype, "push", () => feed(bytes.length));
    assert.ok(scanned <= bytes.length / 4, `${scanned} values scanned in ${bytes.length} bytes`);
    const copies = countCalls(Uint8Array.prototype, "set", () => feed(bytes.length));
    // One for each byte, and one more each time the buffer doubles.
    assert.ok(copies <= bytes.length + 40, `${copies} copies for ${bytes.length} bytes`);
  }
});

Deno.test("limits leave room for the longest legal messages", () => {
  assert.equal(MAX_SCALAR, 64 * 1024 * 1024);
  // The longest list of oids of a transaction, twice.
  assert.ok(MAX_MESSAGE > MAX_SCALAR + 2 * 10 * 2 ** 21);
});
