import assert from "node:assert/strict";
import { ConnectionClosed } from "../../network/handler.ts";
import { ErrorCode, NodeType } from "../../protocol/enums.ts";
import { MAX_TID, type Tid, toTid } from "../../protocol/ids.ts";
import {
  answerOf,
  begin,
  checkWaiting,
  errorOf,
  finishArgs,
  type Peer,
  type Running,
  settle,
  withCluster,
} from "./support.ts";

const ONE_PARTITION = { partitions: 1 };

/** A client asks to finish, and storages are asked to lock. */
async function finishing(client: Peer, ...oids: bigint[]) {
  const ttid = await begin(client);
  const reply = client.ask("AskFinishTransaction", finishArgs(ttid, ...oids));
  await settle();
  return { ttid, reply };
}

function manualLocks({ storages }: Running): void {
  for (const storage of storages) storage.manual.add("AskLockInformation");
}

async function lock(storage: Peer): Promise<void> {
  const { args, from } = storage.take("AskLockInformation");
  from.answer({ ttid: args.ttid });
  await settle();
}

Deno.test("TransactionManager only involves storages with cells of the transaction", async () => {
  await withCluster(3, { partitions: 3, replicas: 0 }, async ({ scene, client }) => {
    const ttid = await begin(client);
    const metadata = Number(ttid % 3n);
    const other = (metadata + 1) % 3;
    scene.sent();
    client.ask("AskFinishTransaction", finishArgs(ttid, BigInt(other)));
    await settle();
    assert.deepEqual(
      scene.sent("AskLockInformation").sort(),
      [
        `S${metadata + 1} AskLockInformation`,
        `S${other + 1} AskLockInformation`,
      ].sort(),
    );
  });
});

Deno.test("TransactionManager involves the partitions of deleted and checked objects", async () => {
  await withCluster(3, { partitions: 3, replicas: 0 }, async ({ scene, client }) => {
    const other = await scene.client();
    const ttid = await begin(client);
    scene.sent();
    const args = { ...finishArgs(ttid), deleted: [0, 0, 1], checked: [2] };
    const reply = client.ask("AskFinishTransaction", args);
    await settle();
    assert.equal(scene.sent("AskLockInformation").length, 3);
    answerOf(reply);
    assert.deepEqual(other.last("InvalidateObjects").oids, []);
  });
});

Deno.test("TransactionManager commits in the order of tids, whoever locks first", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { scene, client, s } = running;
    const second = await scene.client();
    manualLocks(running);
    const a = await finishing(client, 1n);
    const b = await finishing(second, 2n);
    await lock(s(1));
    await lock(s(1));
    scene.sent();
    // The second transaction is locked everywhere before the first.
    s(2).take("AskLockInformation");
    const { from } = s(2).take("AskLockInformation");
    from.answer({ ttid: b.ttid });
    await settle();
    assert.deepEqual(scene.sent(), []);
    s(2).notify("NotifyPackCompleted", { id: toTid(0) });
    await settle();
    checkWaiting(a.reply);
    await s(2).kill();
    assert.deepEqual(
      scene.sent().filter((line) => !line.startsWith("A1") && !line.includes("Notify")),
      [
        "C1 AnswerTransactionFinished",
        "C2 InvalidateObjects",
        "C1 InvalidateObjects",
        "C2 AnswerTransactionFinished",
      ],
    );
    assert(answerOf(a.reply).tid < answerOf(b.reply).tid);
  });
});

Deno.test("TransactionManager delays transactions while a storage starts", async () => {
  await withCluster(2, ONE_PARTITION, async ({ scene, client, s }) => {
    await s(2).kill();
    const back = scene.peer(NodeType.STORAGE, { nid: 2 });
    back.manual.add("StartOperation");
    await back.identify();
    const reply = client.ask("AskBeginTransaction", { tid: null });
    const lost = await scene.client();
    lost.ask("AskBeginTransaction", { tid: null });
    await settle();
    await lost.kill();
    checkWaiting(reply);
    back.notify("NotifyReady", {});
    await settle();
    // The one whose client left was dropped.
    const { ttids } = await back.get("AskUnfinishedTransactions", { partitions: [0] });
    assert.deepEqual(ttids, [answerOf(reply).ttid]);
  });
});

