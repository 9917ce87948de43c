import { deepEqual, equal, match, rejects, throws } from "node:assert/strict";
import { FileStorageReader, FileStorageWriter, type Magic } from "../../filestorage/mod.ts";
import { checkStructure } from "../../filestorage/mod.ts";
import type { TransactionRecord } from "../../client/records.ts";
import { dump, dumpFile, expectedDump, fixture, oidOf, patched } from "./support.ts";
import { tidOf, transaction, withFile, withFolder } from "./support.ts";

async function write(writer: FileStorageWriter, transaction: TransactionRecord): Promise<void> {
  writer.begin(transaction);
  for await (const { oid, data, dataTid } of transaction.records()) {
    writer.restore(oid, data, dataTid);
  }
  writer.finish();
}

/** Copies a file with nothing but the reader and the writer. */
async function copy(from: string, to: string, magic?: Magic): Promise<void> {
  using reader = await FileStorageReader.open(from);
  await using writer = await FileStorageWriter.open(to, { magic: magic ?? reader.magic });
  for await (const transaction of reader.transactions()) await write(writer, transaction);
}

for (const name of ["history", "duplicates", "small", "blob", "empty"] as const) {
  Deno.test(`FileStorageWriter makes ${name}.fs again, byte for byte`, async () => {
    await withFile(await fixture(name), async (path) => {
      await copy(path, `${path}.copy`);
      equal((await Deno.readFile(`${path}.copy`)).toHex(), (await fixture(name)).toHex());
      deepEqual(await checkStructure(`${path}.copy`), []);
    });
  });
}

Deno.test("FileStorageWriter links again the records that a pack has unlinked", async () => {
  const content = await fixture("packed");
  await withFile(content, async (path) => {
    await copy(path, `${path}.copy`);
    const written = await Deno.readFile(`${path}.copy`);
    equal(written.length, content.length);
    const differing = [...written.keys()].filter((i) => written[i] !== content[i]);
    // Two revisions of one object were kept: the newer one now says where the older one is.
    using reader = await FileStorageReader.open(path);
    const [, older, newer] = await Array.fromAsync(reader.transactions());
    const record = (newer?.header.position ?? 0) + 23 + "kept".length;
    const previous = (older?.header.position ?? 0) + 23;
    equal(new DataView(written.buffer).getBigUint64(record + 16), BigInt(previous));
    equal(differing.every((i) => i >= record + 16 && i < record + 24), true);
    deepEqual(await dumpFile(`${path}.copy`), await expectedDump("packed"));
    deepEqual(await checkStructure(`${path}.copy`), []);
  });
});

Deno.test("FileStorageWriter creates a file with the magic that is asked for", async () => {
  await withFolder(async (folder) => {
    for (const magic of ["FS21", "FS30"] as const) {
      await (await FileStorageWriter.open(`${folder}/${magic}`, { magic })).close();
      equal(await Deno.readTextFile(`${folder}/${magic}`), magic);
    }
    await (await FileStorageWriter.open(`${folder}/default`)).close();
    equal(await Deno.readTextFile(`${folder}/default`), "FS30");
  });
});

Deno.test("FileStorageWriter appends after what a file holds", async () => {
  const content = await fixture("history");
  await withFile(content, async (path) => {
    using reader = await FileStorageReader.open(path);
    const transactions = await Array.fromAsync(reader.transactions());
    for (let count = 0; count <= transactions.length; count++) {
      const end = transactions[count]?.header.position ?? reader.end;
      await Deno.writeFile(`${path}.copy`, content.subarray(0, end));
      await using writer = await FileStorageWriter.open(`${path}.copy`);
      equal(writer.lastTid, transactions[count - 1]?.tid ?? 0n);
      for (const transaction of transactions.slice(count)) await write(writer, transaction);
      await writer.sync();
      equal((await Deno.readFile(`${path}.copy`)).toHex(), content.toHex());
    }
  });
});

Deno.test("FileStorageWriter.open() moves an incomplete end away", async () => {
  const content = await fixture("small");
  await withFile(content.subarray(0, content.length - 5), async (path) => {
    for (const number of [0, 1]) {
      const cut = await Deno.readFile(path);
      await using writer = await FileStorageWriter.open(path);
      equal(writer.savedTail, `${path}.tr${number}`);
      const kept = await Deno.readFile(path);
      const saved = await Deno.readFile(`${path}.tr${number}`);
      equal(kept.toHex() + saved.toHex(), cut.toHex());
      await Deno.writeFile(path, content.subarray(0, content.length - 5));
    }
  });
});

Deno.test("FileStorageWriter.open() refuses a damaged file and leaves it alone", async () => {
  const content = patched(await fixture("small"), 4 + 23 + 24, [1]);
  await withFile(content, async (path) => {
    await rejects(FileStorageWriter.open(path), { name: "CorruptFileError" });
    equal((await Deno.readFile(path)).toHex(), content.toHex());
    // The lock is released.
    await Deno.writeFile(path, await fixture("small"));
    await (await FileStorageWriter.open(path)).close();
  });
});

