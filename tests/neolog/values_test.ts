import assert from "node:assert/strict";
import { containsId, decodeArguments, showValue } from "../../neolog/values.ts";

function show(...bytes: number[]): string {
  return showValue(decodeArguments(Uint8Array.of(0x91, ...bytes))[0] ?? null);
}

Deno.test("showValue() writes every kind of value as Python does", () => {
  for (
    const [bytes, text] of [
      [[0xc0], "None"],
      [[0xc2], "False"],
      [[0xc3], "True"],
      [[0x7f], "127"],
      [[0xff], "-1"],
      [[0xcd, 1, 0], "256"],
      [[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], "18446744073709551615"],
      [[0xd2, 255, 255, 255, 254], "-2"],
      [[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], "1.0"],
      [[0xca, 0x3f, 0, 0, 0], "0.5"],
      [[0xa2, 0x61, 0x27], `"a'"`],
      [[0xc4, 6, 0x61, 0x0a, 0x00, 0x27, 0x22, 0xff], `b'a\\n\\x00\\'"\\xff'`],
      [[0x90], "()"],
      [[0x91, 1], "(1,)"],
      [[0x92, 1, 0xc0], "(1, None)"],
      [[0x82, 1, 2, 3, 0x90], "{1: 2, 3: ()}"],
      [[0xd4, 4, 1], "<EnumItem STORAGE (1)>"],
      [[0xd4, 4, 9], "ExtType(code=4, data=b'\\t')"],
      [[0xc7, 2, 7, 1, 2], "ExtType(code=7, data=b'\\x01\\x02')"],
    ] as const
  ) assert.equal(show(...bytes), text);
});

Deno.test("decodeArguments() refuses what is not exactly one array", () => {
  for (
    const bytes of [
      [],
      [1],
      [0x91],
      [0x90, 0],
      [0x91, 0xc1],
      [0xdd, 255, 255, 255, 255],
      new Array(100).fill(0x91),
    ]
  ) assert.throws(() => decodeArguments(Uint8Array.from(bytes)), RangeError, String(bytes));
});

Deno.test("containsId() finds an id at any depth", () => {
  const id = [0xc4, 8, 0, 0, 0, 0, 0, 0, 1, 2];
  for (const bytes of [id, [0x92, 0, ...id], [0x81, ...id, 0], [0x81, 0, 0x91, ...id]]) {
    const value = decodeArguments(Uint8Array.of(0x91, ...bytes));
    assert.ok(containsId(value, 258n));
    assert.ok(!containsId(value, 259n));
  }
});
