/** What storages do when they have nothing better to do: dropping partitions, repairing. */

import assert from "node:assert/strict";
import { CellState } from "../../protocol/enums.ts";
import { ZERO_TID } from "../../protocol/ids.ts";
import { databaseOptions } from "./database/support.ts";
import { openDatabase } from "../../storage/database/mod.ts";
import {
  bytes,
  client,
  commit,
  oid,
  quiet,
  type Scene,
  sha1,
  tid,
  until,
  withScene,
} from "./support.ts";

const logged = ({ log }: Scene, pattern: RegExp) =>
  until(() => log.lines.some((line) => pattern.test(line)), `${pattern} in the log`);

function change({ master }: Scene, ptid: number, state: CellState): void {
  master.notify("NotifyPartitionChanges", {
    ptid,
    replicas: 0,
    cells: [{ partition: 1, nid: 1, state }],
  });
}

async function countOrphans({ held }: Scene): Promise<number> {
  const { cells } = held().database;
  let count = 0;
  for (let position: bigint | null = -1n; position !== null;) {
    const { orphans, last } = await cells.orphans(position);
    count += orphans.length;
    position = last;
  }
  return count;
}

async function withPath(test: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "neo-storage-" });
  try {
    await test(`${folder}/db.sqlite`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the data of a discarded partition is deleted in the background", async () => {
  await withScene({}, async (scene) => {
    const peer = await scene.connect(client(1));
    await commit(scene, peer, tid(101), oid(1), ZERO_TID, "a");
    await commit(scene, peer, tid(102), oid(2), ZERO_TID, "b");
    // It was voted when the partition went.
    await peer.store(tid(103), oid(3), ZERO_TID, "c").got();
    await peer.store(tid(103), oid(4), ZERO_TID, "d").got();
    await peer.vote(tid(103), [oid(3), oid(4)]).got();
    change(scene, 2, CellState.DISCARDED);
    await logged(scene, /INFO partition 1: 2 rows are deleted/);
    await scene.master.commit(tid(103), tid(103));
    const { database } = scene.held();
    assert.equal(await database.object(oid(1), null, null), undefined);
    assert.equal(await database.object(oid(3), null, null), undefined);
    assert.equal(await database.transaction(tid(101)), null);
    assert.equal(await database.transaction(tid(103)), null);
    assert.deepEqual((await peer.load(oid(2)).got()).data, bytes("b"));
    assert.deepEqual((await peer.load(oid(4)).got()).data, bytes("d"));
    assert.equal(await countOrphans(scene), 0);
  });
});

Deno.test("the deletion of a discarded partition stops with the operation, and goes on", async () => {
  await withScene({}, async (scene) => {
    const peer = await scene.connect(client(1));
    await commit(scene, peer, tid(101), oid(1), ZERO_TID, "a");
    const { master } = scene;
    change(scene, 2, CellState.DISCARDED);
    master.notify("StopOperation", {});
    await until(() => peer.closed, "the operation ends");
    master.notify("SendPartitionTable", {
      ptid: 3,
      replicas: 0,
      rows: [1, 2].map((nid) => [{ nid, state: CellState.UP_TO_DATE }]),
    });
    master.notify("StartOperation", { backup: false });
    const { database } = scene.held();
    await until(() => database.cells.discarded.length === 0, "nothing remains");
    assert.equal(await database.object(oid(1), null, null), undefined);
  });
});

for (const dryRun of [true, false]) {
  Deno.test(`NotifyRepair ${dryRun ? "counts" : "deletes"} data that a crash left`, async () => {
    await withPath(async (database) => {
      const db = await openDatabase("SQLite", databaseOptions(database));
      await db.setClusterName("test");
      await db.setNid(1);
      await db.changePartitionTable(
        1,
        0,
        [0, 1].map((partition) => ({ partition, nid: 1, state: CellState.UP_TO_DATE })),
        true,
      );
      for (let n = 0; n < 300; n++) {
        const data = bytes(`orphan ${n}`);
        await db.storeData(oid(n), { compression: 0, checksum: sha1(data), data });
      }
      await db.close();
      await withScene({ database }, async (scene) => {
        const peer = await scene.connect(client(1));
        const stored = peer.store(tid(101), oid(1), ZERO_TID, "running");
        const { master } = scene;
        master.notify("NotifyRepair", { dryRun });
        master.notify("NotifyRepair", { dryRun });
        await stored.got();
        await logged(scene, /ERROR repair: the previous one is not finished/);
        await logged(scene, /INFO repair: nothing referred to \d+ rows of data/);
        await peer.vote(tid(101), [oid(1)]).got();
        await master.commit(tid(101), tid(101));
        const orphans = await countOrphans(scene);
        // Those of the partition that was written to are gone already.
        assert.equal(orphans, dryRun ? 150 : 0);
        assert.deepEqual((await peer.load(oid(1)).got()).data, bytes("running"));
        scene.log.lines.length = 0;
        master.notify("NotifyRepair", { dryRun });
        await logged(scene, /INFO repair: nothing referred to/);
      });
    });
  });
}

Deno.test("NotifyRepair before the operation is executed in operation", async () => {
  await withScene({ operational: false }, async (scene) => {
    const { master } = scene;
    master.notify("NotifyRepair", { dryRun: true });
    await quiet();
    assert.ok(!scene.log.lines.some((line) => /nothing referred/.test(line)));
    master.table(CellState.UP_TO_DATE, CellState.UP_TO_DATE);
    master.notify("StartOperation", { backup: false });
    await logged(scene, /INFO repair: nothing referred to 0 rows of data/);
  });
});