Deno.test("TransactionManager begins when the storage that was starting is lost", async () => {
  await withCluster(2, ONE_PARTITION, async ({ scene, client, s }) => {
    await s(2).kill();
    const back = scene.peer(NodeType.STORAGE, { nid: 2 });
    back.manual.add("StartOperation");
    await back.identify();
    const reply = client.ask("AskBeginTransaction", { tid: null });
    await settle();
    checkWaiting(reply);
    await back.kill();
    answerOf(reply);
  });
});

Deno.test("TransactionManager uses an imposed tid as it is", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client, scene }) => {
    const tid = toTid(0x0400_0000_0000_0000n);
    assert.deepEqual(await client.get("AskBeginTransaction", { tid }), { ttid: tid });
    const other = await scene.client();
    const concurrent = other.ask("AskBeginTransaction", { tid: null });
    await settle();
    assert.match(errorOf(concurrent), /^PROTOCOL_ERROR .*transaction with a given tid/);
    assert(other.closed);
    assert.deepEqual(await client.get("AskFinishTransaction", finishArgs(tid, 1n)), {
      ttid: tid,
      tid,
    });
    for (const bad of [tid, toTid(tid - 1n), MAX_TID, toTid(2n ** 64n - 1n)]) {
      const peer = await scene.client();
      const reply = peer.ask("AskBeginTransaction", { tid: bad });
      await settle();
      assert.match(errorOf(reply), /^PROTOCOL_ERROR .*given tid/);
    }
  });
});

Deno.test("TransactionManager refuses an imposed tid while another transaction is there", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client, scene }) => {
    await begin(client);
    const other = await scene.client();
    const reply = other.ask("AskBeginTransaction", { tid: toTid(MAX_TID - 1n) });
    await settle();
    assert.match(errorOf(reply), /^PROTOCOL_ERROR .*another transaction is in progress/);
  });
});

Deno.test("TransactionManager never goes back when tids were imported from the future", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client, scene }) => {
    const other = await scene.client();
    await begin(other);
    await other.kill();
    const future = toTid(0x0500_0000_0000_0000n);
    await client.get("AskBeginTransaction", { tid: future });
    await client.get("AskFinishTransaction", finishArgs(future, 1n));
    const a = await begin(client);
    const b = await begin(client);
    assert(future < a && a < b);
    const second = await client.get("AskFinishTransaction", finishArgs(b, 1n));
    const first = await client.get("AskFinishTransaction", finishArgs(a, 1n));
    assert(second.tid < first.tid);
  });
});

Deno.test("TransactionManager uses the ttid as the tid when the clock does not advance", async () => {
  await withCluster(1, { partitions: 7, replicas: 0 }, async ({ client, scene }) => {
    const ttid = await begin(client);
    scene.clock.wall -= 100;
    const { tid } = await client.get("AskFinishTransaction", finishArgs(ttid, 1n));
    assert.equal(tid, ttid);
    assert.equal(await begin(client), tid + 1n);
  });
});

Deno.test("TransactionManager raises the last oid to the greatest one stored", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client }) => {
    const ttid = await begin(client);
    await client.get("AskFinishTransaction", finishArgs(ttid, 500n, 3n));
    const { oids } = await client.get("AskNewOIDs", { count: 2 });
    assert.deepEqual(oids, [501n, 502n]);
  });
});

// Aborting

