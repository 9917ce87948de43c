import assert from "node:assert/strict";
import { MAX_TRANSACTIONS } from "../../master/transactions.ts";
import type { Cell } from "../../node/partition_table.ts";
import { CellState, NodeType } from "../../protocol/enums.ts";
import { type Oid, type Tid, toOid, toTid } from "../../protocol/ids.ts";
import { nidOf } from "../../protocol/nodes.ts";
import type { ArgsOf, RequestName } from "../../protocol/messages.ts";
import { answerOf, begin, errorOf, finishArgs, settle, withCluster } from "./support.ts";

Deno.test("ClientHandler refuses nonsense and costs nobody else anything", async () => {
  await withCluster(1, { partitions: 2 }, async ({ scene, client }) => {
    const attempt = async <N extends RequestName>(name: N, args: (ttid: Tid) => ArgsOf<N>) => {
      const peer = await scene.client();
      const ttid = await begin(peer);
      const reply = peer.ask(name, args(ttid));
      await settle();
      assert.match(errorOf(reply), /^PROTOCOL_ERROR /, name);
      assert(!errorOf(reply).includes("internal error"), name);
      assert(peer.closed);
    };
    await attempt("AskNewOIDs", () => ({ count: 0 }));
    await attempt("AskNewOIDs", () => ({ count: 2 ** 40 }));
    await attempt("AskFinishTransaction", () => finishArgs(toTid(12345)));
    await attempt("AskFinishTransaction", (t) => ({ ...finishArgs(t), deleted: [2] }));
    await attempt("AskFinishTransaction", (t) => ({ ...finishArgs(t), checked: [0xffff_ffff] }));
    await attempt(
      "AskFinishTransaction",
      (t) => ({ ...finishArgs(t), oids: [toOid(2n ** 64n - 1n)] }),
    );
    const ttid = await begin(client);
    assert((await client.get("AskFinishTransaction", finishArgs(ttid, 1n))).tid);
  });
});

Deno.test("ClientHandler refuses the votes and aborts of transactions that do not exist", async () => {
  await withCluster(1, {}, async ({ scene }) => {
    const voter = await scene.client();
    const vote = voter.command("FailedVote", { ttid: toTid(5), nids: [1] });
    const aborter = await scene.client();
    aborter.notify("AbortTransaction", { ttid: toTid(5), nids: [1] });
    await settle();
    assert.match(errorOf(vote), /^PROTOCOL_ERROR .*unknown transaction/);
    assert(voter.closed && aborter.closed);
  });
});

Deno.test("ClientHandler refuses more transactions than a client can use", async () => {
  await withCluster(1, { partitions: 1 }, async ({ scene, client }) => {
    const greedy = await scene.client();
    const replies = Array.from(
      { length: MAX_TRANSACTIONS + 1 },
      () => greedy.ask("AskBeginTransaction", { tid: null }),
    );
    await settle();
    answerOf(replies[MAX_TRANSACTIONS - 1] ?? {});
    assert.match(errorOf(replies[MAX_TRANSACTIONS] ?? {}), /^PROTOCOL_ERROR .*at the same time/);
    // What ended does not count.
    for (let i = 0; i < 3; i++) {
      const ttid = await begin(client);
      client.notify("AbortTransaction", { ttid, nids: [] });
    }
    await settle();
    assert.match(scene.master.dump(), /, 0 pending/);
  });
});

Deno.test("ClientHandler refuses to be asked twice for the end of a transaction in progress", async () => {
  await withCluster(1, { partitions: 1 }, async ({ scene, client }) => {
    const ttid = await begin(client);
    const curious = await scene.client();
    curious.ask("AskFinalTID", { ttid });
    const again = curious.ask("AskFinalTID", { ttid });
    await settle();
    assert.match(errorOf(again), /^PROTOCOL_ERROR .*asked already/);
    assert((await client.get("AskFinishTransaction", finishArgs(ttid, 1n))).tid);
  });
});

Deno.test("ClientHandler allocates no oid that storages can't hold", async () => {
  await withCluster(1, { partitions: 1 }, async ({ client }) => {
    const ttid = await begin(client);
    const last = 2n ** 63n - 1n as Oid;
    await client.get("AskFinishTransaction", finishArgs(ttid, last));
    const reply = client.ask("AskNewOIDs", { count: 1 });
    await settle();
    assert.match(errorOf(reply), /^PROTOCOL_ERROR .*no oid left/);
  });
});

Deno.test("OperatingStorageHandler refuses partitions that do not exist", async () => {
  await withCluster(3, { partitions: 1, replicas: 2 }, async ({ scene, client, s }) => {
    const unfinished = s(1).ask("AskUnfinishedTransactions", { partitions: [0, 1] });
    s(2).notify("NotifyReplicationDone", { partition: 7, tid: toTid(0) });
    await settle();
    assert.match(errorOf(unfinished), /^PROTOCOL_ERROR .*no partition 1/);
    assert(s(1).closed && s(2).closed);
    s(3).notify("NotifyReplicationDone", { partition: 0, tid: toTid(0) });
    s(3).notify("NotifyReady", {});
    s(3).notify("NotifyPartitionCorrupted", { partition: 0, nids: [-3, 99, 0] });
    await settle();
    assert(!s(3).closed);
    scene.sent();
    await begin(client);
  });
});

Deno.test("Master refuses messages that are not for it", async () => {
  await withCluster(1, {}, async ({ scene, client, admin, s }) => {
    client.notify("NotifyReady", {});
    admin.ask("AskBeginTransaction", { tid: null });
    s(1).notify("NotPrimaryMaster", { primary: null, masters: [] });
    await settle();
    assert(client.closed && admin.closed && s(1).closed);
    const stranger = await scene.peer(NodeType.CLIENT).connect();
    stranger.notify("NotifyNodeInformation", { timestamp: 1, nodes: [] });
    await settle();
    assert(stranger.closed);
    assert.equal(scene.outcome, "running");
  });
});

Deno.test("Master survives storages that lie about their table", async () => {
  await withCluster(1, {}, async ({ scene, admin, s }) => {
    await s(1).kill();
    for (const rows of ["", "..", "U|.", "C|C"]) {
      const liar = await scene.storageWith({ ptid: 9, rows }, { nid: 1 });
      assert.equal(await scene.clusterState(admin), "RECOVERING");
      await liar.kill();
    }
    await scene.storageWith({ ptid: 10, rows: "U|U" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Master refuses tables that can't be", async () => {
  await withCluster(1, {}, async ({ scene, admin, s }) => {
    await s(1).kill();
    const upToDate = { nid: 1, state: CellState.UP_TO_DATE };
    const cases: [number, Cell[][]][] = [
      [8, [[upToDate]]],
      [9, [[upToDate, upToDate]]],
      [9, [[upToDate], [{ ...upToDate, nid: nidOf(NodeType.MASTER, 1) }]]],
      [9, [[{ ...upToDate, state: CellState.DISCARDED }]]],
    ];
    for (const [ptid, rows] of cases) {
      const liar = scene.peer(NodeType.STORAGE, { nid: 1 });
      liar.data.ptid = 9;
      liar.manual.add("AskPartitionTable");
      await liar.identify();
      liar.take("AskPartitionTable").from.answer({ ptid, replicas: 0, rows });
      await settle();
      assert(liar.closed);
      assert.equal(await scene.clusterState(admin), "RECOVERING");
    }
    await scene.storageWith({ ptid: 9, rows: "U" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});
