import { deepEqual, equal, match } from "node:assert/strict";
import type { TransactionRecord } from "../../client/records.ts";
import {
  checkStructure,
  type CompareOptions,
  compareTransactions,
  FileStorageReader,
  formatDifference,
} from "../../filestorage/mod.ts";
import { bytes, fixture, patched, transaction, withFile } from "./support.ts";

/** Differences of two histories, one line each. */
async function differences(
  left: TransactionRecord[],
  right: TransactionRecord[],
  options?: CompareOptions,
): Promise<string[]> {
  const sides = [ReadableStream.from(left), ReadableStream.from(right)] as const;
  const comparison = await compareTransactions(...sides, options);
  equal(comparison.differences, comparison.first.length);
  return comparison.first.map(formatDifference);
}

const A = transaction(10, [[1, "a"], [2, "x"]]);
const B = transaction(20, [[1, "b"], [3, null]]);
const C = transaction(30, [[1, "a", 10]]);

Deno.test("compareTransactions() finds nothing between equal histories, and counts", async () => {
  const sides = [ReadableStream.from([A, B, C]), ReadableStream.from([A, B, C])] as const;
  const { transactions, records, differences, first } = await compareTransactions(...sides);
  deepEqual({ transactions, records, differences, first }, {
    transactions: 3,
    records: 5,
    differences: 0,
    first: [],
  });
});

Deno.test("compareTransactions() finds missing transactions on either side", async () => {
  const lost = "tid 0000000000000014: transaction is present on the left, absent on the right";
  const added = "tid 0000000000000014: transaction is absent on the left, present on the right";
  deepEqual(await differences([A, B, C], [A, C]), [lost]);
  deepEqual(await differences([A, C], [A, B, C]), [added]);
  deepEqual(await differences([A, B], [A]), [lost]);
  deepEqual(await differences([A], [A, B]), [added]);
});

Deno.test("compareTransactions() finds each kind of difference", async () => {
  const change = (info: Partial<TransactionRecord>) => differences([A], [{ ...A, ...info }]);
  const prefix = "tid 000000000000000a";
  deepEqual(await change({ user: bytes('"\xe9') }), [
    `${prefix}: user is "user" on the left, "\\x22\\xc3\\xa9" on the right`,
  ]);
  match(
    (await change({ description: bytes("d") })).join(),
    /: description is .* "d" on the right$/,
  );
  match((await change({ extension: bytes("e") })).join(), /: extension is "" on the left/);
  match((await change({ status: "p" })).join(), /: status is " " on the left, "p" on the right$/);

  const records = async (...list: Parameters<typeof transaction>[1]) =>
    (await differences([A], [transaction(10, list)])).join();
  match(
    await records([1, "a"], [2, "y"]),
    /, oid 0000000000000002: data is 1 bytes \(SHA-1 11f6ad8ec52a2984abaafd7c3b516503785c2072\) on/,
  );
  match(await records([1, "a"], [2, null]), /oid 0000000000000002: data is .*, none on the right$/);
  match(
    await records([1, "a"], [2, "x", 5]),
    /: data tid is none on the left, 0000000000000005 on/,
  );
  match(await records([1, "a"]), /: record is of oid 0000000000000002 on the left, absent on/);
  match(
    await records([2, "x"], [1, "a"]),
    /: record is of oid 0000000000000001 on the left, of oid/,
  );
});

Deno.test("compareTransactions() ignores what it is told to", async () => {
  const changed = transaction(30, [[1, "a"]], { status: "p" });
  const reversed = transaction(20, [[3, null], [1, "b"]]);
  equal((await differences([B, C], [reversed, changed])).length, 3);
  const options = { ignoreStatus: true, ignoreDataTid: true, ignoreOrder: true };
  deepEqual(await differences([B, C], [reversed, changed], options), []);
  const other = transaction(20, [[3, null], [1, "c"]]);
  equal((await differences([B], [other], options)).length, 1);
});

Deno.test("compareTransactions() counts all differences and describes the first ones", async () => {
  const many = Array.from({ length: 50 }, (_, i) => transaction(i + 1, []));
  const sides = [ReadableStream.from(many), ReadableStream.from([])] as const;
  const comparison = await compareTransactions(...sides);
  equal(comparison.differences, 50);
  equal(comparison.first.length, 10);
});

Deno.test("checkStructure() finds nothing wrong in files of ZODB", async () => {
  for (const name of ["history", "packed", "duplicates", "small", "blob", "empty"] as const) {
    await withFile(await fixture(name), async (path) => deepEqual(await checkStructure(path), []));
  }
});

/** Checks a file with a damage at an offset of its n-th transaction. */
async function problems(
  name: "small" | "history",
  ordinal: number,
  offset: number,
  damage: Uint8Array | number[],
): Promise<string> {
  const content = await fixture(name);
  let found = "";
  await withFile(content, async (path) => {
    using reader = await FileStorageReader.open(path);
    const transactions = await Array.fromAsync(reader.transactions());
    const position = (transactions[ordinal]?.header.position ?? 0) + offset;
    await Deno.writeFile(path, patched(content, position, damage));
    const messages = (await checkStructure(path)).map(({ message }) => message);
    found = messages.join("; ");
  });
  return found;
}

Deno.test("checkStructure() finds what opening a file forgives", async () => {
  const record = 23 + "undo 3".length;
  match(await problems("small", 2, 16, bytes("c")), /^transaction voted but not finished$/);
  match(await problems("small", 1, 16, bytes("!")), /has the unknown status "!"/);
  match(
    await problems("history", 3, record + 23, [9]),
    /^the record of oid 0+ follows one at \d+ i/,
  );
  match(await problems("history", 3, record + 15, [9]), /has tid \w+, unlike its transaction/);
  match(await problems("history", 3, record + 48, [0, 4]), /leads to 4, not a record of the same/);
  match(await problems("history", 3, record + 47, [1]), /leads to \d+, not before its transaction/);
  match(await problems("history", 3, record + 24, [1]), /is corrupted at position/);
});

Deno.test("checkStructure() finds a back-pointer that leads inside of something", async () => {
  // Oid 0 and zeros look like a record of object 0, but in no transaction.
  match(await problems("history", 3, 23 + 6 + 49, [30 + 23]), /leads to 53, /);
});