Deno.test("TransactionManager relays an abort to the storages that are ready", async () => {
  await withCluster(2, ONE_PARTITION, async ({ client, scene, s }) => {
    const ttid = await begin(client);
    scene.sent();
    client.notify("AbortTransaction", { ttid, nids: [1, 2, 7, -5] });
    await settle();
    assert.deepEqual(scene.sent(), ["S1 AbortTransaction", "S2 AbortTransaction"]);
    assert.deepEqual(s(1).last("AbortTransaction"), { ttid, nids: [] });
    const reply = client.ask("AskFinishTransaction", finishArgs(ttid));
    await settle();
    assert.match(errorOf(reply), /^PROTOCOL_ERROR .*unknown transaction/);
  });
});

Deno.test("TransactionManager refuses to abort, or to finish again, what is being finished", async () => {
  for (const again of ["abort", "finish"]) {
    await withCluster(1, ONE_PARTITION, async (running) => {
      const { client, s, scene } = running;
      manualLocks(running);
      const { ttid } = await finishing(client, 1n);
      if (again === "abort") client.notify("AbortTransaction", { ttid, nids: [] });
      else client.ask("AskFinishTransaction", finishArgs(ttid));
      await settle();
      assert(client.closed);
      // The commit goes on without its client.
      scene.sent();
      await lock(s(1));
      assert.deepEqual(scene.sent(), ["S1 NotifyUnlockInformation"]);
    });
  }
});

Deno.test("TransactionManager does not let a client touch the transaction of another one", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client, scene }) => {
    const ttid = await begin(client);
    for (const attempt of ["finish", "abort", "vote"]) {
      const other = await scene.client();
      if (attempt === "finish") other.ask("AskFinishTransaction", finishArgs(ttid));
      else if (attempt === "abort") other.notify("AbortTransaction", { ttid, nids: [] });
      else other.command("FailedVote", { ttid, nids: [1] });
      await settle();
      assert(other.closed, attempt);
    }
    assert((await client.get("AskFinishTransaction", finishArgs(ttid))).tid);
  });
});

// Failed votes

Deno.test("TransactionManager disconnects storages that missed writes before it locks", async () => {
  await withCluster(2, ONE_PARTITION, async ({ client, scene, s }) => {
    const ttid = await begin(client);
    const vote = client.command("FailedVote", { ttid, nids: [2, 99] });
    await settle();
    assert.equal(vote.answer, "");
    scene.sent();
    const reply = client.ask("AskFinishTransaction", finishArgs(ttid, 1n));
    await settle();
    assert.deepEqual(scene.sent().filter((line) => !line.startsWith("A1")), [
      "S1 NotifyNodeInformation S2 DOWN",
      "C1 NotifyNodeInformation S2 DOWN",
      "S1 NotifyPartitionChanges 2 0:S2→O",
      "C1 NotifyPartitionChanges 2 0:S2→O",
      "S1 AskLockInformation",
      "C1 AnswerTransactionFinished",
      "S1 NotifyUnlockInformation",
    ]);
    answerOf(reply);
    assert(s(2).closed);
  });
});

Deno.test("TransactionManager refuses a vote that failed on the only copy", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client }) => {
    const ttid = await begin(client);
    const vote = client.command("FailedVote", { ttid, nids: [1] });
    await settle();
    assert.match(errorOf(vote), /^INCOMPLETE_TRANSACTION /);
    client.notify("AbortTransaction", { ttid, nids: [1] });
    await settle();
    assert(!client.closed);
  });
});

Deno.test("TransactionManager ignores failures of storages that came back since the begin", async () => {
  await withCluster(2, ONE_PARTITION, async ({ client, scene, s }) => {
    const ttid = await begin(client);
    await s(2).kill();
    await scene.storageWith({}, { nid: 2 });
    const vote = client.command("FailedVote", { ttid, nids: [2] });
    await settle();
    assert.equal(vote.answer, "");
    scene.sent();
    const reply = client.ask("AskFinishTransaction", finishArgs(ttid, 1n));
    await settle();
    answerOf(reply);
    assert.deepEqual(scene.sent("AskLockInformation"), ["S1 AskLockInformation"]);
  });
});

