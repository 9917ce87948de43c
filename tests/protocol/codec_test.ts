import assert from "node:assert/strict";
import { decodeHead, decodeMessage, encodeMessage } from "../../protocol/codec.ts";
import { CellState, ErrorCode } from "../../protocol/enums.ts";
import { ProtocolError } from "../../protocol/errors.ts";
import { toOid, toTid } from "../../protocol/ids.ts";
import { Input, MAX_ENTRIES } from "../../protocol/input.ts";
import { MESSAGES } from "../../protocol/messages.ts";
import { Output } from "../../protocol/output.ts";
import { type Anything, anything, Float, Member } from "../../protocol/types.ts";
import { fromHex, hex } from "./json_output.ts";

function encodeAnything(value: Anything): string {
  const output = new Output();
  anything.write(output, value);
  return hex(output.takeBytes());
}

function decodeAnything(digits: string): Anything {
  const input = new Input(fromHex(digits));
  const value = anything.read(input);
  input.end();
  return value;
}

function assertRefused(digits: string, message: RegExp): void {
  assert.throws(() => decodeMessage(fromHex(digits)), (error) => {
    assert.ok(error instanceof ProtocolError, String(error));
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("Output.int() writes the shortest form and Input.int() reads it", () => {
  const table: readonly (readonly [number, string])[] = [
    [0, "00"],
    [127, "7f"],
    [128, "cc80"],
    [255, "ccff"],
    [256, "cd0100"],
    [65535, "cdffff"],
    [65536, "ce00010000"],
    [0xffffffff, "ceffffffff"],
    [0x100000000, "cf0000000100000000"],
    [Number.MAX_SAFE_INTEGER, "cf001fffffffffffff"],
    [-1, "ff"],
    [-32, "e0"],
    [-33, "d0df"],
    [-128, "d080"],
    [-129, "d1ff7f"],
    [-32768, "d18000"],
    [-32769, "d2ffff7fff"],
    [-0x80000000, "d280000000"],
    [-0x80000001, "d3ffffffff7fffffff"],
    [Number.MIN_SAFE_INTEGER, "d3ffe0000000000001"],
  ];
  for (const [value, digits] of table) {
    assert.equal(encodeAnything(value), digits);
    assert.equal(decodeAnything(digits), value);
  }
});

Deno.test("Input.int() reads any width and refuses what is not exact", () => {
  for (const digits of ["05", "cc05", "cd0005", "ce00000005", "cf0000000000000005"]) {
    assert.equal(decodeAnything(digits), 5);
  }
  for (const digits of ["d0fb", "d1fffb", "d2fffffffb", "d3fffffffffffffffb"]) {
    assert.equal(decodeAnything(digits), -5);
  }
  assert.throws(() => decodeAnything("cf0020000000000000"), ProtocolError);
  assert.throws(() => decodeAnything("d38000000000000000"), ProtocolError);
});

Deno.test("a timestamp stays a float64 of the same bits when it is integral", () => {
  const bytes = encodeMessage("NotifyNodeInformation", 0, { timestamp: 1700000000, nodes: [] });
  assert.equal(hex(bytes), "93000692cb41d954fc4000000090");
  assert.deepEqual(decodeMessage(bytes).args, { timestamp: 1700000000, nodes: [] });
  assertRefused("93000692ce6553f10090", /expected a float64/);
});

Deno.test("a value of any type keeps its kind", () => {
  const value = new Map<Anything, Anything>([
    [fromHex("6b"), [null, true, false, -1, new Float(2), new Member(4, 1)]],
    [7, new Map<Anything, Anything>([[new Member(0, 1), 12]])],
    [new Member(0, 2), fromHex("")],
  ]);
  assert.deepEqual(decodeAnything(encodeAnything(value)), value);
  assert.equal(encodeAnything(new Float(2)), "cb4000000000000000");
  assert.equal(encodeAnything(toTid(2)), "c4080000000000000002");
});

Deno.test("ids go up to 2^64-1", () => {
  const tid = toTid(0xffffffffffffffffn);
  const bytes = encodeMessage("AskFinalTID", 5, { ttid: tid });
  assert.equal(hex(bytes), "93051091c408ffffffffffffffff");
  assert.deepEqual(decodeMessage(bytes).args, { ttid: tid });
});

Deno.test("maps have keys of bytes, of ids, of integers and of enumerations", () => {
  const sources = new Map([[3, null], [70000, -5]]);
  const checked = encodeMessage("CheckReplicas", 0, { sources, min: toTid(0), max: null });
  assert.deepEqual(decodeMessage(checked).args.sources, sources);

  const transactions = new Map([[toTid(2n ** 63n), null], [toTid(1), toTid(2)]]);
  const locked = encodeMessage("AnswerLockedTransactions", 0, { transactions });
  assert.deepEqual(decodeMessage(locked).args, { transactions });

  const info = { clusterState: null, ptSummary: new Map([[CellState.FEEDING, 3]]) };
  const monitored = encodeMessage("NotifyMonitorInformation", 0, { info });
  assert.deepEqual(decodeMessage(monitored).args, { info });

  const extra = new Map<string, Anything>([["backup", [fromHex("61")]], ["é\ufeff", true]]);
  const { args } = decodeMessage(encodeMessage("RequestIdentification", 0, {
    type: 1,
    nid: null,
    address: null,
    cluster: "\ufeffcluster",
    idTimestamp: null,
    extra,
  }));
  assert.deepEqual(args.extra, extra);
  assert.equal(args.cluster, "\ufeffcluster");
});

Deno.test("unknown keys of monitoring information are ignored", () => {
  const { args } = decodeMessage(fromHex("9305489182c403616263920102c404646f776e03"));
  assert.deepEqual(args, { info: { down: 3 } });
});

Deno.test("decodeMessage() explains what is wrong", () => {
  assertRefused("920502", /array of 3 items/);
  assertRefused("9390029000", /expected an integer/);
  assertRefused("93ff0290", /message id out of range: -1/);
  assertRefused("93cf00000001000000000290", /message id out of range/);
  assertRefused("9305cd123490", /unknown message code 4660/);
  assertRefused("9305029105", /Ping has 0 arguments, not 1/);
  assertRefused("93050290c0", /1 bytes too many/);
  assertRefused("93051091c4070102030405060708", /expected an id of 8 bytes/);
  assertRefused("93051091c0", /expected an id of 8 bytes/);
  assertRefused("930525" + "91d40001", /expected an enumeration of type 4/);
  assertRefused("930525" + "91d40409", /no member 9 in enumeration 4/);
  assertRefused("93050c9100", /expected a boolean/);
  assertRefused("930519" + "91a132", /expected an integer/);
  assertRefused("93051991ff", /count out of range: -1/);
  assertRefused("9305269201d40109", /expected an enumeration of type 3/);
  assertRefused("9305cd8000920ec400", /unknown error code 14/);
  assertRefused("9305cd80009200c0", /expected a byte string/);
  assertRefused("93051691", /has 2 arguments, not 1|truncated/);
  assertRefused("93050592c0dd003fffff", /truncated array/);
  assertRefused("93050592c0dd00400001" + "00".repeat(0x400001), /array of more than 4194304 items/);
  assertRefused("9305489" + "1df7fffffff", /truncated map/);
});

Deno.test("Input.map() refuses more entries than a Map can hold", () => {
  const bytes = new Uint8Array(5 + 2 * (MAX_ENTRIES + 1));
  const input = (length: number) => {
    bytes[0] = 0xdf;
    new DataView(bytes.buffer).setUint32(1, length);
    return new Input(bytes);
  };
  assert.equal(input(MAX_ENTRIES).map(), MAX_ENTRIES);
  assert.throws(() => input(MAX_ENTRIES + 1).map(), ProtocolError);
});

Deno.test("decodeHead() gives what is needed to refuse a message", () => {
  const { id, codec } = decodeHead(fromHex("93ceffffffff0c9100"));
  assert.equal(id, 0xffffffff);
  assert.equal(codec.name, "StartOperation");
});

Deno.test("encodeMessage() refuses values that have no place on the wire", () => {
  assert.throws(() => encodeMessage("AskNewOIDs", 0, { count: 1.5 }), ProtocolError);
  assert.throws(() => encodeMessage("AskNewOIDs", 0, { count: -1 }), ProtocolError);
  assert.throws(() => encodeMessage("AskNewOIDs", 0, { count: NaN }), ProtocolError);
  const checksum = new Uint8Array(19);
  assert.throws(
    () =>
      encodeMessage("AddObject", 0, {
        oid: toOid(0),
        tid: toTid(0),
        compression: 0,
        checksum,
        data: checksum,
        dataSerial: null,
      }),
    /a checksum has 20 bytes, not 19/,
  );
});

Deno.test("Output.rollback() forgets everything since begin(), across buffers", () => {
  const output = new Output();
  output.int(1);
  output.begin();
  output.bin(new Uint8Array(5000));
  output.bin(new Uint8Array(100_000));
  output.int(2);
  output.rollback();
  output.int(3);
  assert.equal(output.length, 2);
  assert.equal(hex(output.takeBytes()), "0103");
});

Deno.test("Output.take() gives long byte strings without copying them", () => {
  const output = new Output();
  const data = new Uint8Array(1 << 20).fill(7);
  output.int(1);
  output.bin(data);
  output.nil();
  assert.equal(output.length, 1 + 5 + data.length + 1);
  const chunks = output.take();
  assert.ok(chunks.includes(data));
  assert.equal(chunks.reduce((sum, chunk) => sum + chunk.length, 0), data.length + 7);
  assert.equal(output.length, 0);
});

Deno.test("each enumeration of error codes has its place in Error", () => {
  const codes = Object.values(ErrorCode).filter((code) => typeof code === "number");
  assert.equal(codes.length, 14);
  for (const code of codes) {
    const bytes = encodeMessage("Error", 1, { code, message: "" });
    assert.deepEqual(decodeMessage(bytes).args, { code, message: "" });
  }
});

Deno.test("codes of messages are unique and those of answers have their bit", () => {
  const codes = Object.values(MESSAGES).map(({ code }) => code);
  assert.equal(new Set(codes).size, codes.length);
  assert.ok(codes.every((code) => code > 0 && code < 0x8000));
});
