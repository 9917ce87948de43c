/** Writes to cells that lack data, from the first one accepted without lock to the end. */

import assert from "node:assert/strict";
import { ErrorCode } from "../../../protocol/enums.ts";
import { type Tid, ZERO_TID } from "../../../protocol/ids.ts";
import { client, type FakeClient, oid, quiet, type Scene, SELF, tid, until } from "../support.ts";
import {
  change,
  DISCARDED,
  type FakeStorage,
  feedNothing,
  OUT_OF_DATE,
  UP_TO_DATE,
  withReplicas,
} from "./support.ts";

const LOCKED = { conflict: null };
const LOCKLESS = { conflict: ZERO_TID };
const BASE = tid(101);
const X = oid(1);
/** All of partition 1, older than what is replicated. */
const [T1, T2, T3] = [tid(401), tid(403), tid(405)];

/** A storage with `X` at `BASE` to be replicated, after which `beforeEnd` is called. */
async function replicate(
  beforeEnd: (scene: Scene, clients: FakeClient[]) => Promise<void>,
  afterEnd: (scene: Scene, clients: FakeClient[]) => Promise<void>,
  last: { readonly tid: number; readonly text: string } = { tid: 101, text: "base" },
): Promise<void> {
  const options = { cells: [UP_TO_DATE, OUT_OF_DATE], unfinished: { lastTid: 301 } };
  await withReplicas(options, async (scene, other) => {
    const clients: FakeClient[] = [];
    for (const n of [1, 2, 3]) clients.push(await scene.connect(client(n)));
    await beforeEnd(scene, clients);
    await feed(other, last);
    await quiet();
    await until(() => scene.held().calls("flush") > 0 && noFetch(scene), "it is replicated");
    await afterEnd(scene, clients);
  });
}

const noFetch = ({ log }: Scene) =>
  log.lines.some((line) => /partition 1: replicated up to/.test(line));

async function feed(
  other: FakeStorage,
  last: { readonly tid: number; readonly text: string },
): Promise<void> {
  (await other.asked("AskFetchTransactions")).from
    .answer({ next: null, toDelete: [], completedPack: null });
  const objects = await other.asked("AskFetchObjects");
  other.sendObject(objects, last.tid, 1, last.text);
  objects.from.answer({ nextTid: null, nextOid: null, toDelete: new Map() });
}

const isDone = ({ master }: Scene) => master.names.includes("NotifyReplicationDone");

async function commitTransaction({ master }: Scene, peer: FakeClient, ttid: Tid): Promise<void> {
  await peer.ask("AskVoteTransaction", { ttid }).got();
  await master.commit(ttid, ttid);
}

Deno.test("a write without lock gets the lock when the cell is replicated", async () => {
  await replicate(
    async (_, [c1]) => assert.deepEqual(await c1?.store(T1, X, BASE, "one").got(), LOCKLESS),
    async (scene, [c1, c2]) => {
      assert.ok(c1 && c2 && isDone(scene));
      const waiting = c2.store(T2, X, BASE, "two");
      await quiet();
      assert.ok(waiting.pending);
      await commitTransaction(scene, c1, T1);
      assert.deepEqual(await waiting.got(), { conflict: T1 });
      assert.deepEqual(await c2.store(T2, X, T1, "resolved").got(), LOCKED);
      change(scene, 2, [1, SELF, UP_TO_DATE]);
      await quiet();
      assert.deepEqual((await c2.load(X).got()).serial, T1);
      assert.deepEqual(await c2.store(T2, X, T1, "again").got(), LOCKED);
    },
  );
});

Deno.test("new writes are checked as soon as the cell is replicated", async () => {
  await replicate(
    () => Promise.resolve(),
    async (scene, [c1, c2]) => {
      assert.ok(c1 && c2 && isDone(scene));
      assert.deepEqual(await c1.store(T1, X, BASE, "one").got(), LOCKED);
      assert.deepEqual(await c2.store(T2, oid(3), BASE, "new object").got(), LOCKED);
      assert.deepEqual(await c2.check(T2, oid(5), BASE).got(), LOCKED);
      c1.abort(T1);
      assert.deepEqual(await c2.store(T2, X, tid(99), "old base").got(), { conflict: BASE });
      await c1.load(X).refused(ErrorCode.NON_READABLE_CELL);
    },
  );
});

Deno.test("a cell waits for the end of several writes of one object without lock", async () => {
  await replicate(
    async (_, [c1, c2]) => {
      assert.deepEqual(await c1?.store(T1, X, BASE, "one").got(), LOCKLESS);
      assert.deepEqual(await c2?.store(T2, X, BASE, "two").got(), LOCKLESS);
    },
    async (scene, [c1, c2, c3]) => {
      assert.ok(c1 && c2 && c3 && !isDone(scene));
      const waiting = c3.store(T3, X, BASE, "three");
      await quiet();
      assert.ok(waiting.pending, "the last writer has the lock");
      // Those who wrote without go on without.
      assert.deepEqual(await c1.store(T1, X, BASE, "one again").got(), LOCKLESS);
      assert.deepEqual(await c2.store(T2, X, T1, "resolved").got(), LOCKLESS);
      await commitTransaction(scene, c1, T1);
      assert.ok(isDone(scene), "one remains");
      assert.ok(waiting.pending);
      await commitTransaction(scene, c2, T2);
      assert.deepEqual(await waiting.got(), { conflict: T2 });
      const record = await scene.held().database.object(X, null, null);
      assert.equal(new TextDecoder().decode(record?.data?.data), "resolved");
    },
  );
});

