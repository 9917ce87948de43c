/** Cells that are filled: the fed side of replication. */

import assert from "node:assert/strict";
import { ErrorCode, NodeState } from "../../../protocol/enums.ts";
import { toTid, ZERO_OID, ZERO_TID } from "../../../protocol/ids.ts";
import { CellState } from "../../../protocol/enums.ts";
import {
  bytes,
  client,
  commit,
  oid,
  quiet,
  type Scene,
  SELF,
  sha1,
  tid,
  until,
} from "../support.ts";
import { commitObjects } from "../database/support.ts";
import {
  answerUnfinished,
  change,
  CORRUPTED,
  DISCARDED,
  type FakeStorage,
  feedNothing,
  OUT_OF_DATE,
  UP_TO_DATE,
  withReplicas,
} from "./support.ts";

const CELLS = [UP_TO_DATE, OUT_OF_DATE];
const NO_MORE_TRANSACTIONS = { next: null, toDelete: [], completedPack: null };
const NO_MORE_OBJECTS = { nextTid: null, nextOid: null, toDelete: new Map() };

/** Waits until the master is told that partition 1 is filled; returns up to which tid. */
async function done({ master }: Scene): Promise<bigint> {
  const all = () => master.all("NotifyReplicationDone");
  await until(() => all().length > 0, "the master is told that the cell is filled");
  assert.deepEqual(all().map(({ partition }) => partition), [1]);
  return all()[0]?.tid as bigint;
}

function dataOf({ held }: Scene, id: number): Promise<string | null> {
  return held().database.object(oid(id), null, null).then((record) =>
    record?.data ? new TextDecoder().decode(record.data.data) : null
  );
}

Deno.test("Replicator fetches metadata, then objects, and tells the master", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    assert.deepEqual(await answerUnfinished(scene, { lastTid: 301 }), [1]);
    const transactions = await other.asked("AskFetchTransactions");
    const range = { partition: 1, length: 1000, max: tid(301) };
    assert.deepEqual(transactions.args, { ...range, min: ZERO_TID, tids: [], askPack: true });
    other.sendTransaction(transactions, 101, [1]);
    transactions.from.answer({ next: tid(201), toDelete: [], completedPack: ZERO_TID });
    const more = await other.asked("AskFetchTransactions");
    assert.deepEqual(more.args, { ...range, min: tid(201), tids: [], askPack: false });
    other.sendTransaction(more, 301, [1, 3]);
    more.from.answer(NO_MORE_TRANSACTIONS);
    const objects = await other.asked("AskFetchObjects");
    assert.deepEqual(objects.args, {
      ...range,
      min: ZERO_TID,
      minOid: ZERO_OID,
      objects: new Map(),
    });
    other.sendObject(objects, 101, 1, "old");
    objects.from.answer({ nextTid: tid(301), nextOid: oid(1), toDelete: new Map() });
    const rest = await other.asked("AskFetchObjects");
    assert.deepEqual([rest.args.min, rest.args.minOid], [301n, 1n]);
    other.sendObject(rest, 301, 1, "new");
    other.sendObject(rest, 301, 3, "three");
    rest.from.answer(NO_MORE_OBJECTS);
    assert.equal(await done(scene), 301n);
    const peer = await scene.connect(client(1));
    await peer.load(oid(1)).refused(ErrorCode.NON_READABLE_CELL);
    change(scene, 2, [1, SELF, UP_TO_DATE]);
    await quiet();
    assert.deepEqual((await peer.load(oid(1), tid(101)).got()).nextSerial, tid(301));
    assert.equal(await dataOf(scene, 3), "three");
    const { database } = scene.held();
    assert.deepEqual((await database.transaction(tid(301)))?.oids, [1n, 3n]);
    assert.equal((await database.loadPartitionTable())?.cells[2]?.state, CellState.UP_TO_DATE);
  });
});

