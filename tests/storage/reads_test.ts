/** Reading requests: results, errors, and waiting for commits in progress. */

import assert from "node:assert/strict";
import { CellState, ErrorCode } from "../../protocol/enums.ts";
import { INVALID_PARTITION, MAX_TID } from "../../protocol/ids.ts";
import type { RequestName } from "../../protocol/messages.ts";
import type { Database } from "../../storage/database/mod.ts";
import {
  type Asked,
  bytes,
  client,
  commit,
  type FakeClient,
  oid,
  quiet,
  type Scene,
  SELF,
  tid,
  withScene,
  ZERO_OID,
  ZERO_TID,
} from "./support.ts";

const OUT_OF_DATE = [CellState.UP_TO_DATE, CellState.OUT_OF_DATE];

/** Object 2 has revisions 100 and 200, object 4 was created by 300 and deleted by 400. */
async function withHistory(
  test: (c1: FakeClient, scene: Scene) => Promise<void>,
): Promise<void> {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "one");
    await commit(scene, c1, tid(200), oid(2), tid(100), "three");
    await commit(scene, c1, tid(300), oid(4), ZERO_TID, "x");
    await commit(scene, c1, tid(400), oid(4), tid(300), null);
    await test(c1, scene);
  });
}

Deno.test("AskObject gives the revision at, before, or the last one", async () => {
  await withHistory(async (c1) => {
    const serials = async (asked: Asked<"AskObject">) => {
      const { serial, nextSerial } = await asked.got();
      return [serial, nextSerial];
    };
    assert.deepEqual(await serials(c1.load(oid(2))), [tid(200), null]);
    assert.deepEqual(await serials(c1.load(oid(2), tid(100))), [tid(100), tid(200)]);
    assert.deepEqual(await serials(c1.load(oid(2), null, tid(200))), [tid(100), tid(200)]);
    assert.deepEqual(await serials(c1.load(oid(2), null, tid(201))), [tid(200), null]);
    assert.deepEqual((await c1.load(oid(4)).got()).compression, null);
  });
});

Deno.test("AskObject tells an object that does not exist from a revision that does not", async () => {
  await withHistory(async (c1) => {
    const id = /^00000000000003e7$/;
    await c1.load(oid(999)).refused(ErrorCode.OID_DOES_NOT_EXIST, id);
    await c1.load(oid(999), tid(100)).refused(ErrorCode.OID_DOES_NOT_EXIST, id);
    await c1.load(oid(999), null, tid(100)).refused(ErrorCode.OID_DOES_NOT_EXIST, id);
    await c1.load(oid(2), tid(150)).refused(ErrorCode.OID_NOT_FOUND, /^0000000000000002$/);
    await c1.load(oid(2), null, tid(100)).refused(ErrorCode.OID_NOT_FOUND, /^0000000000000002$/);
    await c1.load(oid(2 ** 63)).refused(ErrorCode.OID_DOES_NOT_EXIST);
    await c1.load(oid(2), tid(2 ** 63)).refused(ErrorCode.OID_NOT_FOUND);
    assert.ok(c1.connection.open);
  });
});

Deno.test("AskObject with both bounds is refused", async () => {
  await withHistory(async (c1) => {
    await c1.load(oid(2), tid(100), tid(100)).refused(ErrorCode.PROTOCOL_ERROR, /exclude/);
  });
});

Deno.test("AskTransactionInformation gives the metadata of a transaction", async () => {
  await withHistory(async (c1) => {
    const ask = (n: number) => c1.ask("AskTransactionInformation", { tid: tid(n) });
    assert.deepEqual(await ask(100).got(), {
      tid: tid(100),
      user: bytes("user"),
      description: bytes("description"),
      extension: bytes("extension"),
      packed: false,
      oids: [oid(2)],
    });
    await ask(150).refused(ErrorCode.TID_NOT_FOUND);
    await ask(2 ** 63).refused(ErrorCode.TID_NOT_FOUND);
  });
});

Deno.test("AskObjectHistory gives the sizes of revisions, the last one first", async () => {
  await withHistory(async (c1) => {
    const ask = (n: number, first: number, last: number) =>
      c1.ask("AskObjectHistory", { oid: oid(n), first, last });
    assert.deepEqual(await ask(2, 0, 10).got(), {
      oid: oid(2),
      history: [{ tid: tid(200), size: 5 }, { tid: tid(100), size: 3 }],
    });
    assert.deepEqual((await ask(2, 1, 2).got()).history, [{ tid: tid(100), size: 3 }]);
    assert.deepEqual((await ask(4, 0, 1).got()).history, [{ tid: tid(400), size: 0 }]);
    await ask(6, 0, 1).refused(ErrorCode.OID_NOT_FOUND, /^0000000000000006$/);
    await ask(2, 1, 1).refused(ErrorCode.PROTOCOL_ERROR, /first \(1\)/);
  });
});

