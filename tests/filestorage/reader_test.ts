import { deepEqual, equal, match, notEqual, ok, rejects } from "node:assert/strict";
import { CorruptFileError, FileStorageError, FileStorageReader } from "../../filestorage/mod.ts";
import { hexId, type Tid, toOid, toTid } from "../../protocol/ids.ts";
import { bytes, concat, dump, dumpFile, expectedDump, type Fixture } from "./support.ts";
import { fixture, patched, withFile, withFolder } from "./support.ts";

/** Positions of the transactions of a file, and its end. */
async function positions(path: string): Promise<number[]> {
  using reader = await FileStorageReader.open(path);
  const found = await Array.fromAsync(reader.transactions(), ({ header }) => header.position);
  return [...found, reader.end];
}

const FIXTURES: Fixture[] = ["history", "packed", "duplicates", "small", "blob", "empty"];
for (const name of FIXTURES) {
  Deno.test(`FileStorageReader.transactions() gives what ZODB iterates in ${name}.fs`, async () => {
    await withFile(await fixture(name), async (path) => {
      deepEqual(await dumpFile(path), await expectedDump(name));
    });
  });
}

Deno.test("FileStorageReader.open() tells the extent of the file", async () => {
  await withFile(await fixture("history"), async (path) => {
    using reader = await FileStorageReader.open(path);
    const expected = await expectedDump("history");
    equal(reader.magic, "FS30");
    equal(hexId(reader.lastTid), expected.at(-1)?.tid);
    equal(reader.transactionCount, expected.length);
    equal(reader.recordCount, expected.flatMap(({ records }) => records).length);
    equal(reader.largestOid, (1n << 62n) + 5n);
    equal(reader.repeatsOids, false);
    equal(reader.ignoredBytes, 0);
    equal(reader.ignoredReason, null);
    deepEqual(reader.warnings, []);
  });
});

Deno.test("FileStorageReader.open() knows a file without transaction", async () => {
  await withFile(await fixture("empty"), async (path) => {
    using reader = await FileStorageReader.open(path);
    equal(reader.lastTid, 0n);
    equal(reader.largestOid, null);
    deepEqual(await dump(reader.transactions()), []);
  });
});

Deno.test("FileStorageReader.open() notices several records of an oid in a transaction", async () => {
  await withFile(await fixture("duplicates"), async (path) => {
    using reader = await FileStorageReader.open(path);
    equal(reader.repeatsOids, true);
  });
});

Deno.test("FileStorageReader.open() accepts a file of Python 2", async () => {
  await withFile(patched(await fixture("small"), 0, bytes("FS21")), async (path) => {
    using reader = await FileStorageReader.open(path);
    equal(reader.magic, "FS21");
    deepEqual(await dump(reader.transactions()), await expectedDump("small"));
  });
});

Deno.test("FileStorageReader.transactions() keeps to a range, both ends included", async () => {
  await withFile(await fixture("history"), async (path) => {
    using reader = await FileStorageReader.open(path);
    const tids = (await expectedDump("history")).map(({ tid }) => toTid(BigInt(`0x${tid}`)));
    const at = (index: number) => tids[index] ?? toTid(0);
    const read = (from?: Tid, to?: Tid) =>
      Array.fromAsync(reader.transactions(from, to), ({ tid }) => tid);
    deepEqual(await read(at(3)), tids.slice(3));
    deepEqual(await read(undefined, at(5)), tids.slice(0, 6));
    deepEqual(await read(at(3), at(5)), tids.slice(3, 6));
    deepEqual(await read(toTid(at(3) + 1n), toTid(at(5) - 1n)), [at(4)]);
    deepEqual(await read(toTid(at(21) + 1n)), []);
    deepEqual(await read(at(5), at(3)), []);
    equal(reader.measure(at(3), at(5)).transactions, 3);
    equal(reader.measure().bytes, reader.end - 4);
    equal(reader.tidFromEnd(2), at(20));
    equal(reader.tidFromEnd(1000), at(0));
  });
});

Deno.test("FileStorageReader.transactions() gives transactions whose records stay readable", async () => {
  await withFile(await fixture("history"), async (path) => {
    using reader = await FileStorageReader.open(path);
    const kept = await Array.fromAsync(reader.transactions());
    const again = await dump(ReadableStream.from(kept.toReversed()));
    deepEqual(again.toReversed(), await expectedDump("history"));
  });
});

