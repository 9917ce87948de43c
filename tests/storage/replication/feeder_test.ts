/** Cells that fill others: the serving side of replication. */

import assert from "node:assert/strict";
import { ErrorCode } from "../../../protocol/enums.ts";
import { type Oid, type Tid, ZERO_OID, ZERO_TID } from "../../../protocol/ids.ts";
import type { ArgsOf } from "../../../protocol/messages.ts";
import { client, commit, oid, quiet, type Scene, SELF, tid, until } from "../support.ts";
import { change, DISCARDED, type FakeStorage, UP_TO_DATE, withReplicas } from "./support.ts";

const CELLS = [UP_TO_DATE, UP_TO_DATE];

function transactions(
  other: FakeStorage,
  given: Partial<ArgsOf<"AskFetchTransactions">> = {},
) {
  return other.ask("AskFetchTransactions", {
    partition: 1,
    length: 1000,
    min: ZERO_TID,
    max: tid(999),
    tids: [],
    askPack: false,
    ...given,
  });
}

function objects(other: FakeStorage, given: Partial<ArgsOf<"AskFetchObjects">> = {}) {
  return other.ask("AskFetchObjects", {
    partition: 1,
    length: 1000,
    min: ZERO_TID,
    max: tid(999),
    minOid: ZERO_OID,
    objects: new Map<Tid, Oid[]>(),
    ...given,
  });
}

/** Three transactions of partition 1: tids 101, 201 and 301. */
async function fill(scene: Scene): Promise<void> {
  const peer = await scene.connect(client(1));
  await commit(scene, peer, tid(101), oid(1), ZERO_TID, "a");
  await commit(scene, peer, tid(201), oid(3), ZERO_TID, "b");
  await commit(scene, peer, tid(301), oid(1), tid(101), "a", tid(101));
}

const added = (other: FakeStorage) =>
  other.all("AddObject").map(({ tid, oid }) => [Number(tid), Number(oid)]);

Deno.test("AskFetchTransactions pushes what the other lacks, and tells what it has in excess", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    await other.dial();
    const asked = transactions(other, { tids: [tid(103), tid(201)], askPack: true });
    assert.deepEqual(await asked.got(), {
      next: null,
      toDelete: [tid(103)],
      completedPack: ZERO_TID,
    });
    assert.deepEqual(other.all("AddTransaction").map(({ tid, oids }) => [tid, oids]), [
      [101n, [1n]],
      [301n, [1n]],
    ]);
  });
});

Deno.test("AskFetchObjects pushes records chunk by chunk", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    await other.dial();
    const answer = await objects(other, { length: 2 }).got();
    assert.deepEqual(answer, { nextTid: tid(301), nextOid: oid(1), toDelete: new Map() });
    assert.deepEqual(added(other), [[101, 1], [201, 3]]);
    other.clear();
    const rest = await objects(other, {
      min: tid(301),
      minOid: oid(1),
      objects: new Map([[tid(401), [oid(7), oid(9)]]]),
    }).got();
    assert.deepEqual(rest.toDelete, new Map([[tid(401), [oid(7), oid(9)]]]));
    const [record] = other.all("AddObject");
    assert.deepEqual([record?.dataSerial, record?.data], [tid(101), new Uint8Array([97])]);
  });
});

Deno.test("AskFetchObjects goes no further than a list that may be incomplete", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    await other.dial();
    const listed = new Map([[tid(101), [oid(1)]], [tid(103), [oid(1)]]]);
    const answer = await objects(other, { length: 2, objects: listed }).got();
    assert.deepEqual(answer, {
      nextTid: tid(103),
      nextOid: oid(2),
      toDelete: new Map([[tid(103), [oid(1)]]]),
    });
    assert.deepEqual(added(other), []);
  });
});

Deno.test("AskFetchTransactions waits for what is being committed up to its end", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    const peer = await scene.connect(client(1));
    await other.dial();
    await peer.store(tid(101), oid(1), ZERO_TID, "a").got();
    await peer.vote(tid(101), [oid(1)]).got();
    await scene.master.lock(tid(101), tid(103));
    const before = transactions(other, { max: tid(102) });
    await before.got();
    const after = transactions(other, { max: tid(103) });
    const records = objects(other, { max: tid(103) });
    await quiet();
    assert.ok(after.pending && records.pending);
    scene.master.unlock(tid(101));
    await after.got();
    assert.deepEqual(other.all("AddTransaction").map(({ tid }) => tid), [103n]);
    await records.got();
    assert.deepEqual(added(other), [[103, 1]]);
  });
});

Deno.test("AskFetchTransactions is refused when the cell is not readable", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    await other.dial();
    change(scene, 2, [1, SELF, DISCARDED]);
    await quiet();
    await transactions(other).refused(ErrorCode.REPLICATION_ERROR, /partition 1 not readable/);
    await objects(other).refused(ErrorCode.REPLICATION_ERROR, /partition 1 not readable/);
    await transactions(other, { partition: 77 }).refused(ErrorCode.REPLICATION_ERROR);
    await transactions(other, { partition: 0 }).got();
    await transactions(other, { length: 0 }).refused(ErrorCode.PROTOCOL_ERROR);
  });
});

Deno.test("a storage that asks for too much at once is disconnected", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await other.dial();
    scene.held().hold("tidsFrom");
    for (let i = 0; i < 65; i++) transactions(other);
    await until(() => other.closed, "it is disconnected");
  });
});

Deno.test("AskFetchObjects stops when the other does not read, and goes on when it does", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    const peer = await scene.connect(client(1));
    const big = "x".repeat(100_000);
    for (let n = 0; n < 60; n++) {
      await commit(scene, peer, tid(101 + 2 * n), oid(1 + 2 * n), ZERO_TID, big);
    }
    await other.dial();
    other.connection.pause();
    const asked = objects(other);
    const read = () => scene.held().calls("object");
    let before = -1;
    await until(() => {
      const stopped = read() === before && before > 0;
      before = read();
      return stopped;
    }, "it stops");
    await quiet();
    assert.ok(read() < 40, `${read()} objects of 100 kB are read`);
    // Clients do not care.
    assert.equal((await peer.load(oid(1)).got()).data.length, big.length);
    other.connection.resume();
    await asked.got();
    assert.equal(added(other).length, 60);
  });
});

Deno.test("AskFetchObjects ends when the other is gone", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    await other.dial();
    scene.held().hold("object");
    objects(other);
    objects(other);
    await until(() => scene.held().waiting("object") === 3, "records are read");
    other.connection.close();
    await scene.held().release("object");
    await quiet();
    assert.equal(scene.held().calls("object"), 3, "the second request is dropped");
  });
});
