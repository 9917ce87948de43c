import { notEqual, ok } from "node:assert/strict";
import { checkStructure, FileStorageError, FileStorageReader } from "../../filestorage/mod.ts";
import { dump, dumpFile, fixture, patched, withFile } from "./support.ts";

/** Every byte of a small file, changed in two ways. */
async function* damagedFiles(): AsyncGenerator<Uint8Array> {
  const content = await fixture("small");
  for (const [offset, byte] of content.entries()) {
    for (const change of [0x01, 0xff]) yield patched(content, offset, [byte ^ change]);
  }
}

Deno.test("FileStorageReader reads a file with any damage, or tells what is wrong", async () => {
  await withFile(new Uint8Array(), async (path) => {
    let refused = 0;
    for await (const content of damagedFiles()) {
      await Deno.writeFile(path, content);
      try {
        using reader = await FileStorageReader.open(path);
        await dump(reader.transactions());
        ok(reader.end <= content.length);
      } catch (error) {
        if (!(error instanceof FileStorageError)) throw error;
        refused++;
      }
    }
    ok(refused > 100);
  });
});

Deno.test("checkStructure() finds any damage outside of contents", async () => {
  await withFile(await fixture("small"), async (path) => {
    const expected = JSON.stringify(await dumpFile(path));
    for await (const damaged of damagedFiles()) {
      await Deno.writeFile(path, damaged);
      const problems = await checkStructure(path);
      if (problems.length > 0) continue;
      // What is still sound can only be another content: ids, texts, data, packed or not.
      notEqual(JSON.stringify(await dumpFile(path)), expected);
    }
  });
});
