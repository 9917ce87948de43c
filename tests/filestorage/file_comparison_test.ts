import { deepEqual, equal } from "node:assert/strict";
import { compareFiles, FileStorageReader } from "../../filestorage/mod.ts";
import { copyTransactions, FileDestination, FileSource } from "../../filestorage/mod.ts";
import { bytes, concat, fixture, patched, withFile } from "./support.ts";

Deno.test("compareFiles() finds the same in a file and its copy", async () => {
  await withFile(await fixture("history"), async (path) => {
    await Deno.writeFile(`${path}.copy`, concat(await fixture("history"), [0, 0, 0]));
    deepEqual(await compareFiles(path, `${path}.copy`), { difference: null, packedLinks: 0 });
  });
});

Deno.test("compareFiles() accepts that a copy links packed records", async () => {
  await withFile(await fixture("packed"), async (path) => {
    const [source, copy] = [
      await FileSource.open(path),
      await FileDestination.open(`${path}.copy`),
    ];
    await copyTransactions(source, copy);
    await Promise.all([source.close(), copy.close()]);
    const expected = { difference: null, packedLinks: 1 };
    deepEqual(await compareFiles(path, `${path}.copy`), expected);
    deepEqual(await compareFiles(`${path}.copy`, path), expected);
  });
});

Deno.test("compareFiles() tells where files differ and in what", async () => {
  const content = await fixture("history");
  await withFile(content, async (path) => {
    using reader = await FileStorageReader.open(path);
    const transactions = await Array.fromAsync(reader.transactions());
    const [second = 0, undo = 0] = [1, 3].map((n) => transactions[n]?.header.position ?? 0);
    const record = undo + 23 + "undo 3".length;
    // Only what leaves a readable file can differ.
    const changes: [number, Uint8Array | number[], string][] = [
      [0, bytes("FS21"), "magic"],
      [second + 7, [1], "tid"],
      [second + 16, bytes("p"), "status"],
      [second + 23, bytes("B"), "user"],
      [second + 23 + 3, bytes("S"), "description"],
      [second + 23 + 3 + 5, [0], "extension"],
      [record, [0x10], "oid"],
      [record + 8, [0], "tid of a record"],
      [record + 23, [0], "position of the previous record"],
      [record + 49, [9], "back-pointer"],
    ];
    for (const [offset, change, field] of changes) {
      await Deno.writeFile(`${path}.other`, patched(content, offset, change));
      const { difference } = await compareFiles(path, `${path}.other`);
      deepEqual(difference, { offset, field });
    }
  });
});

Deno.test("compareFiles() tells when one file goes on", async () => {
  const content = await fixture("history");
  await withFile(content, async (path) => {
    using reader = await FileStorageReader.open(path);
    const last = (await Array.fromAsync(reader.transactions())).at(-1)?.header.position ?? 0;
    await Deno.writeFile(`${path}.short`, content.subarray(0, last));
    const long = await compareFiles(`${path}.short`, path);
    deepEqual(long.difference, { offset: last, field: "end of the file" });
    const short = await compareFiles(path, `${path}.short`);
    equal(short.difference?.offset, last);
  });
});
