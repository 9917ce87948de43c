/** Undo: what is asked to which node, and what is stored then. */

import assert from "node:assert/strict";
import {
  type Client,
  type Conflict,
  NEOStorageError,
  NEOUndoPackError,
  StorageTransactionError,
  UndoError,
} from "../../client/mod.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import { type Tid, toTid } from "../../protocol/ids.ts";
import type { AnswerArgsOf } from "../../protocol/messages.ts";
import { bytes, FakeCluster, type Heard, oid, quiet, tid, until } from "./fakes.ts";

type Serials = AnswerArgsOf<"AskObjectUndoSerial">["objects"];
type Orders = AnswerArgsOf<"AskPackOrders">["orders"];

const UNDONE = tid(50);

/** Storages where a transaction can be undone that stored objects 1 and 2. */
async function undoable(
  rows: readonly (readonly number[])[] = [[1]],
  objects: (n: bigint) => { current: Tid; undo: Tid | null; isCurrent: boolean } = () => ({
    current: UNDONE,
    undo: tid(40),
    isCurrent: true,
  }),
  orders: Orders = [],
) {
  const cluster = await FakeCluster.start({ rows });
  cluster.master.script.AskPackOrders = ({ answer }) => answer({ orders });
  for (const storage of cluster.storages.values()) {
    storage.script.AskTransactionInformation = ({ args, answer }) =>
      answer({
        tid: args.tid,
        user: bytes(""),
        description: bytes(""),
        extension: bytes(""),
        packed: false,
        oids: [oid(1), oid(2)],
      });
    storage.script.AskObjectUndoSerial = ({ args, answer }) => {
      const found: Serials = new Map(args.oids.map((one) => [one, objects(one)]));
      answer({ objects: found });
    };
    storage.script.AskObject = ({ args, answer }) => {
      const data = bytes(`${args.oid} at ${args.at}`);
      answer({
        ...cluster.object(args.oid, data),
        serial: args.at ?? tid(10),
        ...args.at !== null && { nextSerial: toTid(args.at + 1n) },
      });
    };
  }
  return cluster;
}

async function undoOnce(client: Client): Promise<void> {
  await using transaction = await client.begin();
  await transaction.undo(UNDONE);
}

Deno.test("Transaction.undo() stores pointers to what was before, with the data", async () => {
  await using cluster = await undoable([[1], [1]]);
  const client = await cluster.connect();
  await using transaction = await client.begin();
  assert.deepEqual(new Set(await transaction.undo(UNDONE)), new Set([oid(1), oid(2)]));
  await transaction.commit();
  const asked = cluster.storage(1).all("AskObjectUndoSerial");
  assert.deepEqual(asked.map(({ oids }) => oids), [[oid(1)], [oid(2)]]);
  for (const { ttid, ltid, undoneTid } of asked) {
    assert.deepEqual([ttid, ltid, undoneTid], [transaction.ttid, tid(101), UNDONE]);
  }
  const stored = cluster.storage(1).all("AskStoreObject");
  assert.deepEqual(
    stored.map(({ oid, serial, data, dataSerial }) => [oid, serial, data, dataSerial]),
    [1, 2].map((n) => [oid(n), UNDONE, bytes(`${n} at 40`), tid(40)]),
  );
});

Deno.test("Transaction.undo() deletes what did not exist before", async () => {
  await using cluster = await undoable([[1]], () => ({
    current: UNDONE,
    undo: null,
    isCurrent: true,
  }));
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await transaction.undo(UNDONE);
  await transaction.commit();
  for (const { checksum, dataSerial } of cluster.storage(1).all("AskStoreObject")) {
    assert.deepEqual([checksum, dataSerial], [new Uint8Array(20), null]);
  }
  assert.equal(cluster.storage(1).count("AskObject"), 0);
  const [finished] = cluster.master.all("AskFinishTransaction");
  assert.deepEqual([finished?.oids, finished?.deleted], [[oid(1), oid(2)], [0]]);
});

