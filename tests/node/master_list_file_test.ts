import assert from "node:assert/strict";
import { openMasterList } from "../../node/master_list_file.ts";
import { fakeHost } from "./fake_host.ts";

async function inFolder(work: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(`${folder}/masters.json`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function unexpected(message: string): void {
  assert.fail(message);
}

Deno.test("openMasterList() creates an empty list, then finds again what was saved", () =>
  inFolder(async (path) => {
    const list = await openMasterList(path, fakeHost(), unexpected);
    assert.deepEqual(list.addresses, []);
    assert.equal(await Deno.readTextFile(path), "[]\n");
    const a = { host: "127.0.0.1", port: 10000 };
    const b = { host: "::1", port: 10001 };
    list.save([b, a, a]);
    assert.equal(await Deno.readTextFile(path), '[["127.0.0.1",10000],["::1",10001]]\n');
    assert.deepEqual((await openMasterList(path, fakeHost(), unexpected)).addresses, [a, b]);
    list.save([]);
    assert.equal(await Deno.readTextFile(path), "[]\n");
  }));

Deno.test("openMasterList() resolves names", () =>
  inFolder(async (path) => {
    await Deno.writeTextFile(path, '[["host5", 1]]');
    const { addresses } = await openMasterList(path, fakeHost(), unexpected);
    assert.deepEqual(addresses, [{ host: "10.0.0.5", port: 1 }]);
  }));

Deno.test("openMasterList() refuses a file that is something else", () =>
  inFolder(async (path) => {
    for (
      const [text, message] of [
        ["[", /^dynamic master list .*masters\.json: .*; expected \[\["host", port\]/],
        ["{}", /it is not an array; expected/],
        ["[1]", /1 is not an address/],
        ['[["a"]]', /\["a"\] is not an address/],
        ['[["a", 0]]', /\["a",0\] is not an address/],
        ['[["a", 1, 2]]', /is not an address/],
        ['[[1, "a"]]', /is not an address/],
      ] as const
    ) {
      await Deno.writeTextFile(path, text);
      await assert.rejects(openMasterList(path, fakeHost(), unexpected), {
        name: "ConfigError",
        message,
      });
    }
  }));

Deno.test("openMasterList() takes a file that a crash left empty for an empty list", () =>
  inFolder(async (path) => {
    await Deno.writeTextFile(path, "");
    assert.deepEqual((await openMasterList(path, fakeHost(), unexpected)).addresses, []);
  }));

Deno.test("openMasterList() refuses a path that can't be created", () =>
  inFolder((path) =>
    assert.rejects(openMasterList(`${path}/no/list`, fakeHost(), unexpected), {
      name: "ConfigError",
      message: /can't create dynamic master list/,
    })
  ));

Deno.test("MasterList.save() only warns when the file can't be written", () =>
  inFolder(async (path) => {
    const warnings: string[] = [];
    const list = await openMasterList(path, fakeHost(), (message) => warnings.push(message));
    // The temporary file has the name of a folder.
    await Deno.mkdir(`${path}.${Deno.pid}.tmp`);
    list.save([{ host: "::1", port: 1 }]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /can't save dynamic master list .*masters\.json/);
    await Deno.remove(`${path}.${Deno.pid}.tmp`);
    list.save([{ host: "::1", port: 1 }]);
    assert.equal(warnings.length, 1);
    assert.equal(await Deno.readTextFile(path), '[["::1",1]]\n');
  }));