Deno.test("FileStorageReader ignores an incomplete end, of any length", async () => {
  const content = await fixture("small");
  const expected = await expectedDump("small");
  await withFile(content, async (path) => {
    const ends = await positions(path);
    for (let size = content.length - 1; size >= 4; size--) {
      await Deno.writeFile(path, content.subarray(0, size));
      using reader = await FileStorageReader.open(path);
      const complete = ends.filter((end) => end <= size).length - 1;
      equal(reader.end, ends[complete]);
      equal(reader.ignoredBytes, size - reader.end);
      equal(reader.ignoredReason === null, reader.ignoredBytes === 0);
      deepEqual(await dump(reader.transactions()), expected.slice(0, complete));
      equal(hexId(reader.lastTid), expected[complete - 1]?.tid ?? "0000000000000000");
    }
  });
});

Deno.test("FileStorageReader ignores an end that is only zeros, of any length", async () => {
  const content = await fixture("small");
  for (const count of [1, 7, 8, 22, 23, 31, 100, 5000]) {
    await withFile(concat(content, new Uint8Array(count)), async (path) => {
      using reader = await FileStorageReader.open(path);
      equal(reader.ignoredBytes, count);
      equal(reader.end, content.length);
      equal(reader.transactionCount, 3);
    });
  }
});

Deno.test("FileStorageReader ignores a last transaction that was not finished", async () => {
  const content = await fixture("small");
  await withFile(content, async (path) => {
    const [, , last = 0] = await positions(path);
    await Deno.writeFile(path, patched(content, last + 16, bytes("c")));
    using reader = await FileStorageReader.open(path);
    equal(reader.transactionCount, 2);
    equal(reader.ignoredBytes, content.length - last);
    match(reader.ignoredReason ?? "", /not finished/);
  });
});

Deno.test("FileStorageReader skips a transaction undone by status", async () => {
  const content = await fixture("small");
  await withFile(content, async (path) => {
    const [, second = 0] = await positions(path);
    await Deno.writeFile(path, patched(content, second + 16, bytes("u")));
    using reader = await FileStorageReader.open(path);
    const [first, , third] = await expectedDump("small");
    deepEqual(await dump(reader.transactions()), [first, third]);
    equal(reader.transactionCount, 2);
    equal(reader.warnings.length, 1);
    const revision = await reader.loadBefore(toOid(1), reader.lastTid);
    equal(hexId(revision?.serial ?? toTid(0)), first?.tid);
  });
});

Deno.test("FileStorageReader warns of unusual statuses and tids", async () => {
  const content = await fixture("small");
  await withFile(content, async (path) => {
    const [first = 0, second = 0, third = 0] = await positions(path);
    await Deno.writeFile(path, patched(content, second + 16, bytes("?")));
    using odd = await FileStorageReader.open(path);
    match(odd.warnings.join(), /^at \d+: transaction [0-9a-f]{16} has the unknown status "\?"$/);

    const firstTid = content.subarray(first, first + 8);
    await Deno.writeFile(path, patched(content, third, firstTid));
    using back = await FileStorageReader.open(path);
    match(back.warnings.join(), /is not greater than the one before/);
    equal(back.transactionCount, 3);
  });
});

/** Damages the middle of small.fs, and checks that the place is told. */
async function refuses(
  damage: (content: Uint8Array, second: number) => readonly [Uint8Array, number],
  message: RegExp,
): Promise<void> {
  const content = await fixture("small");
  await withFile(content, async (path) => {
    const [, second = 0] = await positions(path);
    const [damaged, position] = damage(content, second);
    notEqual(damaged.toHex(), content.toHex());
    await Deno.writeFile(path, damaged);
    await rejects(FileStorageReader.open(path), (error) => {
      ok(error instanceof CorruptFileError);
      equal(error.position, position);
      ok(error.message.includes(`${path} is corrupted at position ${position}: `));
      match(error.message, message);
      return true;
    });
  });
}

/** Offset of the first record in the second transaction: after "bob" and "second". */
const RECORD = 23 + 3 + 6;

Deno.test("FileStorageReader refuses a wrong repeated length", () =>
  refuses((content, second) => {
    const length = new DataView(content.buffer).getUint32(second + 12);
    return [patched(content, second + length + 7, [0]), second];
  }, /in front and \d+ at its end/));

Deno.test("FileStorageReader refuses a length that hides the transactions that follow", () =>
  refuses((content, second) => [patched(content, second + 10, [1]), second], /others follow/));

Deno.test("FileStorageReader refuses a length smaller than the header", () =>
  refuses((content, second) => {
    return [patched(content, second + 8, [0, 0, 0, 0, 0, 0, 0, 9]), second];
  }, /less than its header/));