Deno.test("Transaction.undo() asks only nodes that have all of the transaction", async () => {
  await using cluster = await undoable([[1, 2]]);
  const client = await cluster.connect();
  for (let i = 0; i < 4; i++) {
    const lost = 1 + i % 2;
    const { script } = cluster.storage(lost);
    script.AskStoreObject = ({ connection }) => connection.close();
    const transaction = await client.begin();
    await transaction.store(oid(9), tid(10), bytes("x"));
    await quiet();
    script.AskStoreObject = ({ answer }) => answer({ conflict: null });
    // The connection would be opened again after a second.
    await cluster.wait();
    await client.load(oid(8));
    const before = cluster.storage(lost).count("AskObjectUndoSerial");
    await transaction.undo(UNDONE);
    assert.equal(cluster.storage(lost).count("AskObjectUndoSerial"), before);
    await transaction.abort();
    await cluster.wait();
  }
});

Deno.test("Transaction.undo() throws when no node has all of the transaction", async () => {
  await using cluster = await undoable([[1], [2]]);
  const client = await cluster.connect();
  await using transaction = await client.begin();
  cluster.storage(1).script.AskStoreObject = ({ connection }) => connection.close();
  await transaction.store(oid(2), tid(10), bytes("x"));
  await quiet();
  await cluster.wait();
  await assert.rejects(transaction.undo(UNDONE), (error) => {
    assert.ok(error instanceof NEOStorageError && !(error instanceof UndoError));
    assert.match(error.message, /no storage node can answer/);
    return true;
  });
  await assert.rejects(transaction.commit(), NEOStorageError);
});

Deno.test("Transaction.undo() waits until nodes have what the transaction stored before", async () => {
  await using cluster = await undoable();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.AskStoreObject;
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("mine"));
  const undoing = transaction.undo(UNDONE);
  const { answer } = await storage.next("AskStoreObject");
  await quiet();
  assert.equal(storage.count("AskObjectUndoSerial"), 0);
  answer({ conflict: null });
  await until(() => storage.count("AskStoreObject") === 3, "what is undone");
  for (let i = 0; i < 2; i++) (await storage.next("AskStoreObject")).answer({ conflict: null });
  await undoing;
});

Deno.test("Transaction.undo() merges with what the transaction itself stored before", async () => {
  await using cluster = await undoable([[1]], (n) => ({
    current: n === 1n ? ttid : UNDONE,
    undo: tid(40),
    isCurrent: n !== 1n,
  }));
  const conflicts: Conflict[] = [];
  const client = await cluster.connect({
    resolveConflict: (conflict) => {
      conflicts.push(conflict);
      return bytes("merged");
    },
  });
  await using transaction = await client.begin();
  const { ttid } = transaction;
  await transaction.store(oid(1), tid(10), bytes("mine"));
  await transaction.undo(UNDONE);
  assert.deepEqual(conflicts, [{
    oid: oid(1),
    oldSerial: UNDONE,
    committedSerial: ttid,
    oldData: bytes("1 at 50"),
    newData: bytes("1 at 40"),
    committedData: bytes("mine"),
  }]);
  const stored = cluster.storage(1).all("AskStoreObject").filter((store) => store.oid === oid(1));
  assert.deepEqual(stored.map(({ serial, data }) => [serial, data]), [
    [tid(10), bytes("mine")],
    [tid(10), bytes("merged")],
  ]);
  await transaction.commit();
});

Deno.test("Transaction.undo() throws UndoError when what is current can't be merged", async () => {
  const modified = () => ({ current: tid(90), undo: tid(40), isCurrent: false });
  const failures = [
    { resolveConflict: null },
    { resolveConflict: () => null },
    {
      resolveConflict: () => {
        throw new Error("can't merge");
      },
    },
  ];
  for (const options of failures) {
    await using cluster = await undoable([[1]], modified);
    const client = await cluster.connect();
    await using transaction = await client.begin(options);
    await assert.rejects(transaction.undo(UNDONE), UndoError);
    await assert.rejects(transaction.vote(), UndoError);
    assert.equal(cluster.storage(1).count("AskStoreObject"), 0);
  }
  const created = () => ({ current: tid(90), undo: null, isCurrent: false });
  await using cluster = await undoable([[1]], created);
  const client = await cluster.connect({ resolveConflict: () => assert.fail("nothing to merge") });
  await assert.rejects(undoOnce(client), UndoError);
});