Deno.test("Replicator goes on after the end of the transactions that had begun", async () => {
  const unfinished = { lastTid: 301, ttids: [401, 403] };
  await withReplicas({ cells: CELLS, unfinished }, async (scene, other) => {
    await feedNothing(other);
    const { master } = scene;
    master.notify("NotifyTransactionFinished", { ttid: tid(401), tid: tid(501) });
    const { args } = await other.asked("AskFetchTransactions");
    assert.deepEqual([args.min, args.max], [302n, 501n]);
    await quiet();
    assert.ok(!master.names.includes("NotifyReplicationDone"));
    master.notify("NotifyTransactionFinished", { ttid: tid(403), tid: tid(503) });
    await quiet();
    assert.equal(other.names.includes("AskFetchTransactions"), false, "one after the other");
  });
});

for (const during of ["after", "during"]) {
  Deno.test(`Replicator is done when the last transaction aborts ${during} the replication`, async () => {
    const unfinished = { lastTid: 301, ttids: [401] };
    await withReplicas({ cells: CELLS, unfinished }, async (scene, other) => {
      const abort = () => scene.master.notify("AbortTransaction", { ttid: tid(401), nids: [] });
      if (during === "during") {
        await until(() => other.names.includes("AskFetchTransactions"), "it has begun");
        abort();
      }
      await feedNothing(other);
      await quiet();
      if (during === "after") {
        assert.ok(!scene.master.names.includes("NotifyReplicationDone"));
        abort();
      }
      assert.equal(await done(scene), 301n);
    });
  });
}

