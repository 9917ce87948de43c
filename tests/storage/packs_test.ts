import assert from "node:assert/strict";
import { CellState, ErrorCode } from "../../protocol/enums.ts";
import { type Oid, type Tid, ZERO_TID } from "../../protocol/ids.ts";
import { commit as commitDirectly, slowingTime } from "./database/support.ts";
import { client, commit, oid, quiet, type Scene, SELF, start, tid, withScene } from "./support.ts";

const ID = tid(1000);

/** Revisions 10, 20… of some objects. */
async function populate(scene: Scene, revisions: number, ...oids: number[]): Promise<void> {
  const { real } = scene.held();
  for (let i = 1; i <= revisions; i++) {
    await commitDirectly(real, 10 * i, Object.fromEntries(oids.map((id) => [id, `${id} ${i}`])));
  }
  await real.flush();
}

async function revisions(scene: Scene, ...oids: number[]): Promise<number[]> {
  const histories = oids.map((id) => scene.held().real.history(oid(id), 0, 10_000));
  return (await Promise.all(histories)).map(({ length }) => length);
}

/** Makes the master answer for its orders, which it has in the order of ids. */
function order(scene: Scene, packTid: Tid, oids: Oid[] | null = null, id = ID): void {
  const orders = [{ id, approved: true, partial: oids !== null, oids, tid: packTid }];
  scene.master.onMessage = (name, args, from) => {
    if (name !== "AskPackOrders") return;
    from.answer({ orders: orders.filter(({ id }) => id >= (args.minId as Tid)) });
  };
  scene.master.notify("NotifyPackSigned", { approved: [id], rejected: [] });
}

/** Lets slices go on until nothing happens any more. */
async function finish(scene: Scene): Promise<void> {
  for (let i = 0; i < 10; i++) await scene.clock.advance(100);
}

const packs = async (scene: Scene) =>
  (await scene.held().real.completedPacks()).map(({ pack }) => pack);

Deno.test("a pack order is asked, executed in each partition, saved and reported", async () => {
  await withScene({}, async (scene) => {
    const { master, log } = scene;
    await populate(scene, 4, 1, 2, 3);
    order(scene, tid(30));
    await finish(scene);
    assert.deepEqual(master.all("AskPackOrders"), [{ minId: tid(1) }]);
    assert.deepEqual(await revisions(scene, 1, 2, 3), [2, 2, 2]);
    assert.deepEqual(await packs(scene), [ID, ID]);
    assert.deepEqual(master.all("NotifyPackCompleted"), [{ id: ID }]);
    log.assertHas(/pack 00000000000003e8 starts: .* up to 000000000000001e of all objects/);
    log.assertHas(/pack 00000000000003e8 is done: 6 revisions deleted in \d+\.\d s/);
    // It is known to be done.
    master.notify("NotifyPackSigned", { approved: [ID], rejected: [] });
    await finish(scene);
    assert.equal(master.all("AskPackOrders").length, 1);
  });
});

Deno.test("pack orders are executed in their order, and only for their objects", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    await populate(scene, 4, 1, 2, 3, 4);
    const next = tid(2000);
    master.onMessage = (name, args, from) => {
      if (name !== "AskPackOrders") return;
      const first = (args.minId as Tid) <= ID;
      const oids = [first ? oid(1) : oid(4), oid(2)];
      const packTid = tid(first ? 20 : 40);
      const id = first ? ID : next;
      from.answer({ orders: [{ id, approved: true, partial: true, oids, tid: packTid }] });
    };
    master.notify("NotifyPackSigned", { approved: [next, ID], rejected: [] });
    await finish(scene);
    assert.deepEqual(master.all("AskPackOrders"), [{ minId: tid(1) }, { minId: ID + 1n }]);
    assert.deepEqual(await revisions(scene, 1, 2, 3, 4), [3, 1, 4, 1]);
    assert.deepEqual(await packs(scene), [next, next]);
    // Each order is reported, if only by the last one.
    assert.deepEqual(master.all("NotifyPackCompleted").at(-1), { id: next });
  });
});

Deno.test("a pack order that names an object several times keeps its last revision", async () => {
  await withScene({}, async (scene) => {
    await populate(scene, 1, 1, 2, 3);
    const repeated = Array.from({ length: 2000 }, () => oid(3));
    order(scene, tid(10), [oid(2), oid(1), oid(2), oid(1), ...repeated]);
    await finish(scene);
    assert.deepEqual(await revisions(scene, 1, 2, 3), [1, 1, 1]);
    assert.deepEqual(await packs(scene), [ID, ID]);
  });
});

Deno.test("a long history is packed in slices, and clients are served between them", async () => {
  await withScene({ now: slowingTime() }, async (scene) => {
    const { clock } = scene;
    await populate(scene, 200, 2);
    const c1 = await scene.connect(client(1));
    order(scene, tid(2000));
    await quiet();
    let slices = 1;
    for (let before = 200, left = before; left > 1; before = left) {
      left = (await revisions(scene, 2))[0] ?? 0;
      assert.ok(before - left <= 50, `${before} ${left}`);
      assert.equal((await c1.load(oid(2)).got()).serial, tid(2000));
      await clock.advance(1);
      slices++;
    }
    assert.ok(slices > 5, `${slices} slices`);
    await commit(scene, c1, tid(3000), oid(2), tid(2000), "goes on");
  });
});