Deno.test("an older transaction does not wait for one that wrote without lock", async () => {
  await replicate(
    async (_, [c1, c2]) => {
      assert.deepEqual(await c1?.store(T2, X, BASE, "one").got(), LOCKLESS);
      assert.deepEqual(await c2?.store(T3, X, BASE, "two").got(), LOCKLESS);
    },
    async (scene, [c1, c2, c3]) => {
      assert.ok(c1 && c2 && c3 && !isDone(scene));
      assert.deepEqual(await c3.store(T1, X, BASE, "three").got(), LOCKLESS);
      assert.ok(!c2.names.includes("NotifyDeadlock"));
      for (const [peer, ttid] of [[c3, T1], [c1, T2], [c2, T3]] as const) peer.abort(ttid);
      await until(() => isDone(scene), "nobody remains");
      assert.deepEqual(await c1.store(tid(407), X, BASE, "four").got(), LOCKED);
    },
  );
});

Deno.test("a write without lock that conflicts is withdrawn, and its lock goes on", async () => {
  const replicated = { tid: 201, text: "modified meanwhile" };
  await replicate(
    async (_, [c1]) => {
      assert.deepEqual(await c1?.store(T1, X, BASE, "one").got(), LOCKLESS);
      assert.deepEqual(await c1?.check(T1, oid(3), BASE).got(), LOCKLESS);
    },
    async (scene, [c1, c2]) => {
      assert.ok(c1 && c2 && isDone(scene));
      // The client gets the conflict from another storage.
      assert.deepEqual(await c2.store(T2, X, tid(201), "two").got(), LOCKED);
      c2.abort(T2);
      assert.deepEqual(await c1.store(T1, X, tid(201), "resolved").got(), LOCKED);
      await commitTransaction(scene, c1, T1);
      const record = await scene.held().database.object(X, null, null);
      assert.deepEqual([record?.serial, new TextDecoder().decode(record?.data?.data)], [
        T1,
        "resolved",
      ]);
    },
    replicated,
  );
});

for (const kind of ["write", "check"] as const) {
  Deno.test(`a ${kind} without lock that conflicts can't be voted`, async () => {
    await replicate(
      async (_, [c1]) => {
        const request = kind === "check" ? c1?.check(T1, X, BASE) : c1?.store(T1, X, BASE, "one");
        assert.deepEqual(await request?.got(), LOCKLESS);
      },
      async (scene, [c1]) => {
        assert.ok(c1 && isDone(scene));
        // The cell that would have told the conflict was moved to this node.
        change(scene, 2, [1, SELF, UP_TO_DATE]);
        const { INCOMPLETE_TRANSACTION } = ErrorCode;
        await c1.ask("AskVoteTransaction", { ttid: T1 }).refused(INCOMPLETE_TRANSACTION);
        assert.deepEqual(await c1.store(T1, X, tid(201), "resolved").got(), LOCKED);
        await commitTransaction(scene, c1, T1);
        assert.deepEqual((await c1.load(X).got()).serial, T1);
      },
      { tid: 201, text: "modified meanwhile" },
    );
  });
}

Deno.test("a write without lock that was voted keeps what it stored, and its end is waited for", async () => {
  await replicate(
    async (_, [c1]) => {
      await c1?.store(T1, X, BASE, "one").got();
      await c1?.ask("AskVoteTransaction", { ttid: T1 }).got();
    },
    async (scene, [c1, c2]) => {
      // It may conflict with what is replicated, and only others know: they must not be lost before.
      assert.ok(c1 && c2 && !isDone(scene));
      const waiting = c2.store(tid(301), X, BASE, "older");
      await quiet();
      assert.ok(waiting.pending);
      assert.ok(!c1.names.includes("NotifyDeadlock"));
      await scene.master.commit(T1, T1);
      assert.deepEqual(await waiting.got(), { conflict: T1 });
      await until(() => isDone(scene), "the cell is up to date");
    },
  );
});

Deno.test("a replicated cell that is discarded is not told, and nobody waits for its locks", async () => {
  await replicate(
    async (_, [c1, c2]) => {
      await c1?.store(T1, X, BASE, "one").got();
      await c2?.store(T2, X, BASE, "two").got();
    },
    async (scene, [c1, , c3]) => {
      assert.ok(c1 && c3);
      const waiting = c3.store(T3, X, BASE, "three");
      change(scene, 2, [1, SELF, DISCARDED]);
      assert.deepEqual(await waiting.got(), LOCKLESS);
      c1.abort(T1);
      await quiet();
      assert.ok(!isDone(scene));
    },
  );
});

Deno.test("a cell that is given back is filled again from the start", async () => {
  const options = { cells: [UP_TO_DATE, OUT_OF_DATE], unfinished: { lastTid: 301 } };
  await withReplicas(options, async (scene, other) => {
    const { master } = scene;
    await feedNothing(other);
    await until(() => isDone(scene), "it is replicated");
    change(scene, 2, [1, SELF, DISCARDED]);
    change(scene, 3, [1, SELF, OUT_OF_DATE]);
    const peer = await scene.connect(client(1));
    assert.deepEqual(await peer.store(T1, X, BASE, "one").got(), LOCKLESS);
    const asked = master.heard.findLast(({ name }) => name === "AskUnfinishedTransactions");
    asked?.from.answer({ lastTid: tid(501), ttids: [] });
    const { args } = await other.asked("AskFetchTransactions");
    assert.deepEqual([args.min, args.max], [ZERO_TID, 501n]);
  });
});