Deno.test("Replicator resumes where the last process stopped", async () => {
  const folder = await Deno.makeTempDir({ prefix: "neo-storage-" });
  try {
    const options = { cells: CELLS, database: `${folder}/db.sqlite`, unfinished: { lastTid: 301 } };
    await withReplicas(options, async (scene, other) => {
      (await other.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
      const objects = await other.asked("AskFetchObjects");
      other.sendObject(objects, 101, 1, "one");
      other.sendObject(objects, 201, 1, "two");
      objects.from.answer({ nextTid: tid(201), nextOid: oid(3), toDelete: new Map() });
      const rest = await other.asked("AskFetchObjects");
      other.sendObject(rest, 201, 3, "never complete");
      const { database } = scene.held();
      const resumes = async () =>
        [...(await database.cells.resumePoints()).values()].includes(tid(200));
      while (!await resumes()) await quiet();
      await database.flush();
    });
    await withReplicas(options, async (scene, other) => {
      const { args, from } = await other.asked("AskFetchTransactions");
      assert.equal(args.min, 200n);
      from.answer(NO_MORE_TRANSACTIONS);
      const objects = await other.asked("AskFetchObjects");
      assert.deepEqual([...objects.args.objects], [[201n, [1n]]]);
      objects.from.answer(NO_MORE_OBJECTS);
      assert.equal(await done(scene), 301n);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("Replicator deletes what the source does not have, and ignores late messages", async () => {
  await withReplicas({ cells: [UP_TO_DATE, UP_TO_DATE] }, async (scene, other) => {
    const peer = await scene.connect(client(1));
    await commit(scene, peer, tid(101), oid(1), ZERO_TID, "wrong");
    await commit(scene, peer, tid(103), oid(3), ZERO_TID, "right");
    change(scene, 2, [1, SELF, DISCARDED]);
    change(scene, 3, [1, SELF, OUT_OF_DATE]);
    await answerUnfinished(scene, { lastTid: 301 });
    const transactions = await other.asked("AskFetchTransactions");
    assert.deepEqual(transactions.args.tids, [101n, 103n]);
    transactions.from.answer({ next: null, toDelete: [tid(101), tid(99)], completedPack: null });
    const objects = await other.asked("AskFetchObjects");
    assert.deepEqual([...objects.args.objects], [[101n, [1n]], [103n, [3n]]]);
    other.sendTransaction(transactions as never, 105);
    const toDelete = new Map([[tid(101), [oid(1)]]]);
    objects.from.answer({ nextTid: null, nextOid: null, toDelete });
    other.sendObject(objects, 301, 3, "late");
    await done(scene);
    const { database } = scene.held();
    assert.deepEqual(await database.tidsFrom(1, tid(0), tid(999), 10), [103n]);
    assert.equal(await dataOf(scene, 1), null);
    assert.equal(await dataOf(scene, 3), "right");
  });
});

/** A cell that was complete, has transactions 101 and 103, and misses what others committed since. */
function withOutdatedCell(
  lastTid: number,
  test: (scene: Scene, other: FakeStorage) => Promise<void>,
): Promise<void> {
  return withReplicas({ cells: [UP_TO_DATE, UP_TO_DATE] }, async (scene, other) => {
    const peer = await scene.connect(client(1));
    await commit(scene, peer, tid(101), oid(1), ZERO_TID, "both have it");
    await commit(scene, peer, tid(103), oid(3), ZERO_TID, "committed elsewhere");
    change(scene, 2, [1, SELF, OUT_OF_DATE]);
    await answerUnfinished(scene, { lastTid });
    await test(scene, other);
  });
}

/** Nothing was deleted, and the cell is not readable. */
async function checkKept(scene: Scene): Promise<void> {
  const pattern = /ERROR partition 1: .* has transaction 0{14}67, which the cluster lacks: it was/;
  await until(() => scene.log.lines.some((line) => pattern.test(line)), "the operator is told");
  const { database } = scene.held();
  await database.flush();
  assert.deepEqual(await database.tidsFrom(1, tid(1), tid(1000), 10), [101n, 103n]);
  assert.equal(
    (await database.cells.records(1, { tid: tid(1), oid: oid(0) }, tid(1000), 10)).length,
    2,
  );
  assert.ok(!scene.master.names.includes("NotifyReplicationDone"));
}

Deno.test("Replicator keeps transactions that the source does not have, and says so", async () => {
  await withOutdatedCell(301, async (scene, other) => {
    const { args, from } = await other.asked("AskFetchTransactions");
    assert.deepEqual(args.tids, [103n]);
    from.answer({ next: null, toDelete: [tid(103)], completedPack: null });
    await checkKept(scene);
  });
});

Deno.test("Replicator keeps objects that the source does not have, unless a pack deleted them", async () => {
  await withOutdatedCell(301, async (scene, other) => {
    (await other.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
    const objects = await other.asked("AskFetchObjects");
    objects.from.answer({
      nextTid: null,
      nextOid: null,
      toDelete: new Map([[tid(103), [oid(3)]]]),
    });
    await checkKept(scene);
  });
  await withOutdatedCell(301, async (scene, other) => {
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: tid(200) });
    const objects = await other.asked("AskFetchObjects");
    objects.from.answer({
      nextTid: null,
      nextOid: null,
      toDelete: new Map([[tid(103), [oid(3)]]]),
    });
    assert.equal(await done(scene), 301n);
    assert.deepEqual(await scene.held().database.tidsFrom(1, tid(1), tid(1000), 10), [101n, 103n]);
  });
});

Deno.test("Replicator waits for news of packs before it says that objects are lost", async () => {
  await withOutdatedCell(301, async (scene, other) => {
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: ZERO_TID });
    const toDelete = new Map([[tid(103), [oid(3)]]]);
    (await other.asked("AskFetchObjects")).from.answer({ nextTid: null, nextOid: null, toDelete });
    // The master has said the same to the source, and is slower here.
    scene.master.notify("NotifyPackSigned", { approved: [tid(250)], rejected: [] });
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: tid(250) });
    (await other.asked("AskFetchObjects")).from.answer(NO_MORE_OBJECTS);
    assert.equal(await done(scene), 301n);
    assert.equal(await dataOf(scene, 3), null);
  });
});

Deno.test("Replicator deletes what it received before the source packed it", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await answerUnfinished(scene, { lastTid: 301 });
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: ZERO_TID });
    const objects = await other.asked("AskFetchObjects");
    other.sendObject(objects, 101, 1, "old");
    other.sendObject(objects, 201, 1, "new");
    // The database takes its time, during which the source packs.
    const { cells } = scene.held().real;
    const { promise: written, resolve: write } = Promise.withResolvers<void>();
    const addObjects = cells.addObjects.bind(cells);
    cells.addObjects = (added, wanted) => written.then(() => addObjects(added, wanted));
    scene.master.notify("NotifyPackSigned", { approved: [tid(250)], rejected: [] });
    await quiet();
    objects.from.answer(NO_MORE_OBJECTS);
    const packs = await other.asked("AskFetchTransactions");
    packs.from.answer({ next: null, toDelete: [], completedPack: tid(250) });
    await quiet();
    write();
    const again = await other.asked("AskFetchObjects");
    assert.deepEqual([...again.args.objects], [[101n, [1n]], [201n, [1n]]]);
    const toDelete = new Map([[tid(101), [oid(1)]]]);
    again.from.answer({ nextTid: null, nextOid: null, toDelete });
    await done(scene);
    const { database } = scene.held();
    assert.equal(await database.object(oid(1), tid(101), null), null);
    assert.equal(await dataOf(scene, 1), "new");
  });
});