Deno.test("a pack stops with the operation, and goes on with the next one", async () => {
  await withScene({ now: slowingTime() }, async (scene) => {
    const { master, log } = scene;
    await populate(scene, 100, 1, 2);
    order(scene, tid(1000));
    // The first partition is done.
    while (!(await packs(scene)).includes(ID)) await scene.clock.advance(1);
    master.notify("StopOperation", {});
    await finish(scene);
    log.assertHas(/is interrupted: \d+ revisions deleted/);
    const [, left = 0] = await revisions(scene, 2, 1);
    assert.ok(left > 1);
    await finish(scene);
    assert.deepEqual(await revisions(scene, 2, 1), [1, left]);
    assert.deepEqual(await packs(scene), [ID, ZERO_TID]);
    await start(scene);
    order(scene, tid(1000));
    await finish(scene);
    assert.deepEqual(await revisions(scene, 2, 1), [1, 1]);
    assert.deepEqual(await packs(scene), [ID, ID]);
    assert.deepEqual(master.all("NotifyPackCompleted"), [{ id: ID }]);
  });
});

Deno.test("a slice that waits for its turn is given up when the operation ends", async () => {
  await withScene({}, async (scene) => {
    await populate(scene, 5, 1, 2);
    scene.held().hold("packSlice");
    order(scene, tid(50));
    await quiet();
    assert.equal(scene.held().waiting("packSlice"), 1);
    scene.master.notify("StopOperation", {});
    await quiet();
    await scene.held().release("packSlice");
    await finish(scene);
    assert.deepEqual(await revisions(scene, 1, 2), [5, 5]);
  });
});

Deno.test("a cell that is not up to date any more is left alone, until it is", async () => {
  await withScene({ now: slowingTime() }, async (scene) => {
    const { master, log } = scene;
    const change = (ptid: number, state: CellState) => {
      const cells = [{ partition: 0, nid: SELF, state }];
      master.notify("NotifyPartitionChanges", { ptid, replicas: 0, cells });
    };
    await populate(scene, 100, 1, 2);
    order(scene, tid(1000));
    await scene.clock.advance(1);
    change(2, CellState.OUT_OF_DATE);
    await finish(scene);
    const [left = 0] = await revisions(scene, 2);
    assert.ok(left > 1 && left < 100, `${left}`);
    assert.deepEqual(await revisions(scene, 1), [1]);
    assert.deepEqual(await packs(scene), [ZERO_TID, ID]);
    assert.ok(!master.all("NotifyPackCompleted").some(({ id }) => id === ID));
    log.assertHas(/is done in 1 of 2 partitions/);
    change(3, CellState.FEEDING);
    await finish(scene);
    assert.deepEqual(await revisions(scene, 2), [left], "what it feeds does not change");
    change(4, CellState.UP_TO_DATE);
    await finish(scene);
    assert.deepEqual(await revisions(scene, 2), [1]);
    assert.deepEqual(master.all("NotifyPackCompleted").at(-1), { id: ID });
  });
});

Deno.test("a pack that has begun in a cell goes on while the cell feeds others", async () => {
  await withScene({ now: slowingTime() }, async (scene) => {
    await populate(scene, 100, 1, 2);
    order(scene, tid(1000));
    await scene.clock.advance(1);
    const [begun = 0] = await revisions(scene, 2);
    assert.ok(begun > 1 && begun < 100, `${begun}`);
    const cells = [0, 1].map((partition) => ({ partition, nid: SELF, state: CellState.FEEDING }));
    scene.master.notify("NotifyPartitionChanges", { ptid: 2, replicas: 0, cells });
    await finish(scene);
    assert.deepEqual(await revisions(scene, 2, 1), [1, 100], "none begins");
    assert.deepEqual(await packs(scene), [ID, ZERO_TID]);
  });
});

Deno.test("the cells left of a storage are reported when the one that was behind is gone", async () => {
  await withScene({ cells: [CellState.UP_TO_DATE, CellState.OUT_OF_DATE] }, async (scene) => {
    const { master } = scene;
    order(scene, tid(10));
    await finish(scene);
    assert.deepEqual(await packs(scene), [ID, ZERO_TID]);
    assert.deepEqual(master.all("NotifyPackCompleted"), []);
    const cells = [{ partition: 1, nid: SELF, state: CellState.DISCARDED }];
    master.notify("NotifyPartitionChanges", { ptid: 2, replicas: 0, cells });
    await finish(scene);
    assert.deepEqual(master.all("NotifyPackCompleted"), [{ id: ID }]);
  });
});