/** Two clients that can't reach two different copies: the second one has to wait. */
async function conflictingVotes({ client, scene }: Running) {
  const second = await scene.client();
  const a = await begin(client);
  const b = await begin(second);
  const first = client.command("FailedVote", { ttid: a, nids: [1] });
  await settle();
  assert.equal(first.answer, "");
  const vote = second.command("FailedVote", { ttid: b, nids: [2] });
  await settle();
  checkWaiting(vote);
  return { second, a, b, vote };
}

Deno.test("TransactionManager refuses the second of two conflicting votes if the first ends", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { a, vote } = await conflictingVotes(running);
    await running.client.get("AskFinishTransaction", finishArgs(a, 1n));
    assert.match(errorOf(vote), /^INCOMPLETE_TRANSACTION /);
  });
});

Deno.test("TransactionManager accepts the second of two conflicting votes if the first aborts", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { a, b, second, vote } = await conflictingVotes(running);
    running.client.notify("AbortTransaction", { ttid: a, nids: [1] });
    await settle();
    assert.equal(vote.answer, "");
    assert((await second.get("AskFinishTransaction", finishArgs(b, 1n))).tid);
  });
});

Deno.test("TransactionManager accepts the second of two conflicting votes if the first client is lost", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { vote } = await conflictingVotes(running);
    await running.client.kill();
    assert.equal(vote.answer, "");
  });
});

Deno.test("TransactionManager aborts what can't be finished without the storages that failed", async () => {
  await withCluster(3, { partitions: 1, replicas: 2 }, async ({ client, scene, s }) => {
    const ttid = await begin(client);
    const vote = client.command("FailedVote", { ttid, nids: [2] });
    await settle();
    assert.equal(vote.answer, "");
    await s(1).kill();
    await s(3).kill();
    // S2 is the last one: it is not dispensable any more.
    scene.sent();
    const reply = client.ask("AskFinishTransaction", finishArgs(ttid, 1n));
    await settle();
    assert.match(errorOf(reply), /^INCOMPLETE_TRANSACTION /);
    assert.deepEqual(scene.sent().slice(1), ["S2 AbortTransaction"]);
    assert(!client.closed && !s(2).closed);
  });
});

// Losses of storages

Deno.test("TransactionManager does without a storage lost before the finish", async () => {
  await withCluster(2, ONE_PARTITION, async ({ client, scene, s }) => {
    const ttid = await begin(client);
    await s(1).kill();
    scene.sent();
    await client.get("AskFinishTransaction", finishArgs(ttid, 1n));
    assert.deepEqual(scene.sent("AskLockInformation"), ["S2 AskLockInformation"]);
  });
});

Deno.test("TransactionManager acknowledges after the table without a storage lost while locking", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { client, scene, s } = running;
    manualLocks(running);
    const { reply } = await finishing(client, 1n);
    await lock(s(1));
    scene.sent();
    await s(2).kill();
    assert.deepEqual(scene.sent().filter((line) => !line.startsWith("A1")), [
      "S1 NotifyNodeInformation S2 DOWN",
      "C1 NotifyNodeInformation S2 DOWN",
      "S1 NotifyPartitionChanges 2 0:S2→O",
      "C1 NotifyPartitionChanges 2 0:S2→O",
      "C1 AnswerTransactionFinished",
      "S1 NotifyUnlockInformation",
    ]);
    answerOf(reply);
  });
});

Deno.test("TransactionManager acknowledges when a storage is lost after it has locked", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { client, s } = running;
    manualLocks(running);
    const { reply } = await finishing(client, 1n);
    await lock(s(2));
    await s(2).kill();
    checkWaiting(reply);
    await lock(s(1));
    answerOf(reply);
  });
});

