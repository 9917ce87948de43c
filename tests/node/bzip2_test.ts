import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import unbzip2 from "npm:seek-bzip@2.0.0";
import { bzip2 } from "../../node/bzip2.ts";

Deno.test("bzip2() makes files that decompress to the same bytes", () => {
  const text = (s: string) => new TextEncoder().encode(s);
  for (
    const data of [
      text("b"),
      text("banana banana banana"),
      text("abcd".repeat(300) + "a".repeat(700) + "é"),
      Uint8Array.from({ length: 2000 }, (_, i) => i * i % 251),
      Uint8Array.from({ length: 256 }, (_, i) => i),
      new Uint8Array(600),
      new Uint8Array(4),
    ]
  ) {
    const decoded: Uint8Array = unbzip2.decode(Buffer.from(bzip2(data)));
    assert.deepEqual(Uint8Array.from(decoded), data);
  }
});

Deno.test("bzip2() of nothing is an empty file", () => {
  assert.equal(
    Buffer.from(bzip2(new Uint8Array())).toString("hex"),
    "425a683917724538509000000000",
  );
});

Deno.test("bzip2() refuses more than a block", () => {
  const data = Uint8Array.from({ length: 1_000_000 }, (_, i) => i & 255);
  assert.throws(() => bzip2(data), RangeError);
});