Deno.test("AskTIDs lists transactions, the last one first", async () => {
  await withHistory(async (c1, scene) => {
    await commit(scene, c1, tid(501), oid(1), ZERO_TID, "x");
    const ask = async (first: number, last: number, partition: number) =>
      (await c1.ask("AskTIDs", { first, last, partition }).got()).tids;
    assert.deepEqual(await ask(0, 3, INVALID_PARTITION), [tid(501), tid(400), tid(300)]);
    assert.deepEqual(await ask(1, 2, INVALID_PARTITION), [tid(400)]);
    assert.deepEqual(await ask(0, 9, 1), [tid(501)]);
    await c1.ask("AskTIDs", { first: 0, last: 1, partition: 7 })
      .refused(ErrorCode.NON_READABLE_CELL);
    await c1.ask("AskTIDs", { first: 2, last: 1, partition: 0 })
      .refused(ErrorCode.PROTOCOL_ERROR);
  });
});

Deno.test("AskTIDsFrom lists transactions of a range, ascending", async () => {
  await withHistory(async (c1) => {
    const ask = async (min: number, max: number, length: number) =>
      (await c1.ask("AskTIDsFrom", { min: tid(min), max: tid(max), length, partition: 0 }).got())
        .tids;
    assert.deepEqual(await ask(100, 300, 10), [tid(100), tid(200), tid(300)]);
    assert.deepEqual(await ask(101, 400, 1), [tid(200)]);
    assert.deepEqual(await ask(401, 2 ** 63, 1), []);
    await c1.ask("AskTIDsFrom", { min: ZERO_TID, max: MAX_TID, length: 1, partition: 2 })
      .refused(ErrorCode.NON_READABLE_CELL);
  });
});

Deno.test("AskOIDsFrom lists objects that existed at some time", async () => {
  await withHistory(async (c1) => {
    const ask = (length: number, min: number, at: number) =>
      c1.ask("AskOIDsFrom", { partition: 0, length, min: oid(min), tid: tid(at) }).got();
    assert.deepEqual(await ask(10, 0, 300), { next: null, oids: [oid(2), oid(4)] });
    assert.deepEqual(await ask(10, 0, 400), { next: null, oids: [oid(2)] });
    assert.deepEqual(await ask(1, 0, 400), { next: oid(4), oids: [oid(2)] });
    await c1.ask("AskOIDsFrom", { partition: 2, length: 1, min: ZERO_OID, tid: MAX_TID })
      .refused(ErrorCode.NON_READABLE_CELL);
  });
});

Deno.test("AskObjectUndoSerial takes own changes of the transaction into account", async () => {
  await withHistory(async (c1) => {
    const ask = (snapshot: number) =>
      c1.ask("AskObjectUndoSerial", {
        ttid: tid(600),
        ltid: tid(snapshot),
        undoneTid: tid(200),
        oids: [oid(2), oid(4)],
      });
    const objects = async (snapshot: number) => (await ask(snapshot).got()).objects;
    const expected = { current: tid(200), undo: tid(100), isCurrent: true };
    assert.deepEqual(await objects(500), new Map([[oid(2), expected]]));
    await ask(200).refused(ErrorCode.OID_NOT_FOUND, /^0000000000000002$/);
    await c1.store(tid(600), oid(2), tid(200), "x").got();
    assert.deepEqual(
      await objects(200),
      new Map([[oid(2), { current: tid(600), undo: tid(100), isCurrent: false }]]),
    );
    await c1.store(tid(600), oid(2), tid(200), "one", tid(100)).got();
    assert.equal((await objects(500)).get(oid(2))?.current, tid(100));
  });
});

Deno.test("reads are refused when the cell is not readable", async () => {
  await withScene({ cells: OUT_OF_DATE }, async (scene) => {
    const c1 = await scene.connect(client(1));
    const code = ErrorCode.NON_READABLE_CELL;
    await c1.load(oid(1)).refused(code, /partition 1/);
    await c1.ask("AskTransactionInformation", { tid: tid(1) }).refused(code);
    await c1.ask("AskObjectHistory", { oid: oid(1), first: 0, last: 1 }).refused(code);
    await c1.ask("AskTIDs", { first: 0, last: 1, partition: 1 }).refused(code);
    await c1.ask("AskTIDsFrom", { min: tid(0), max: tid(9), length: 1, partition: 1 })
      .refused(code);
    await c1.ask("AskOIDsFrom", { partition: 1, length: 1, min: oid(0), tid: tid(9) })
      .refused(code);
    await c1.ask("AskObjectUndoSerial", {
      ttid: tid(9),
      ltid: tid(9),
      undoneTid: tid(1),
      oids: [oid(1)],
    }).refused(code);
    const all = await c1.ask("AskTIDs", { first: 0, last: 1, partition: INVALID_PARTITION }).got();
    assert.deepEqual(all, { tids: [] });
    assert.ok(c1.connection.open);
  });
});

