import { deepEqual, throws } from "node:assert/strict";
import { findReferences, isBlobRecord } from "../../filestorage/mod.ts";
import { pythonWithZodb, run } from "../support/python.ts";

/** Bytes of hexadecimal digits, spaces ignored. */
function hex(text: string): Uint8Array {
  return Uint8Array.fromHex(text.replaceAll(/\s/g, ""));
}

/** Class `P` of module `m`, memorized as 0, then the start of a state `{"v": ...`. */
const START = "80 03 63 6d 0a 50 0a 71 00 2e 80 03 7d 71 01 58 01 00 00 00 76 71 02";

const SAMPLES: [name: string, record: string, oids: bigint[]][] = [
  ["no reference", `${START} 4b 01 73 2e`, []],
  [
    "oid and class",
    `${START} 43 08 00 00 00 00 00 00 00 03 71 03 68 00 86 71 04 51 73 2e`,
    [3n],
  ],
  ["oid alone", `${START} 43 08 00 00 00 00 00 00 00 05 71 03 51 73 2e`, [5n]],
  [
    "list with a repeated reference",
    `${START} 5d 71 03 28 43 08 00 00 00 00 00 00 00 03 71 04 68 00 86 71 05 51
     43 08 00 00 00 00 00 00 00 07 71 06 68 00 86 71 07 51 68 04 68 00 86 71 08 51 65 73 2e`,
    [3n, 7n, 3n],
  ],
  [
    "weak",
    `${START} 5d 71 03 28 58 01 00 00 00 77 71 04
     43 08 00 00 00 00 00 00 00 03 71 05 85 71 06 65 51 73 2e`,
    [],
  ],
  [
    "other database",
    `${START} 5d 71 03 28 58 01 00 00 00 6e 71 04 58 01 00 00 00 62 71 05
     43 08 00 00 00 00 00 00 00 02 71 06 86 71 07 65 51 73 2e`,
    [],
  ],
  ["class with arguments", "80 03 63 6d 0a 47 0a 71 00 29 86 71 01 2e 80 03 7d 71 02 2e", []],
  [
    "Python 2, oid and class",
    `63 6d 0a 50 0a 71 00 2e 7d 71 01 55 01 76 71 02
     28 55 08 00 00 00 00 00 00 00 f3 71 03 68 00 74 71 04 51 73 2e`,
    [0xf3n],
  ],
  [
    "Python 2, weak",
    `63 6d 0a 50 0a 71 00 2e 7d 71 01 55 01 76 71 02
     5d 71 03 55 08 00 00 00 00 00 00 00 05 71 04 61 51 73 2e`,
    [],
  ],
  [
    "Python 2, class as names",
    "28 28 55 01 6d 71 00 55 01 50 71 01 74 71 02 4e 74 71 03 2e 7d 71 04 2e",
    [],
  ],
  [
    // S'\x00\x00\000\0\0\0\x00\t' put as 0, referred to by itself.
    "protocol 0, escaped string",
    `4e 2e 53 27 5c7830305c7830305c3030305c305c305c305c7830305c74 27 0a 70 30 0a 30 67 30 0a 51 2e`,
    [9n],
  ],
];

for (const [name, record, oids] of SAMPLES) {
  Deno.test(`findReferences() finds the references of a record: ${name}`, () => {
    deepEqual(findReferences(hex(record)), oids);
  });
}

Deno.test("findReferences() refuses what is not a record", () => {
  const refused: [string, RegExp][] = [
    ["", /ends too early/],
    ["4e 2e", /ends too early/],
    ["4e 2e 58 ff ff ff 7f 61 2e", /ends too early/],
    ["4e 2e 8d ff ff ff ff ff ff ff ff 61 2e", /ends too early/],
    ["ff", /unknown opcode 0xff/],
    ["65 2e", /a mark is missing/],
    ["30 2e", /missing on the stack/],
    ["86 2e", /missing on the stack/],
    ["68 05 2e", /nothing is memorized under 5/],
    ["67 78 0a", /"x" is not a number/],
    ["49 31", /a line has no end/],
    ["53 61 0a", /not quoted/],
    ["4e 51 2e", /a reference has an unknown form/],
    ["55 01 61 51 2e", /a reference has an unknown form/],
  ];
  for (const [record, message] of refused) {
    throws(() => findReferences(hex(record)), { name: "UndecodableRecordError", message });
  }
});

Deno.test("findReferences() stands deep nesting", () => {
  const depth = 200_000;
  const nested = new Uint8Array(2 * depth + 3).fill(0x28, 2).fill(0x74, depth + 2);
  nested.set([0x4e, 0x2e]);
  nested.set([0x2e], 2 * depth + 2);
  deepEqual(findReferences(nested), []);
});

Deno.test("isBlobRecord() knows blobs of all protocols", () => {
  const text = (value: string) => new TextEncoder().encode(value).toHex();
  const blob = `63 ${text("ZODB.blob")} 0a ${text("Blob")} 0a`;
  deepEqual(
    [`80 03 ${blob} 71 00 2e`, `${blob} 71 00 2e`, `80 02 28 ${blob}`].map(hex).map(
      isBlobRecord,
    ),
    [true, true, true],
  );
  const named = `8c 09 ${text("ZODB.blob")} 94 8c 04 ${text("Blob")} 94 93 94 2e`;
  deepEqual(isBlobRecord(hex(`80 04 95 ${"00".repeat(8)} ${named}`)), true);
  deepEqual(isBlobRecord(hex(`63 ${text("ZODB.blob")} 0a ${text("Blobs")} 0a`)), false);
  deepEqual(isBlobRecord(new Uint8Array()), false);
});

Deno.test("findReferences() agrees with ZODB on objects of many kinds", async () => {
  const python = await pythonWithZodb();
  if (python === null) return;
  const script = new URL("make_references.py", import.meta.url).pathname;
  const lines = (await run(python, script)).trim().split("\n");
  for (const line of lines) {
    const [record = "", expected = ""] = line.split(" ");
    deepEqual(findReferences(hex(record)).join(), expected, record);
  }
  deepEqual(lines.length > 50, true);
});
