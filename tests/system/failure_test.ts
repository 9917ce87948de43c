/**
 * Failures of what a storage stands on: the disk is full, the database server dies.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connect } from "../../client/mod.ts";
import { type Oid, type Tid, toOid } from "../../protocol/ids.ts";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { ProcessCluster, until } from "../support/processes.ts";
import { Workload } from "./workload.ts";

/** Mounts a small file system, `null` where that is not allowed. */
async function smallDisk(size: string): Promise<
  { folder: string; resize(size: string): Promise<void> } & AsyncDisposable | null
> {
  const folder = await Deno.makeTempDir();
  const mount = async (...args: string[]) => {
    const { success } = await new Deno.Command("mount", { args, stderr: "null" }).output();
    return success;
  };
  if (!await mount("-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder)) {
    await Deno.remove(folder);
    return null;
  }
  return {
    folder,
    async resize(size) {
      assert(await mount("-o", `remount,size=${size}`, folder));
    },
    async [Symbol.asyncDispose]() {
      await new Deno.Command("umount", { args: [folder] }).output();
      await Deno.remove(folder);
    },
  };
}

Deno.test("a storage with a full disk says so, and comes back when there is room", async () => {
  await using disk = await smallDisk("6m");
  if (disk === null) {
    assert(Deno.env.get("CI") === undefined, "this test needs to mount a file system");
    console.warn("SKIPPED: mounting a file system is not allowed here");
    return;
  }
  await using cluster = new ProcessCluster({
    partitions: 3,
    databases: [{ adapter: "SQLite", database: `${disk.folder}/1.sqlite` }],
  }).start();
  try {
    const storage = cluster.storages[0];
    assert(storage !== undefined);
    await using client = await connect(cluster.uri);
    const { pid } = storage;
    const acknowledged = new Map<Oid, Tid>();
    const commit = async (oid: Oid) => {
      await using txn = await client.begin({ signal: AbortSignal.timeout(30_000) });
      await txn.store(oid, null, crypto.getRandomValues(new Uint8Array(60_000)));
      acknowledged.set(oid, await txn.commit({ signal: AbortSignal.timeout(30_000) }));
    };
    let oid = 0;
    await assert.rejects(async () => {
      while (oid < 1000) await commit(toOid(++oid));
    });
    assert(acknowledged.size > 10, `${acknowledged.size}`);
    await until("the storage says why", () => /full/i.test(storage.output));

    await disk.resize("64m");
    await until("commits succeed again", async () => {
      try {
        await commit(toOid(++oid));
        return true;
      } catch (error) {
        assert(error instanceof Error && !(error instanceof RangeError));
        return false;
      }
    });
    assert.equal(storage.pid, pid, "the process went on");
    for (const [oid, tid] of acknowledged) assert.equal((await client.load(oid)).serial, tid);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
});

if (hasMariadb) {
  Deno.test("a storage whose database server dies says so, and comes back with it", async () => {
    const server = await Mariadb.start();
    try {
      await killServer(server);
    } finally {
      await server.stop();
    }
  });
}

async function killServer(server: Mariadb): Promise<void> {
  const database = server.address(await server.createDatabase());
  await using cluster = new ProcessCluster({
    partitions: 3,
    databases: [{ adapter: "MySQL", database }],
  }).start();
  try {
    const storage = cluster.storages[0];
    assert(storage !== undefined);
    await using workload = await Workload.open(cluster.uri, 4);
    workload.start();
    const progress = async (what: string) => {
      const before = workload.acknowledged;
      await until(what, () => workload.acknowledged >= before + 20);
    };
    await progress("clients commit");
    const { pid } = storage;
    for (let round = 0; round < 2; round++) {
      await server.kill();
      await until("the storage says why", () => /database/i.test(storage.output));
      await server.restart();
      await progress("clients commit again");
    }
    assert.equal(storage.pid, pid, "the process went on");
    await workload.stop();
    assert(workload.errors.size > 0, "clients were told");
    await workload.check(cluster.uri);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
}