Deno.test("Replicator compares again when its source has heard of a pack before it has", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await answerUnfinished(scene, { lastTid: 301 });
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: ZERO_TID });
    const objects = await other.asked("AskFetchObjects");
    other.sendObject(objects, 101, 1, "deleted later");
    // The source has deleted what would come next. The master has said the same to both, and is slower here.
    objects.from.answer(NO_MORE_OBJECTS);
    scene.master.notify("NotifyPackSigned", { approved: [tid(250)], rejected: [] });
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: tid(250) });
    const toDelete = new Map([[tid(101), [oid(1)]]]);
    (await other.asked("AskFetchObjects")).from
      .answer({ nextTid: null, nextOid: null, toDelete });
    await done(scene);
    assert.equal(await dataOf(scene, 1), null);
  });
});

Deno.test("Replicator compares all when a former source may have packed what it was sending", async () => {
  const options = { cells: CELLS, others: [2, 3], unfinished: { lastTid: 301 } };
  await withReplicas(options, async (scene, other, third) => {
    const nothingPacked = { next: null, toDelete: [], completedPack: ZERO_TID };
    (await third.asked("AskFetchTransactions")).from.answer(nothingPacked);
    const objects = await third.asked("AskFetchObjects");
    third.sendObject(objects, 101, 1, "deleted at 201");
    objects.from.answer({ nextTid: tid(202), nextOid: oid(1), toDelete: new Map() });
    // It has packed the deletion before it could send it, which this node was not told yet.
    await third.asked("AskFetchObjects");
    await quiet();
    third.stop();
    (await other.asked("AskFetchTransactions")).from.answer(nothingPacked);
    const rest = await other.asked("AskFetchObjects");
    assert.equal(rest.args.min, 202n);
    rest.from.answer(NO_MORE_OBJECTS);
    scene.master.notify("NotifyPackSigned", { approved: [tid(250)], rejected: [] });
    // This one has still everything.
    (await other.asked("AskFetchTransactions")).from.answer(nothingPacked);
    const again = await other.asked("AskFetchObjects");
    assert.deepEqual([again.args.min, [...again.args.objects]], [ZERO_TID, [[101n, [1n]]]]);
    other.connection.push(again.from.id, "AddObject", {
      tid: tid(201),
      oid: oid(1),
      compression: 0,
      checksum: new Uint8Array(20),
      data: bytes(""),
      dataSerial: null,
    });
    again.from.answer(NO_MORE_OBJECTS);
    // Nothing new.
    (await other.asked("AskFetchTransactions")).from.answer(nothingPacked);
    assert.equal(await done(scene), 301n);
    assert.equal(await dataOf(scene, 1), null);
    assert.equal(await scene.held().database.lastSerial(oid(1)), 201n);
  });
});

