/** Data between applications and storage nodes. */

import assert from "node:assert/strict";
import { inflateSync } from "node:zlib";
import { decodeData, encodeData, isIntact, isNoData, NO_DATA } from "../../client/compression.ts";
import { bytes, sha1 } from "./fakes.ts";

const long = bytes("x".repeat(1000));

Deno.test("encodeData() compresses only when that makes data shorter", () => {
  for (const compression of [true, 1, 9] as const) {
    const stored = encodeData(long, compression);
    assert.equal(stored.compression, 1);
    assert.deepEqual(new Uint8Array(inflateSync(stored.data)), long);
    assert.deepEqual(new Uint8Array(stored.checksum), sha1(stored.data), "of what is stored");
    const short = encodeData(bytes("abc"), compression);
    assert.deepEqual([short.compression, short.data], [0, bytes("abc")]);
  }
  assert.deepEqual(encodeData(long, false).data, long);
  assert.equal(encodeData(long, false).compression, 0);
});

Deno.test("encodeData() tells no data from empty data", () => {
  const nothing = encodeData(null, true);
  assert.deepEqual(nothing, NO_DATA);
  assert.ok(isNoData(nothing));
  const empty = encodeData(new Uint8Array(0), true);
  assert.ok(!isNoData(empty));
  assert.ok(isIntact(empty));
  assert.deepEqual(empty.compression, 0);
  assert.ok(!isIntact({ ...empty, data: bytes("x") }));
});

Deno.test("decodeData() gives back what was encoded, without keeping big buffers", () => {
  for (const compression of [true, false]) {
    const decoded = decodeData(encodeData(long, compression));
    assert.deepEqual(decoded, long);
    assert.ok(decoded.buffer.byteLength <= 2 * decoded.length);
  }
  const buffer = new Uint8Array(65536);
  buffer.set(long, 100);
  const data = decodeData({ compression: 0, data: buffer.subarray(100, 1100) });
  assert.deepEqual(data, long);
  assert.equal(data.buffer.byteLength, 1000);
  const most = buffer.subarray(0, 60000);
  assert.equal(decodeData({ compression: 0, data: most }).buffer, buffer.buffer);
});

Deno.test("decodeData() throws when data is not what it should be", () => {
  assert.throws(() => decodeData({ compression: 1, data: long }));
  assert.throws(() => decodeData({ compression: 2, data: long }), /unknown compression 2/);
});