/** What waits for the end of the commit of object 2 with tid 500, and what does not. */
const READS: Record<string, { waits: boolean; ask(peer: FakeClient): { pending: boolean } }> = {
  "AskObject of the last revision": { waits: true, ask: (c) => c.load(oid(2)) },
  "AskObject of an old revision": { waits: true, ask: (c) => c.load(oid(2), tid(100)) },
  "AskObject of another object": { waits: false, ask: (c) => c.load(oid(4)) },
  "AskObjectHistory": {
    waits: true,
    ask: (c) => c.ask("AskObjectHistory", { oid: oid(2), first: 0, last: 1 }),
  },
  "AskObjectHistory of another object": {
    waits: false,
    ask: (c) => c.ask("AskObjectHistory", { oid: oid(4), first: 0, last: 1 }),
  },
  "AskTIDsFrom beyond the tid": {
    waits: true,
    ask: (c) => c.ask("AskTIDsFrom", { min: tid(0), max: tid(500), length: 1, partition: 0 }),
  },
  "AskTIDsFrom before the tid": {
    waits: false,
    ask: (c) => c.ask("AskTIDsFrom", { min: tid(0), max: tid(499), length: 1, partition: 0 }),
  },
  "AskOIDsFrom beyond the tid": {
    waits: true,
    ask: (c) => c.ask("AskOIDsFrom", { partition: 0, length: 1, min: oid(0), tid: tid(500) }),
  },
  "AskOIDsFrom before the tid": {
    waits: false,
    ask: (c) => c.ask("AskOIDsFrom", { partition: 0, length: 1, min: oid(0), tid: tid(499) }),
  },
  "AskTransactionInformation": {
    waits: true,
    ask: (c) => c.ask("AskTransactionInformation", { tid: tid(500) }),
  },
  "AskTransactionInformation of another transaction": {
    waits: false,
    ask: (c) => c.ask("AskTransactionInformation", { tid: tid(400) }),
  },
  "AskTIDs": {
    waits: true,
    ask: (c) => c.ask("AskTIDs", { first: 0, last: 1, partition: INVALID_PARTITION }),
  },
  "AskObjectUndoSerial": {
    waits: true,
    ask: (c) =>
      c.ask("AskObjectUndoSerial", {
        ttid: tid(600),
        ltid: tid(600),
        undoneTid: tid(200),
        oids: [oid(4), oid(2)],
      }),
  },
  "AskFinalTID": { waits: false, ask: (c) => c.ask("AskFinalTID", { ttid: tid(500) }) },
};

for (const [what, { waits, ask }] of Object.entries(READS)) {
  Deno.test(`${what} ${waits ? "waits" : "does not wait"} for a commit in progress`, async () => {
    await withHistory(async (c1, { master }) => {
      await c1.store(tid(500), oid(2), tid(200), "five").got();
      await c1.vote(tid(500), [oid(2)]).got();
      const beforeLock = ask(c1);
      await quiet();
      assert.ok(!beforeLock.pending, "a voted transaction blocks nobody");
      await master.lock(tid(500), tid(500));
      const read = ask(c1);
      await quiet();
      assert.equal(read.pending, waits);
      master.unlock(tid(500));
      await quiet();
      assert.ok(!read.pending);
    });
  });
}

/** How reads of partition 0 are asked, by what they ask of the database. */
const READERS: Partial<Record<keyof Database, (peer: FakeClient) => Asked<RequestName>>> = {
  object: (c) => c.load(oid(2)),
  history: (c) => c.ask("AskObjectHistory", { oid: oid(2), first: 0, last: 1 }),
  transaction: (c) => c.ask("AskTransactionInformation", { tid: tid(200) }),
  tids: (c) => c.ask("AskTIDs", { first: 0, last: 1, partition: 0 }),
  tidsFrom: (c) => c.ask("AskTIDsFrom", { min: tid(0), max: tid(400), length: 1, partition: 0 }),
  oidsFrom: (c) => c.ask("AskOIDsFrom", { partition: 0, length: 1, min: oid(0), tid: tid(400) }),
  finalTid: (c) => c.ask("AskFinalTID", { ttid: tid(200) }),
  undoHistory: (c) =>
    c.ask("AskObjectUndoSerial", {
      ttid: tid(600),
      ltid: tid(600),
      undoneTid: tid(200),
      oids: [oid(2)],
    }),
};

Deno.test("a read that ends after its cell was discarded is refused, like one that comes later", async () => {
  for (const [method, ask] of Object.entries(READERS)) {
    await withHistory(async (c1, scene) => {
      scene.held().hold(method as keyof Database);
      const read = ask(c1);
      await quiet();
      assert.ok(read.pending, method);
      scene.master.notify("NotifyPartitionChanges", {
        ptid: 2,
        replicas: 0,
        cells: [{ partition: 0, nid: SELF, state: CellState.DISCARDED }],
      });
      await quiet();
      await scene.held().release(method as keyof Database);
      await read.refused(ErrorCode.NON_READABLE_CELL);
    });
  }
});

Deno.test("AskTIDs does not wait for transactions that were locked after it", async () => {
  await withHistory(async (c1, { master }) => {
    for (const ttid of [tid(500), tid(600)]) await c1.vote(ttid).got();
    await master.lock(tid(500), tid(500));
    const tids = c1.ask("AskTIDs", { first: 0, last: 1, partition: 0 });
    await quiet();
    await master.lock(tid(600), tid(600));
    master.unlock(tid(500));
    assert.deepEqual(await tids.got(), { tids: [tid(500)] });
  });
});