Deno.test("Transaction.undo() throws UndoError when what was before is gone", async () => {
  const order = { id: tid(80), approved: true, partial: false, oids: null, tid: UNDONE };
  const orders: [Orders, boolean][] = [
    [[order], true],
    [[{ ...order, tid: tid(49) }], false],
    [[{ ...order, approved: false }], false],
    [[{ ...order, approved: null }], false],
    [[{ ...order, partial: true, oids: [oid(2)] }], true],
    [[{ ...order, partial: true, oids: [oid(3)] }], false],
  ];
  for (const [known, packed] of orders) {
    await using cluster = await undoable([[1]], undefined, known);
    const client = await cluster.connect();
    if (packed) await assert.rejects(undoOnce(client), UndoError);
    else await undoOnce(client);
    assert.deepEqual(cluster.master.all("AskPackOrders"), [{ minId: UNDONE }]);
  }
  {
    // The revisions to undo were packed too: storages have nothing to say.
    await using cluster = await undoable([[1]], undefined, [order]);
    const client = await cluster.connect();
    const { script } = cluster.storage(1);
    script.AskObjectUndoSerial = ({ answer }) => answer({ objects: new Map() });
    await assert.rejects(undoOnce(client), UndoError);
  }
  {
    await using cluster = await undoable();
    const client = await cluster.connect();
    cluster.storage(1).script.AskObjectUndoSerial = ({ error }) => error(ErrorCode.OID_NOT_FOUND);
    await assert.rejects(undoOnce(client), UndoError);
    const { script } = cluster.storage(1);
    script.AskTransactionInformation = ({ error }) => error(ErrorCode.TID_NOT_FOUND);
    await assert.rejects(undoOnce(client), UndoError);
  }
  await using cluster = await undoable();
  const client = await cluster.connect();
  cluster.storage(1).script.AskObject = ({ error }) => error(ErrorCode.OID_NOT_FOUND);
  await assert.rejects(undoOnce(client), UndoError);
});

Deno.test("Transaction.undo() throws NEOUndoPackError when it is packed meanwhile", async () => {
  await using cluster = await undoable();
  const client = await cluster.connect();
  cluster.storage(1).script.AskStoreObject = ({ error }) => error(ErrorCode.UNDO_PACK_ERROR, "01");
  await using transaction = await client.begin();
  await assert.rejects(transaction.undo(UNDONE), NEOUndoPackError);
  await assert.rejects(transaction.commit(), NEOUndoPackError);
});

Deno.test("Transaction.undo() asks again when a cell can't be read any more", async () => {
  await using cluster = await undoable([[1, 2]]);
  const client = await cluster.connect();
  let refusals = 0;
  for (const { script } of cluster.storages.values()) {
    const answer = script.AskObjectUndoSerial;
    script.AskObjectUndoSerial = (heard: Heard<"AskObjectUndoSerial">) => {
      if (refusals++ < 3) heard.error(ErrorCode.NON_READABLE_CELL);
      else answer?.(heard);
    };
  }
  cluster.master.script.Ping = ({ answer }) => answer({});
  await undoOnce(client);
  assert.equal(refusals, 4);
});

Deno.test("Transaction.undo() stops when its signal aborts, or the transaction does", async () => {
  await using cluster = await undoable();
  const client = await cluster.connect();
  delete cluster.storage(1).script.AskObjectUndoSerial;
  const controller = new AbortController();
  const reason = new Error("enough");
  await using transaction = await client.begin();
  const undoing = transaction.undo(UNDONE, { signal: controller.signal });
  await cluster.storage(1).next("AskObjectUndoSerial");
  controller.abort(reason);
  await assert.rejects(undoing, reason);
  const other = await client.begin();
  const second = other.undo(UNDONE);
  await cluster.storage(1).next("AskObjectUndoSerial");
  await other.abort();
  await assert.rejects(second, StorageTransactionError);
});