Deno.test("FileStorageReader refuses an unfinished transaction before others", () =>
  refuses((content, second) => [patched(content, second + 16, bytes("c")), second], /unfinished/));

Deno.test("FileStorageReader refuses a record of another transaction", () =>
  refuses((content, second) => {
    return [patched(content, second + RECORD + 24, [1]), second + RECORD];
  }, /says its transaction is at/));

Deno.test("FileStorageReader refuses a record that goes beyond its transaction", () =>
  refuses((content, second) => {
    return [patched(content, second + RECORD + 38, [1]), second + RECORD];
  }, /beyond its transaction/));

Deno.test("FileStorageReader refuses records that do not fill their transaction", () =>
  refuses((content, second) => {
    return [patched(content, second + RECORD + 41, [2]), second + RECORD + 42 + 2];
  }, /beyond its transaction/));

Deno.test("FileStorageReader refuses versions and says what to do", async () => {
  const content = await fixture("small");
  await withFile(content, async (path) => {
    const [first = 0] = await positions(path);
    await Deno.writeFile(path, patched(content, first + 23 + 32, [0, 3]));
    await rejects(FileStorageReader.open(path), /contains versions .*ZODB before 3\.9/);
  });
});

Deno.test("FileStorageReader refuses a back-pointer that leads nowhere", async () => {
  const content = await fixture("history");
  await withFile(content, async (path) => {
    const [, , , undo = 0] = await positions(path);
    const record = undo + 23 + "undo 3".length;
    for (const target of [[0xff, 0xff, 0xff], [0, 0, 7]]) {
      await Deno.writeFile(path, patched(content, record + 42 + 5, target));
      await rejects(dumpFile(path), (error) => {
        ok(error instanceof CorruptFileError);
        equal(error.position, record);
        return true;
      });
    }
  });
});

Deno.test("FileStorageReader.open() refuses what is not a FileStorage", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    await rejects(FileStorageReader.open(path), {
      name: "FileStorageError",
      message: `${path} does not exist`,
    });
    await rejects(FileStorageReader.open(folder), /is not a file$/);
    await Deno.writeFile(path, new Uint8Array());
    await rejects(FileStorageReader.open(path), /not a FileStorage: it has 0 bytes/);
    await Deno.writeTextFile(path, "PK\x03\x04 something");
    await rejects(FileStorageReader.open(path), FileStorageError);
    await rejects(FileStorageReader.open(path), /it starts with "PK\\u0003\\u0004"/);
  });
});

Deno.test("FileStorageReader.loadBefore() and loadAt() agree with the iteration", async () => {
  for (const name of ["history", "packed", "duplicates"] as const) {
    await withFile(await fixture(name), async (path) => {
      using reader = await FileStorageReader.open(path);
      const revisions = new Map<bigint, { tid: Tid; data: string | null }[]>();
      for await (const { tid, records } of reader.transactions()) {
        for await (const { oid, data } of records()) {
          const known = revisions.get(oid) ?? [];
          // Of several records in a transaction, the last one counts.
          if (known.at(-1)?.tid === tid) known.pop();
          revisions.set(oid, [...known, { tid, data: data?.toHex() ?? null }]);
        }
      }
      for (const [oid, known] of revisions) {
        equal(await reader.loadBefore(toOid(oid), known[0]?.tid ?? toTid(0)), null);
        for (const [index, { tid, data }] of known.entries()) {
          for (
            const found of [
              await reader.loadBefore(toOid(oid), toTid(tid + 1n)),
              await reader.loadAt(toOid(oid), tid),
            ]
          ) {
            equal(found?.serial, tid);
            equal(found?.data?.toHex() ?? null, data);
            equal(found?.nextSerial, known[index + 1]?.tid ?? null);
          }
          const earlier = await reader.loadAt(toOid(oid), toTid(tid - 1n));
          ok(earlier === null || earlier.serial === toTid(tid - 1n));
        }
      }
      equal(await reader.loadBefore(toOid(0x12345), reader.lastTid), null);
    });
  }
});

Deno.test("FileStorageReader.transactions() does not see what is appended later", async () => {
  const content = await fixture("small");
  await withFile(content, async (path) => {
    const [, , third = 0] = await positions(path);
    await Deno.writeFile(path, content.subarray(0, third));
    using reader = await FileStorageReader.open(path);
    await Deno.writeFile(path, content);
    equal((await dump(reader.transactions())).length, 2);
    equal((await reader.loadBefore(toOid(1), toTid(1n << 62n)))?.nextSerial, null);
  });
});