Deno.test("Replicator compares all when its source has begun a pack and not finished it", async () => {
  await withReplicas({ cells: [UP_TO_DATE, UP_TO_DATE] }, async (scene, other) => {
    const peer = await scene.connect(client(1));
    await commit(scene, peer, tid(101), oid(1), ZERO_TID, "packed there");
    await commit(scene, peer, tid(103), oid(3), ZERO_TID, "kept");
    scene.master.notify("NotifyPackSigned", { approved: [tid(250)], rejected: [] });
    change(scene, 2, [1, SELF, OUT_OF_DATE]);
    await answerUnfinished(scene, { lastTid: 301 });
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: ZERO_TID });
    const objects = await other.asked("AskFetchObjects");
    assert.deepEqual([...objects.args.objects], [[101n, [1n]], [103n, [3n]]]);
    const toDelete = new Map([[tid(101), [oid(1)]]]);
    objects.from.answer({ nextTid: null, nextOid: null, toDelete });
    // It may have finished meanwhile.
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: tid(250) });
    (await other.asked("AskFetchObjects")).from.answer(NO_MORE_OBJECTS);
    assert.equal(await done(scene), 301n);
    assert.equal(await dataOf(scene, 1), null);
    assert.equal(await dataOf(scene, 3), "kept");
  });
});

Deno.test("Replicator knows better than a cluster whose last transaction is older than its own", async () => {
  await withOutdatedCell(101, async (scene, other) => {
    await checkKept(scene);
    assert.ok(!other.names.includes("AskFetchTransactions"));
  });
});

