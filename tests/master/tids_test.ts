import fc from "npm:fast-check@4.3.0";
import assert from "node:assert/strict";
import { afterEarlierMasters, nextTid } from "../../master/tids.ts";
import { hexId, partitionOf, type Tid, tidFromTime, toTid, ZERO_TID } from "../../protocol/ids.ts";

/** A multiple of 7, in the middle of a minute. */
const ORIGIN = (() => {
  const tid = tidFromTime(Date.UTC(2026, 10, 22, 10, 15, 30) / 1000);
  return tid - tid % 7n;
})();

const VECTORS: [number, number, number | null, number][] = [
  [200, 105, 103, 201],
  [200, 105, 100, 198],
  [200, 199, 100, 205],
  [50, 300, 300, 300],
  [50, 300, 298, 305],
  [50, 300, null, 301],
  [200, 105, null, 200],
];

for (const [now, last, ttid, expected] of VECTORS) {
  Deno.test(`nextTid() is ${expected} at ${now} after ${last} for ${ttid}`, () => {
    const at = (offset: number) => toTid(ORIGIN + BigInt(offset));
    const tid = nextTid(at(now), at(last), ttid === null ? null : at(ttid), 7);
    assert.equal(tid - ORIGIN, BigInt(expected));
  });
}

Deno.test("nextTid() stays congruent when a month ends", () => {
  // The last units of February, which has no 29th here: March follows after days that do not exist.
  const last = toTid(0x03de545ffffffffen);
  for (const partitions of [3, 7, 12, 1000]) {
    for (let residue = 0; residue < Math.min(partitions, 12); residue++) {
      const ttid = toTid(last - last % BigInt(partitions) - BigInt(partitions - residue));
      for (const now of [last, toTid(last + 1n), ttid]) {
        const tid = nextTid(now, last, ttid, partitions);
        assert(tid > last, hexId(tid));
        assert.equal(partitionOf(tid, partitions), partitionOf(ttid, partitions));
      }
    }
  }
});

Deno.test("nextTid() increases and keeps the partition for any times", () => {
  const time = fc.integer({ min: 0, max: 4_000_000_000 });
  const low = fc.integer({ min: -20, max: 20 });
  fc.assert(
    fc.property(
      time,
      time,
      low,
      fc.integer({ min: 1, max: 5000 }),
      fc.boolean(),
      (a, b, delta, partitions, sameMinute) => {
        const now = tidFromTime(a);
        const last = toTid(tidFromTime(sameMinute ? a : b) + BigInt(Math.abs(delta)));
        const ttid = toTid(last - BigInt(Math.abs(delta)));
        const tid = nextTid(now, last, ttid, partitions);
        assert(tid > last || (tid === last && ttid === last));
        assert(tid >= ttid);
        assert.equal(partitionOf(tid, partitions), partitionOf(ttid, partitions));
        const begun: Tid = nextTid(now, last, null, partitions);
        assert(begun > last);
        assert(begun === now || now <= last);
      },
    ),
  );
});

Deno.test("afterEarlierMasters() leaves out less than a minute where the clock is late", () => {
  const last = toTid(ORIGIN);
  const late = toTid(ORIGIN - 1n);
  assert.equal(afterEarlierMasters(toTid(ORIGIN + 1n), last, 0.5), last);
  assert.equal(afterEarlierMasters(last, ZERO_TID, 0.5), ZERO_TID);
  assert.equal(afterEarlierMasters(late, last, 0), last);
  assert.equal(afterEarlierMasters(late, last, 1 / 2 ** 32), last + 1n);
  const most = afterEarlierMasters(late, last, 1 - 2 ** -32);
  assert(most > last && most < last + (1n << 33n));
});