Deno.test("FileStorageWriter.begin() refuses a tid that is not after the last one", async () => {
  await withFile(await fixture("small"), async (path) => {
    await using writer = await FileStorageWriter.open(path);
    for (const tid of [writer.lastTid, tidOf(1)]) {
      throws(() => writer.begin({ ...transaction(0, []), tid }), /is not after it/);
    }
  });
});

Deno.test("FileStorageWriter refuses what a FileStorage can not hold", async () => {
  await withFolder(async (folder) => {
    await using writer = await FileStorageWriter.open(`${folder}/Data.fs`);
    for (const field of ["user", "description", "extension"]) {
      const info = transaction(1, [], { [field]: new Uint8Array(65536) });
      throws(() => writer.begin(info), new RegExp(`a ${field} of 65536 bytes`));
    }
    throws(() => writer.restore(oidOf(1), null), /no transaction was begun/);
    writer.begin(transaction(1, []));
    throws(() => writer.restore(oidOf(1), new Uint8Array()), /empty data/);
    throws(() => writer.begin(transaction(2, [])), /is not finished/);
  });
});

Deno.test("FileStorageWriter.abort() leaves nothing of a transaction", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    await using writer = await FileStorageWriter.open(path);
    await write(writer, transaction(1, [[1, "one"]]));
    for (const size of [10, 3_000_000]) {
      writer.begin(transaction(2, []));
      writer.restore(oidOf(1), new Uint8Array(size));
      writer.restore(oidOf(2), new Uint8Array(size));
      writer.abort();
      equal(writer.lastTid, 1n);
    }
    await write(writer, transaction(2, [[1, "two"]]));
    await writer.sync();
    const expected = ReadableStream.from([
      transaction(1, [[1, "one"]]),
      transaction(2, [[1, "two"]]),
    ]);
    deepEqual(await dumpFile(path), await dump(expected));
    deepEqual(await checkStructure(path), []);
  });
});

Deno.test("FileStorageWriter.close() drops a transaction that was not finished", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    const writer = await FileStorageWriter.open(path);
    await write(writer, transaction(1, [[1, "one"]]));
    writer.begin(transaction(2, []));
    writer.restore(oidOf(1), new Uint8Array(2_000_000));
    await writer.close();
    deepEqual(await checkStructure(path), []);
    equal((await dumpFile(path)).length, 1);
  });
});

Deno.test("FileStorageWriter leaves a recoverable file when it is interrupted", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    await using writer = await FileStorageWriter.open(path);
    await write(writer, transaction(1, [[1, "one"]]));
    writer.begin(transaction(2, []));
    writer.restore(oidOf(1), new Uint8Array(2_000_000));
    // What is in the file at this moment is what a killed process leaves.
    using reader = await FileStorageReader.open(path);
    equal(reader.ignoredBytes > 2_000_000, true);
    match(reader.ignoredReason ?? "", /not finished/);
    equal(reader.transactionCount, 1);
  });
});

Deno.test("FileStorageWriter.restore() shares data only where it is the same", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    const history = [
      transaction(10, [[1, "a"], [2, "x"]]),
      transaction(20, [[1, "b"]]),
      transaction(30, [[1, "a", 10]]),
      transaction(40, [[1, "a", 30]]), // through a pointer
      transaction(50, [[1, null]]),
      transaction(60, [[1, null, 50]]), // to a deletion
      transaction(70, [[1, "a", 50]]), // not what 50 holds
      transaction(80, [[1, "other", 20]]),
      transaction(90, [[1, "a", 25]]), // no such transaction
      transaction(100, [[2, "y", 20]]), // no such record in it
      transaction(110, [[3, "z", 20]]), // no such object
    ];
    {
      await using writer = await FileStorageWriter.open(path);
      for (const each of history) await write(writer, each);
    }
    const shared = (await dumpFile(path)).flatMap(({ records }) => records.map((r) => r.dataTid));
    const hex = (tid: number) => tid.toString(16).padStart(16, "0");
    deepEqual(shared, [
      ...[null, null, null, hex(10), hex(30)],
      ...[null, hex(50), null, null, null, null, null],
    ]);
    const given = (await dump(ReadableStream.from(history))).flatMap(({ records }) => records);
    const kept = (await dumpFile(path)).flatMap(({ records }) => records);
    deepEqual(kept.map(({ sha1 }) => sha1), given.map(({ sha1 }) => sha1));
    deepEqual(await checkStructure(path), []);
  });
});

Deno.test("FileStorageWriter.open() refuses a file that is open for writing already", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    await using _writer = await FileStorageWriter.open(path);
    match(await Deno.readTextFile(`${path}.lock`), new RegExp(`^ ${Deno.pid}\n$`));
    await rejects(FileStorageWriter.open(path), (error: Error) => {
      match(error.message, new RegExp(`is in use: .*Data\\.fs\\.lock is locked by process \\d+$`));
      return true;
    });
  });
});