Deno.test("TransactionManager decides nothing when the last copy is lost while locking", async () => {
  await withCluster(1, ONE_PARTITION, async (running) => {
    const { client, scene, s } = running;
    manualLocks(running);
    const { reply } = await finishing(client, 1n);
    scene.sent();
    await s(1).kill();
    assert(reply.error instanceof ConnectionClosed);
    assert(client.closed);
    assert.deepEqual(scene.sent(), [
      "A1 NotifyNodeInformation S1 DOWN",
      "C1 NotifyNodeInformation S1 DOWN",
      "C1 StopOperation",
      "A1 NotifyClusterInformation RECOVERING",
      "A1 NotifyNodeInformation C1 UNKNOWN",
    ]);
  });
});

Deno.test("TransactionManager disconnects a storage that can't lock", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { client, s } = running;
    manualLocks(running);
    const { reply } = await finishing(client, 1n);
    await lock(s(1));
    s(2).take("AskLockInformation").from.error(6, "unknown transaction");
    await settle();
    answerOf(reply);
    assert(s(2).closed);
  });
});

Deno.test("TransactionManager aborts a transaction that no storage can lock", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { scene, admin, client, s } = running;
    manualLocks(running);
    const first = await finishing(client, 1n);
    const other = await scene.client();
    const second = await finishing(other, 2n);
    for (const n of [1, 2]) {
      checkWaiting(first.reply);
      s(n).take("AskLockInformation").from.error(ErrorCode.INCOMPLETE_TRANSACTION, "no vote");
      await lock(s(n));
    }
    assert.match(errorOf(first.reply), /^INCOMPLETE_TRANSACTION .*no storage/);
    answerOf(second.reply);
    assert(!client.closed && !s(1).closed && !s(2).closed);
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.deepEqual(s(1).last("AbortTransaction"), { ttid: first.ttid, nids: [] });
    assert.equal((await other.get("AskFinalTID", { ttid: first.ttid })).tid, MAX_TID);
  });
});

Deno.test("TransactionManager decides nothing about a storage lost while others can't lock", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { scene, admin, client, s } = running;
    manualLocks(running);
    const { reply } = await finishing(client, 1n);
    s(1).take("AskLockInformation").from.error(ErrorCode.INCOMPLETE_TRANSACTION, "no vote");
    await settle();
    await s(2).kill();
    // It may have locked: whoever has not can't go on without it.
    assert(s(1).closed);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.equal(reply.answer, undefined);
  });
});

Deno.test("TransactionManager disconnects a storage that answers for another transaction", async () => {
  await withCluster(2, ONE_PARTITION, async (running) => {
    const { client, s } = running;
    manualLocks(running);
    const { reply } = await finishing(client, 1n);
    await lock(s(1));
    s(2).take("AskLockInformation").from.answer({ ttid: toTid(1) });
    await settle();
    assert(s(2).closed);
    answerOf(reply);
  });
});

// Losses of clients

Deno.test("TransactionManager drops what a lost client has not asked to finish", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client, scene, s }) => {
    const ttid = await begin(client);
    await s(1).get("AskUnfinishedTransactions", { partitions: [] });
    scene.sent();
    await client.kill();
    assert.deepEqual(scene.sent(), [
      "S1 AbortTransaction",
      "A1 NotifyNodeInformation C1 UNKNOWN",
      "S1 NotifyNodeInformation C1 UNKNOWN",
    ]);
    assert.deepEqual(s(1).last("AbortTransaction"), { ttid, nids: [] });
  });
});

Deno.test("TransactionManager finishes without a client that is lost meanwhile", async () => {
  await withCluster(1, ONE_PARTITION, async (running) => {
    const { client, scene, s } = running;
    const other = await scene.client();
    manualLocks(running);
    const { ttid } = await finishing(client, 1n);
    await client.kill();
    const again = await scene.client({ nid: client.nid });
    const final = again.ask("AskFinalTID", { ttid });
    // The answer is that of this request, whatever is asked meanwhile.
    await again.get("AskLastTransaction", {});
    checkWaiting(final);
    scene.sent();
    await lock(s(1));
    const { tid } = other.last("InvalidateObjects");
    assert.deepEqual(final.answer, { tid });
    assert.deepEqual(scene.sent(), [
      "C2 InvalidateObjects",
      "C1 InvalidateObjects",
      "S1 NotifyUnlockInformation",
      "C1 AnswerFinalTID tid",
    ]);
  });
});