Deno.test("Replicator refuses corrupted data, says so and takes another source", async () => {
  const options = { cells: CELLS, others: [2, 3], unfinished: { lastTid: 301 } };
  await withReplicas(options, async (scene, other, third) => {
    // The source is chosen at random, which is the middle here.
    (await third.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
    const objects = await third.asked("AskFetchObjects");
    third.sendObject(objects, 101, 1, "intact");
    third.sendObject(objects, 201, 1, "corrupted", new Uint8Array(20).fill(7));
    third.sendObject(objects, 301, 1, "too late");
    objects.from.answer(NO_MORE_OBJECTS);
    (await other.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
    const again = await other.asked("AskFetchObjects");
    assert.deepEqual([...again.args.objects.keys()].filter((tid) => tid > 101n), []);
    scene.log.assertHas(/ERROR partition 1: .* from S3 .*oid 0{15}1 at 0{14}c9 is corrupted/);
    const corrupted = scene.master.all("NotifyPartitionCorrupted");
    assert.deepEqual(corrupted, [{ partition: 1, nids: [3] }]);
    if (!again.args.objects.has(tid(101))) other.sendObject(again, 101, 1, "intact");
    other.sendObject(again, 201, 1, "healed");
    again.from.answer(NO_MORE_OBJECTS);
    await done(scene);
    assert.equal(await dataOf(scene, 1), "healed");
  });
});

Deno.test("Replicator does not insist when the only source has corrupted data", async () => {
  await withReplicas({ cells: CELLS, unfinished: { lastTid: 301 } }, async (scene, other) => {
    let failures = 0;
    const fail = async () => {
      (await other.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
      const objects = await other.asked("AskFetchObjects");
      other.sendObject(objects, 101, 1, "x", new Uint8Array(20).fill(7));
      objects.from.answer(NO_MORE_OBJECTS);
      await until(
        () => scene.log.lines.filter((line) => /is corrupted/.test(line)).length > failures,
        "the log tells it",
      );
      failures++;
    };
    await fail();
    for (const pause of [60_000, 120_000]) {
      await scene.clock.advance(pause - 1000);
      assert.ok(!other.names.includes("AskFetchTransactions"));
      await scene.clock.advance(1000);
      await fail();
    }
    assert.equal(await dataOf(scene, 1), null);
    assert.ok(!scene.master.names.includes("NotifyReplicationDone"));
  });
});

Deno.test("Replicator takes another source at once when it loses one", async () => {
  const options = { cells: CELLS, others: [2, 3], unfinished: { lastTid: 301 } };
  await withReplicas(options, async (scene, other, third) => {
    const transactions = await third.asked("AskFetchTransactions");
    third.sendTransaction(transactions, 101);
    third.stop();
    await feedNothing(other);
    assert.equal(await done(scene), 301n);
  });
});

Deno.test("Replicator does not care about the loss of a storage that is not its source", async () => {
  const options = { cells: CELLS, others: [2, 3], unfinished: { lastTid: 301 } };
  await withReplicas(options, async (scene, other, third) => {
    await until(() => third.names.includes("AskFetchTransactions"), "the source is asked");
    await other.dial();
    other.connection.close();
    await quiet();
    await feedNothing(third);
    assert.equal(await done(scene), 301n);
    assert.ok(!scene.log.lines.some((line) => /WARNING/.test(line)), `${scene.log.lines}`);
  });
});

Deno.test("Replicator asks again a second later when the source refuses", async () => {
  await withReplicas({ cells: CELLS, unfinished: { lastTid: 301 } }, async (scene, other) => {
    const { from } = await other.asked("AskFetchTransactions");
    from.error(ErrorCode.REPLICATION_ERROR, "partition 1 not readable");
    await scene.clock.advance(900);
    assert.ok(!other.names.includes("AskFetchTransactions"));
    scene.log.assertHas(/WARNING partition 1: .* from S2 stopped: partition 1 not readable/);
    await scene.clock.advance(200);
    await feedNothing(other);
    await done(scene);
  });
});

Deno.test("Replicator waits until a source runs", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    other.announce(NodeState.DOWN);
    await answerUnfinished(scene, { lastTid: 301 });
    await scene.clock.advance(10_000);
    assert.deepEqual(other.names, []);
    other.announce();
    await feedNothing(other);
    await done(scene);
  });
});

Deno.test("Replicator waits until there is a source in the table", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    change(scene, 2, [1, 2, OUT_OF_DATE]);
    await answerUnfinished(scene, { lastTid: 301 });
    await scene.clock.advance(10_000);
    assert.deepEqual(other.names, []);
    change(scene, 3, [1, 2, UP_TO_DATE]);
    await feedNothing(other);
    await done(scene);
  });
});

Deno.test("Replicator forgets cells that are discarded before the master answers", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    change(scene, 2, [1, SELF, DISCARDED]);
    await quiet();
    await answerUnfinished(scene, { lastTid: 301, ttids: [401] });
    scene.master.notify("AbortTransaction", { ttid: tid(401), nids: [] });
    await quiet();
    assert.deepEqual(other.names, []);
    assert.ok(!scene.master.closed);
  });
});

Deno.test("Replicator stops filling a cell that is discarded, and fills the next one", async () => {
  const options = { cells: [OUT_OF_DATE, OUT_OF_DATE], unfinished: { lastTid: 301 } };
  await withReplicas(options, async (scene, other) => {
    const first = await other.asked("AskFetchTransactions");
    assert.equal(first.args.partition, 0);
    change(scene, 2, [0, SELF, DISCARDED]);
    other.sendTransaction(first, 102);
    first.from.answer(NO_MORE_TRANSACTIONS);
    const second = await other.asked("AskFetchTransactions");
    assert.equal(second.args.partition, 1);
    assert.ok(!other.closed);
    assert.equal(await scene.held().database.transaction(tid(102)), null);
  });
});

