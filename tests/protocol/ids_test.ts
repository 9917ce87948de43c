import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import {
  add64,
  addTid,
  formatTidDate,
  hexId,
  INVALID_TID,
  MAX_TID,
  partitionOf,
  tidFromTime,
  tidToTime,
  timeOfTid,
  toOid,
  toTid,
  ZERO_TID,
} from "../../protocol/ids.ts";

const MOMENTS: readonly (readonly [number, string, string])[] = [
  [0, "023c2b0000000000", "1970-01-01 00:00:00"],
  [1000000000, "033f2eeaaaaaaaaa", "2001-09-09 01:46:39.999999"],
  [1325421296, "03937af2eeeeeeee", "2012-01-01 12:34:55.999999"],
  [1700000000.125, "03f47f9555dddddd", "2023-11-14 22:13:20.124999"],
  [1795342500.5, "040d2f4702222222", "2026-11-22 10:15:00.499999"],
];

const tidOf = (digits: string) => toTid(BigInt(`0x${digits}`));

Deno.test("tidFromTime() and formatTidDate() give known values", () => {
  for (const [time, digits, date] of MOMENTS) {
    assert.equal(hexId(tidFromTime(time)), digits);
    assert.equal(formatTidDate(tidOf(digits)), date);
  }
});

Deno.test("tidToTime() is the inverse of tidFromTime() up to a microsecond", () => {
  const time = fc.double({ min: -2e9, max: 8e9, noNaN: true });
  fc.assert(fc.property(time, (time) => {
    const back = tidToTime(tidFromTime(time));
    assert.ok(back <= time + 1e-6 && back >= time - 2e-6, `${time} became ${back}`);
  }));
});

Deno.test("tidFromTime() never decreases", () => {
  const time = fc.double({ min: 0, max: 8e9, noNaN: true });
  fc.assert(fc.property(time, fc.double({ min: 0, max: 100, noNaN: true }), (time, step) => {
    assert.ok(tidFromTime(time) <= tidFromTime(time + step));
  }));
});

Deno.test("tidFromTime() stays in its minute at the very end of it", () => {
  assert.equal(hexId(tidFromTime(59.99999999999999)).slice(0, 8), "023c2b00");
});

Deno.test("timeOfTid() splits seconds and microseconds", () => {
  assert.deepEqual(timeOfTid(tidOf("040d2f4702222222")), {
    seconds: 1795342500,
    microseconds: 499999,
  });
  assert.deepEqual(timeOfTid(tidOf("023c2b0080000000")), { seconds: 30, microseconds: 0 });
});

Deno.test("addTid() carries into real calendar minutes", () => {
  const table: readonly (readonly [string, bigint, string])[] = [
    ["03de545fffffffff", 1n, "03de654000000000"], // 28 February 2021, 23:59
    ["03de654000000000", -1n, "03de545fffffffff"],
    ["023c2b0000000000", 5n, "023c2b0000000005"],
    ["023c2b00ffffffff", 1n, "023c2b0100000000"],
    ["023c2b0000000000", 3n << 32n, "023c2b0300000000"],
    ["023c2b0300000002", -(3n << 32n), "023c2b0000000002"],
  ];
  for (const [start, delta, expected] of table) {
    assert.equal(hexId(addTid(tidOf(start), delta)), expected);
  }
  // From a leap day and from the last minute of a year.
  const cases = [["2024-02-28T23:59:00Z", "2024-02-29"], ["2023-12-31T23:59:00Z", "2024-01-01"]];
  for (const [from, to] of cases) {
    const tid = tidFromTime(Date.parse(from ?? "") / 1000);
    assert.equal(formatTidDate(addTid(tid, 1n << 32n)).slice(0, 10), to);
  }
});

Deno.test("addTid() and subtraction give back a tid that is a date", () => {
  const delta = fc.bigInt({ min: -(1n << 50n), max: 1n << 50n });
  fc.assert(fc.property(fc.integer({ min: 0, max: 4e9 }), delta, (time, delta) => {
    const tid = tidFromTime(time);
    assert.equal(addTid(addTid(tid, delta), -delta), tid);
  }));
});

Deno.test("add64() clamps to 64 bits", () => {
  assert.equal(hexId(add64(tidOf("03de545fffffffff"), 1)), "03de546000000000");
  assert.equal(add64(ZERO_TID, -1), ZERO_TID);
  assert.equal(add64(INVALID_TID, 1), INVALID_TID);
  assert.equal(add64(MAX_TID, 1), 0x8000000000000000n);
});

Deno.test("toOid() and toTid() refuse what does not fit in 64 bits", () => {
  assert.equal(toOid(0xffffffffffffffffn), 0xffffffffffffffffn);
  assert.throws(() => toOid(-1), /oid must be between 0 and 2\^64-1, not -1/);
  assert.throws(() => toTid(1n << 64n), RangeError);
});

Deno.test("partitionOf() is a modulo of the whole number", () => {
  assert.equal(partitionOf(toOid(0xffffffffffffffffn), 12), 3);
  assert.equal(partitionOf(toOid(7), 4), 3);
});

Deno.test("hexId() pads to 16 digits", () => {
  assert.equal(hexId(toOid(255)), "00000000000000ff");
  assert.equal(hexId(INVALID_TID), "f".repeat(16));
});
