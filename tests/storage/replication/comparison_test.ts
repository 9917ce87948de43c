import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { MAX_OID, toOid, toTid } from "../../../protocol/ids.ts";
import { Chunk, SourceError } from "../../../storage/replication/chunk.ts";
import {
  compare,
  grouped,
  type Key,
  keysOf,
  lastKey,
  recordKey,
  recordOf,
} from "../../../storage/replication/comparison.ts";

const keys = (...values: number[]): Key[] => values.map(BigInt);

Deno.test("recordKey() orders records by tid, then by oid", () => {
  const record = { tid: toTid(5), oid: MAX_OID };
  deepEqual(recordOf(recordKey(record)), record);
  ok(recordKey(record) < recordKey({ tid: toTid(6), oid: toOid(0) }));
  ok(recordKey(record) <= lastKey(toTid(5)));
  ok(recordKey({ tid: toTid(6), oid: toOid(0) }) > lastKey(toTid(5)));
  const records = [{ tid: toTid(1), oid: toOid(2) }, { tid: toTid(1), oid: toOid(3) }, record];
  deepEqual(keysOf(grouped(records)), records.map(recordKey));
});

Deno.test("compare() tells what each side lacks", () => {
  deepEqual(compare(keys(1, 2, 4), keys(2, 3), 10, 100n), {
    missing: keys(1, 4),
    excess: keys(3),
    next: null,
  });
});

Deno.test("compare() says nothing about what is after an own list that was cut", () => {
  deepEqual(compare(keys(1, 2, 3), keys(5), 2, 100n), {
    missing: keys(1, 2),
    excess: [],
    next: 3n,
  });
});

Deno.test("compare() says nothing about what is after the other list if it was cut", () => {
  deepEqual(compare(keys(1, 5, 9), keys(2, 1), 2, 100n), {
    missing: [],
    excess: keys(2),
    next: 3n,
  });
  deepEqual(compare([], keys(1, 2), 2, 100n), { missing: [], excess: keys(1, 2), next: 3n });
  deepEqual(compare([], keys(1, 100), 2, 100n), {
    missing: [],
    excess: keys(1, 100),
    next: null,
  });
});

Deno.test("Chunk.accepts() wants items in order, once, and that are missing", () => {
  const chunk = new Chunk(10n, 100n, keys(20), 10);
  ok(chunk.accepts(10n));
  equal(chunk.accepts(20n), false);
  for (const key of keys(20, 19, 101)) throws(() => chunk.accepts(key), SourceError);
  ok(chunk.accepts(100n));
  throws(() => new Chunk(10n, 100n, [], 10).accepts(9n), SourceError);
});

Deno.test("Chunk ignores what is after its own list if it was cut", () => {
  const chunk = new Chunk(10n, 100n, keys(11, 20), 2);
  ok(chunk.accepts(15n));
  // It may be there already: the next chunk tells.
  equal(chunk.accepts(21n), false);
  deepEqual(chunk.settle(null, keys(11)), { excess: keys(11), next: 21n });
  deepEqual(chunk.settle(16n, keys(11, 20)), { excess: keys(11), next: 16n });
  deepEqual(chunk.settle(50n, []), { excess: [], next: 21n });
});

Deno.test("Chunk.settle() only deletes what was listed", () => {
  const chunk = new Chunk(10n, 100n, keys(11, 20), 10);
  deepEqual(chunk.settle(null, keys(11, 12, 20)), { excess: keys(11, 20), next: null });
  deepEqual(chunk.settle(101n, []), { excess: [], next: null });
  throws(() => chunk.settle(10n, []), SourceError);
});