Deno.test("Replicator tries again when a source sends what is out of place", async () => {
  await withReplicas({ cells: CELLS, unfinished: { lastTid: 301 } }, async (scene, other) => {
    const transactions = await other.asked("AskFetchTransactions");
    other.sendTransaction(transactions, 102); // Of another partition.
    transactions.from.answer(NO_MORE_TRANSACTIONS);
    await until(
      () => scene.log.lines.some((line) => /ERROR .* does not belong to partition 1/.test(line)),
      "it is told",
    );
    await scene.clock.advance(60_000);
    const again = await other.asked("AskFetchTransactions");
    other.sendTransaction(again, 201);
    other.sendTransaction(again, 101); // Out of order.
    again.from.answer(NO_MORE_TRANSACTIONS);
    await until(
      () => scene.log.lines.some((line) => /ERROR .* not send what it was asked/.test(line)),
      "it is told",
    );
    assert.deepEqual(await scene.held().database.tidsFrom(1, tid(0), tid(999), 10), []);
  });
});

Deno.test("Replicator replaces damaged data of a cell that is filled from the start", async () => {
  await withReplicas({ cells: [UP_TO_DATE, UP_TO_DATE] }, async (scene, other) => {
    const { real } = scene.held();
    const store = (id: number, text: string, checksum = sha1(bytes(text))) =>
      real.storeData(oid(id), { compression: 0, checksum, data: bytes(text) });
    const ids = [await store(1, "wrong", sha1(bytes("right"))), await store(3, "intact")];
    const objects = ids.map((dataId, i) => ({ oid: oid(1 + 2 * i), dataId, dataSerial: null }));
    await commitObjects(real, 101, objects);
    await commitObjects(real, 103, [{ oid: oid(1), dataId: ids[0] ?? null, dataSerial: tid(101) }]);
    change(scene, 2, [1, SELF, CORRUPTED]);
    change(scene, 3, [1, SELF, OUT_OF_DATE]);
    await answerUnfinished(scene, { lastTid: 301 });
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: ZERO_TID });
    const chunk = await other.asked("AskFetchObjects");
    assert.deepEqual([...chunk.args.objects], [[101n, [3n]]]);
    const before = scene.held().calls("object");
    other.sendObject(chunk, 101, 1, "right");
    other.sendObject(chunk, 103, 1, "right");
    chunk.from.answer(NO_MORE_OBJECTS);
    scene.master.notify("NotifyPackSigned", { approved: [tid(250)], rejected: [] });
    (await other.asked("AskFetchTransactions")).from
      .answer({ next: null, toDelete: [], completedPack: tid(250) });
    const again = await other.asked("AskFetchObjects");
    assert.deepEqual([...again.args.objects], [[101n, [1n, 3n]], [103n, [1n]]]);
    assert.equal(scene.held().calls("object"), before, "what was received is not read");
    again.from.answer(NO_MORE_OBJECTS);
    await done(scene);
    assert.equal(await dataOf(scene, 1), "right");
    assert.equal(await dataOf(scene, 3), "intact");
    const { orphans } = await real.cells.orphans(-1n);
    assert.deepEqual(orphans, []);
  });
});

