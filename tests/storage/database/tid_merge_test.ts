import assert from "node:assert/strict";
import { type Tid, toTid } from "../../../protocol/ids.ts";
import { mergeTids } from "../../../storage/database/tid_merge.ts";

/** Partitions with 1,000 tids each; notes the lengths of what is read. */
function partitions(count: number) {
  const reads: number[] = [];
  const all = Array.from({ length: count * 1000 }, (_, n) => toTid(n + 1));
  const read = (partition: number, before: Tid | null, length: number) => {
    const tids = all.filter((tid) => Number(tid) % count === partition)
      .filter((tid) => before === null || tid < before).reverse().slice(0, length);
    reads.push(tids.length);
    return Promise.resolve(tids);
  };
  return {
    all: all.toReversed(),
    numbers: Array.from({ length: count }, (_, n) => n),
    read,
    reads,
  };
}

Deno.test("mergeTids() gives a part of the list of all tids when several windows are needed", async () => {
  const { all, numbers, read } = partitions(3);
  for (const [first, last] of [[0, 5], [1, 1], [700, 1500], [2990, 4000], [5000, 9000]] as const) {
    assert.deepEqual(await mergeTids(numbers, first, last, read), all.slice(first, last));
  }
  assert.deepEqual(await mergeTids([], 0, 10, read), []);
});

Deno.test("mergeTids() reads only what it needs when the end is far", async () => {
  const { numbers, read, reads } = partitions(2);
  await mergeTids(numbers, 0, 3, read);
  assert.deepEqual(reads, [256, 256]);
});