Deno.test("a master that does not know the order yet is asked again when there is news", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    await populate(scene, 3, 2);
    master.onMessage = (name, _, from) => {
      const wrong = { id: ZERO_TID, approved: true, partial: false, oids: null, tid: tid(30) };
      if (name === "AskPackOrders") from.answer({ orders: [wrong, { ...wrong, approved: null }] });
    };
    master.notify("NotifyPackSigned", { approved: [ID], rejected: [] });
    await finish(scene);
    assert.equal(master.all("AskPackOrders").length, 1);
    assert.deepEqual(await revisions(scene, 2), [3]);
    order(scene, tid(30));
    await finish(scene);
    assert.deepEqual(await revisions(scene, 2), [1]);
  });
});

Deno.test("a storage that must not pack claims to have, and does it later without that option", async () => {
  const folder = await Deno.makeTempDir({ prefix: "neo-packs-" });
  try {
    const database = `${folder}/db.sqlite`;
    await withScene({ database, options: { disablePack: true } }, async (scene) => {
      const { master } = scene;
      await populate(scene, 3, 1, 2);
      const c1 = await scene.connect(client(1));
      await c1.vote(ID, [], { oids: null, tid: tid(30) }).got();
      await master.lock(ID, ID, true);
      master.unlock(ID);
      master.notify("NotifyPackSigned", { approved: [ID, tid(90)], rejected: [] });
      master.notify("NotifyPackSigned", { approved: [tid(80)], rejected: [] });
      await finish(scene);
      assert.deepEqual(master.all("NotifyPackCompleted"), [{ id: ID }]);
      // The cells change while an approved order is not executed.
      for (const [i, state] of [CellState.OUT_OF_DATE, CellState.UP_TO_DATE].entries()) {
        const cells = [{ partition: 0, nid: SELF, state }];
        master.notify("NotifyPartitionChanges", { ptid: 2 + i, replicas: 0, cells });
        await finish(scene);
      }
      assert.ok(!master.closed && !master.names.includes("AskPackOrders"));
      master.notify("StopOperation", {});
      await start(scene);
      master.notify("NotifyPackSigned", { approved: [ID], rejected: [] });
      await finish(scene);
      assert.deepEqual(master.all("NotifyPackCompleted"), [{ id: ID }], "another operation");
      assert.deepEqual(await revisions(scene, 1, 2), [3, 3]);
    });
    await withScene({ database }, async (scene) => {
      const { orders } = await scene.master.ask("AskPackOrders", { minId: tid(1) }).got();
      assert.deepEqual(orders.map(({ id, approved }) => [id, approved]), [[ID, true]]);
      order(scene, tid(30));
      await finish(scene);
      assert.deepEqual(await revisions(scene, 1, 2), [1, 1]);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an object whose revision to undo was packed is not in the answer", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    await populate(scene, 3, 2, 4);
    order(scene, tid(30), [oid(2)]);
    await finish(scene);
    const undo = { ttid: tid(500), ltid: tid(400), undoneTid: tid(20), oids: [oid(2), oid(4)] };
    const { objects } = await c1.ask("AskObjectUndoSerial", undo).got();
    assert.deepEqual([...objects.keys()], [oid(4)]);
  });
});

Deno.test("an undo is refused if its revision is packed meanwhile, and goes on if it came first", async () => {
  await withScene({}, async (scene) => {
    const { held } = scene;
    const c1 = await scene.connect(client(1));
    await populate(scene, 3, 2, 4);
    const ask = { ttid: tid(500), ltid: tid(400), undoneTid: tid(30), oids: [oid(2), oid(4)] };
    const { objects } = await c1.ask("AskObjectUndoSerial", ask).got();
    const undone = { current: tid(30), undo: tid(20), isCurrent: true };
    assert.deepEqual(objects, new Map([[oid(2), undone], [oid(4), undone]]));
    assert.deepEqual(await c1.store(tid(500), oid(4), tid(30), "4 2", tid(20)).got(), {
      conflict: null,
    });
    order(scene, tid(30));
    await finish(scene);
    assert.deepEqual(await revisions(scene, 2, 4), [1, 1]);
    await c1.store(tid(502), oid(2), tid(30), "2 2", tid(20)).refused(ErrorCode.UNDO_PACK_ERROR);
    await c1.vote(tid(500), [oid(4)]).got();
    await scene.master.commit(tid(500), tid(500));
    const loaded = await c1.load(oid(4)).got();
    assert.equal(new TextDecoder().decode(loaded.data), "4 2");
    assert.equal(loaded.dataSerial, tid(20));
    assert.equal(held().calls("packSlice"), 2);
  });
});

Deno.test("a cell that lacks the revision to undo takes what the client sends", async () => {
  await withScene({ cells: [CellState.OUT_OF_DATE, CellState.UP_TO_DATE] }, async (scene) => {
    const c1 = await scene.connect(client(1));
    const stored = await c1.store(tid(500), oid(2), tid(30), "sent", tid(20)).got();
    assert.deepEqual(stored, { conflict: ZERO_TID });
  });
});