for (const method of ["addObjects", "deleteObjects"] as const) {
  Deno.test(`Replicator writes nothing after the end of the operation: ${method}()`, async () => {
    await withReplicas({ cells: [UP_TO_DATE, UP_TO_DATE] }, async (scene, other) => {
      const peer = await scene.connect(client(1));
      await commit(scene, peer, tid(101), oid(1), ZERO_TID, "in excess");
      change(scene, 2, [1, SELF, DISCARDED]);
      change(scene, 3, [1, SELF, OUT_OF_DATE]);
      await answerUnfinished(scene, { lastTid: 301 });
      const { cells } = scene.held().real;
      // The database takes its time.
      const { promise: ready, resolve: go } = Promise.withResolvers<void>();
      const { promise: begun, resolve: begins } = Promise.withResolvers<void>();
      const real = cells[method].bind(cells) as (...args: unknown[]) => Promise<void>;
      const over: Promise<void>[] = [];
      cells[method] = (...args: unknown[]) => {
        begins();
        over.push(ready.then(() => real(...args)));
        return Promise.all(over).then(() => {});
      };
      (await other.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
      const objects = await other.asked("AskFetchObjects");
      other.sendObject(objects, 201, 1, "too late");
      const toDelete = new Map([[tid(101), [oid(1)]]]);
      objects.from.answer({ nextTid: null, nextOid: null, toDelete });
      await begun;
      scene.master.notify("StopOperation", {});
      await quiet();
      go();
      await Promise.all(over);
      await quiet();
      const records = await cells.records(1, { tid: tid(0), oid: oid(0) }, tid(999), 10);
      const written = method === "addObjects" ? [101n] : [101n, 201n];
      assert.deepEqual(records.map(({ tid }) => tid), written);
      assert.deepEqual([...await cells.resumePoints()], [[1, ZERO_TID]]);
    });
  });
}

for (const compression of [2, 0x80, -1]) {
  Deno.test(`Replicator refuses data with compression ${compression}`, async () => {
    await withReplicas({ cells: CELLS, unfinished: { lastTid: 301 } }, async (scene, other) => {
      (await other.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
      const objects = await other.asked("AskFetchObjects");
      other.connection.push(objects.from.id, "AddObject", {
        tid: tid(101),
        oid: oid(1),
        compression,
        checksum: sha1(bytes("x")),
        data: bytes("x"),
        dataSerial: null,
      });
      objects.from.answer(NO_MORE_OBJECTS);
      await until(
        () => scene.log.lines.some((line) => /ERROR .* an unknown compression, /.test(line)),
        "it is told",
      );
      assert.deepEqual(scene.master.all("NotifyPartitionCorrupted"), [{ partition: 1, nids: [2] }]);
      assert.equal(await dataOf(scene, 1), null);
    });
  });
}

for (const during of ["metadata", "objects"]) {
  Deno.test(`Replicator believes no pack that can't exist, with ${during}`, async () => {
    await withReplicas({ cells: CELLS, unfinished: { lastTid: 301 } }, async (scene, other) => {
      const impossible = { ...NO_MORE_TRANSACTIONS, completedPack: toTid(1n << 63n) };
      const transactions = await other.asked("AskFetchTransactions");
      if (during === "metadata") transactions.from.answer(impossible);
      else {
        transactions.from.answer({ ...NO_MORE_TRANSACTIONS, completedPack: ZERO_TID });
        (await other.asked("AskFetchObjects")).from.answer(NO_MORE_OBJECTS);
        scene.master.notify("NotifyPackSigned", { approved: [tid(250)], rejected: [] });
        (await other.asked("AskFetchTransactions")).from.answer(impossible);
      }
      await until(
        () => scene.log.lines.some((line) => /ERROR .* claims to have executed pack/.test(line)),
        "it is told",
      );
      await quiet();
      assert.ok(!scene.master.names.includes("NotifyReplicationDone"));
      await scene.clock.advance(60_000);
      await feedNothing(other);
      if (during === "objects") {
        (await other.asked("AskFetchTransactions")).from.answer(NO_MORE_TRANSACTIONS);
      }
      assert.equal(await done(scene), 301n);
    });
  });
}

Deno.test("StopOperation ends replications, StartOperation begins them again", async () => {
  await withReplicas({ cells: CELLS, unfinished: { lastTid: 301 } }, async (scene, other) => {
    await other.asked("AskFetchTransactions");
    const { master } = scene;
    master.notify("StopOperation", {});
    await until(() => other.closed, "the source is left");
    other.clear();
    master.notify("StartOperation", { backup: false });
    await answerUnfinished(scene, { lastTid: 401 });
    await scene.clock.advance(1000);
    const { args } = await other.asked("AskFetchTransactions");
    assert.equal(args.max, 401n);
  });
});
