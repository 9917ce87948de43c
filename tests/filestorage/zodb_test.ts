import { deepEqual, equal, match, rejects } from "node:assert/strict";
import {
  checkStructure,
  copyTransactions,
  FileDestination,
  FileSource,
  FileStorageWriter,
} from "../../filestorage/mod.ts";
import { pythonWithZodb, run } from "../support/python.ts";
import { type DumpedTransaction, dumpFile, type Fixture, fixture, oidOf } from "./support.ts";
import { transaction, withFile, withFolder } from "./support.ts";

const SCRIPT = new URL("make_data_fs.py", import.meta.url).pathname;
const FILES = ["history", "packed", "duplicates", "small", "blob", "empty", "large"];

/** Runs a test with a Python that has ZODB, if there is one. */
function zodbTest(name: string, test: (python: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const python = await pythonWithZodb();
    if (python !== null) await test(python);
  });
}

/** What ZODB iterates in files. */
async function zodbDump(python: string, paths: string[]): Promise<DumpedTransaction[][]> {
  const lines = (await run(python, SCRIPT, "dump", ...paths)).trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

async function copyFile(from: string, to: string): Promise<void> {
  const source = await FileSource.open(from);
  const destination = await FileDestination.open(to, { magic: source.reader.magic });
  await copyTransactions(source, destination, { withoutBlobs: true });
  await Promise.all([source.close(), destination.close()]);
}

zodbTest("a FileStorage of ZODB is read as ZODB does, and its copy too", async (python) => {
  await withFolder(async (folder) => {
    await run(python, SCRIPT, "make", folder);
    const originals = FILES.map((name) => `${folder}/${name}.fs`);
    const copies = originals.map((path) => `${path}.copy`);
    for (const path of originals) await copyFile(path, `${path}.copy`);
    const dumps = await zodbDump(python, [...originals, ...copies]);
    for (const [index, name] of FILES.entries()) {
      const [original = "", copy = ""] = [originals[index], copies[index]];
      deepEqual(await dumpFile(original), dumps[index], name);
      deepEqual(dumps[index + FILES.length], dumps[index], name);
      deepEqual(await checkStructure(copy), [], name);
      const same = equalFiles(await Deno.readFile(original), await Deno.readFile(copy));
      // Only in a packed file may links between records be missing.
      equal(same, name !== "packed", name);
    }
  });
});

function equalFiles(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

zodbTest("the fixtures are what make_data_fs.py makes", async (python) => {
  await withFolder(async (folder) => {
    await run(python, SCRIPT, "make", folder);
    for (const name of FILES.filter((name): name is Fixture => name !== "large")) {
      const made = await Deno.readFile(`${folder}/${name}.fs`);
      equal(made.toHex(), (await fixture(name)).toHex(), name);
    }
  });
});

zodbTest("ZODB reads what an interrupted writer leaves", async (python) => {
  await withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    await using writer = await FileStorageWriter.open(path);
    writer.begin(transaction(1, []));
    writer.restore(oidOf(0), new Uint8Array(3));
    writer.finish();
    writer.begin(transaction(2, []));
    writer.restore(oidOf(0), new Uint8Array(2_000_000));
    const [dump] = await zodbDump(python, [path]);
    equal(dump?.length, 1);
  });
});

zodbTest("ZODB and FileStorageWriter respect each other's lock", async (python) => {
  await withFile(await fixture("small"), async (path) => {
    {
      await using _writer = await FileStorageWriter.open(path);
      await rejects(run(python, SCRIPT, "lock", path), /LockError/);
    }
    const holder = new Deno.Command(python, {
      args: [SCRIPT, "lock", path],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const output = holder.stdout.getReader();
    match(new TextDecoder().decode((await output.read()).value), /locked/);
    await rejects(FileStorageWriter.open(path), new RegExp(`locked by process ${holder.pid}$`));
    await holder.stdin.close();
    while (!(await output.read()).done);
    await holder.status;
    await (await FileStorageWriter.open(path)).close();
  });
});