Deno.test("TransactionManager says when a transaction was never committed, or may have been", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client }) => {
    const ttid = await begin(client);
    assert.deepEqual(await client.get("AskFinalTID", { ttid: toTid(ttid + 1n) }), { tid: null });
    await client.get("AskFinishTransaction", finishArgs(ttid, 1n));
    assert.deepEqual(await client.get("AskFinalTID", { ttid }), { tid: MAX_TID });
  });
});

Deno.test("TransactionManager says that a transaction asked about is aborted", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client, scene }) => {
    const ttid = await begin(client);
    const other = await scene.client();
    const final = other.ask("AskFinalTID", { ttid });
    client.notify("AbortTransaction", { ttid, nids: [] });
    await settle();
    assert.deepEqual(final.answer, { tid: null });
  });
});

// Replication

Deno.test("TransactionManager has a storage that is starting forget what it need not have", async () => {
  await withCluster(2, ONE_PARTITION, async ({ client, scene, s }) => {
    const ttid = await begin(client);
    await s(2).kill();
    // Clients may write to it already.
    const slow = scene.peer(NodeType.STORAGE, { nid: 2 });
    slow.manual.add("StartOperation");
    await slow.identify();
    await client.get("AskFinishTransaction", finishArgs(ttid, 1n));
    await settle();
    assert.deepEqual(slow.last("AbortTransaction"), { ttid, nids: [] });
  });
});

Deno.test("TransactionManager tells the end of transactions to storages that replicate", async () => {
  await withCluster(2, ONE_PARTITION, async ({ client, scene, s }) => {
    const a = await begin(client);
    const b = await begin(client);
    await s(2).kill();
    const back = await scene.storage({ nid: 2 });
    const unfinished = await back.get("AskUnfinishedTransactions", { partitions: [0] });
    assert.deepEqual(unfinished, { lastTid: 0n, ttids: [a, b] });
    const { tid } = await client.get("AskFinishTransaction", finishArgs(a, 1n));
    assert.deepEqual(back.last("NotifyTransactionFinished"), { ttid: a, tid });
    assert.equal(back.count("AskLockInformation"), 0);
    client.notify("AbortTransaction", { ttid: b, nids: [] });
    await settle();
    assert.deepEqual(back.last("AbortTransaction"), { ttid: b, nids: [] });
    // What begins now is written to it.
    const c = await begin(client);
    await client.get("AskFinishTransaction", finishArgs(c, 1n));
    assert.equal(back.count("AskLockInformation"), 1);
    scene.sent();
    back.notify("NotifyReplicationDone", { partition: 0, tid });
    await settle();
    assert.deepEqual(scene.sent("NotifyPartitionChanges")[0], "S1 NotifyPartitionChanges 3 0:S2→U");
    back.notify("NotifyReplicationDone", { partition: 0, tid });
    await settle();
    assert.deepEqual(scene.sent(), [], "late");
  });
});

Deno.test("TransactionManager keeps the ids of transactions unique", async () => {
  await withCluster(1, ONE_PARTITION, async ({ client }) => {
    const seen = new Set<Tid>();
    for (let i = 0; i < 50; i++) seen.add(await begin(client));
    assert.equal(seen.size, 50);
  });
});

Deno.test("TransactionManager never gives a ttid again after a recovery, even with a late clock", async () => {
  await withCluster(1, ONE_PARTITION, async ({ scene, client, s }) => {
    const ttid = await begin(client);
    scene.clock.wall -= 3600;
    await s(1).kill();
    await scene.storageWith({ ptid: 1, rows: "U" }, { nid: 1 });
    const other = await scene.client();
    const second = await begin(other);
    assert(second > ttid);
    assert.equal((await other.get("AskFinalTID", { ttid })).tid, MAX_TID);
  });
});
