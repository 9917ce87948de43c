import assert from "node:assert/strict";
import { ClusterState, NodeState, NodeType } from "../../protocol/enums.ts";
import { toTid } from "../../protocol/ids.ts";
import { formatAddress, nidOf } from "../../protocol/nodes.ts";
import { masterAddress, Masters } from "./masters.ts";
import { answerOf, begin, checkWaiting, errorOf, finishArgs, Peer, settle } from "./support.ts";

const { ADMIN, CLIENT, MASTER, STORAGE } = NodeType;
const { RECOVERING, RUNNING } = ClusterState;
const host = (n: number) => masterAddress(n).host;

/** The data of a storage that has seen the cluster run. */
const TABLE = { ptid: 1, rows: "UU|UU", replicas: 1 };

Deno.test("Masters that start one after the other follow the first one", async () => {
  await using scene = await new Masters().start(1);
  assert.equal(scene.role(1), "primary RECOVERING");
  await scene.pass(100);
  await scene.start(2);
  await scene.pass(100);
  await scene.start(3);
  assert.deepEqual(scene.roles(1, 2, 3), [
    "primary RECOVERING",
    `secondary of ${host(1)}`,
    `secondary of ${host(1)}`,
  ]);
  assert.deepEqual(scene.masterLinks(), [`${host(2)}>${host(1)}`, `${host(3)}>${host(1)}`]);
  for (const n of [2, 3]) {
    for (const type of [ADMIN, STORAGE, CLIENT, MASTER]) {
      assert.equal(await scene.redirection(n, type), host(1));
    }
  }
  const admin = await scene.peer(ADMIN, 1);
  assert.deepEqual(await scene.nodeNames(admin), [
    `${host(1)} M1 RUNNING`,
    `${host(2)} M2 RUNNING`,
    `${host(3)} M3 RUNNING`,
  ]);
});

Deno.test("Masters that start at the same moment elect one, and keep one connection each", async () => {
  await using scene = await new Masters().start(3, 2, 1);
  // Not all of them listened when they were challenged at first.
  await scene.pass(100);
  assert.deepEqual(scene.roles(1, 2, 3), [
    "primary RECOVERING",
    `secondary of ${host(1)}`,
    `secondary of ${host(1)}`,
  ]);
  const links = [`${host(2)}>${host(1)}`, `${host(3)}>${host(1)}`];
  assert.deepEqual(scene.masterLinks(), links);
  await scene.pass(5000);
  assert.deepEqual(scene.masterLinks(), links);
});

Deno.test("Masters elect another primary when theirs is killed, and the cluster goes on", async () => {
  await using scene = await new Masters().start(1, 2, 3);
  const storages = [await scene.storage(1), await scene.storage(1)];
  const client = await scene.client(1);
  assert.equal(scene.role(1), "primary RUNNING");
  const ttid = await begin(client);
  const finish = client.ask("AskFinishTransaction", finishArgs(ttid, 1n));
  await settle();
  const { tid } = answerOf(finish);

  await scene.kill(1);
  await scene.pass(30);
  assert.deepEqual(scene.roles(2, 3), ["primary RECOVERING", `secondary of ${host(2)}`]);
  assert.equal(await scene.redirection(3), host(2));
  const admin = await scene.peer(ADMIN, 2);
  const waiting = await scene.client(2, { nid: client.nid });
  const data = { ...TABLE, lastTid: tid, firstTid: tid };
  await scene.storage(2, data, { nid: storages[0]?.nid ?? 0 });
  assert.equal(await scene.state(admin), RECOVERING, "both copies are needed");
  checkWaiting(waiting.identification);
  await scene.storage(2, data, { nid: storages[1]?.nid ?? 0 });
  assert.equal(await scene.state(admin), RUNNING);
  assert.equal((await waiting.get("AskLastTransaction", {})).tid, tid);
  assert((await begin(waiting)) > tid);

  await scene.start(1);
  assert.deepEqual(scene.roles(1, 2, 3), [
    `secondary of ${host(2)}`,
    "primary RUNNING",
    `secondary of ${host(2)}`,
  ]);
  assert.deepEqual(await scene.nodeNames(admin), [
    `${host(1)} M1 RUNNING`,
    `${host(2)} M2 RUNNING`,
    `${host(3)} M3 RUNNING`,
  ]);
});

Deno.test("Masters verify again when the primary is killed while it verifies", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(50);
  const [ttid, tid] = [toTid(100n), toTid(102n)];
  const owner = new Peer(scene, STORAGE, { to: masterAddress(1), nid: 1 });
  Object.assign(owner.data, TABLE, { locked: new Map([[ttid, tid]]) });
  owner.manual.add("AskLastIDs");
  await owner.identify();
  const voter = await scene.storage(1, { ...TABLE, locked: new Map([[ttid, null]]) }, { nid: 2 });
  assert.equal(scene.role(1), "primary VERIFYING");
  assert.deepEqual(voter.last("ValidateTransaction"), { ttid, tid });
  await scene.kill(1);
  await scene.pass(50);

  // The order has reached one of them.
  const finished = { ...TABLE, finalTids: new Map([[ttid, tid]]), lastTid: tid };
  await scene.storage(2, finished, { nid: 1 });
  const late = await scene.storage(2, { ...TABLE, locked: new Map([[ttid, null]]) }, { nid: 2 });
  assert.deepEqual(late.last("ValidateTransaction"), { ttid, tid });
  assert.equal(scene.role(2), "primary RUNNING");
});

Deno.test("Masters elect the last one left", async () => {
  await using scene = await new Masters().start(1, 2, 3);
  await scene.kill(2);
  await scene.kill(1);
  assert.equal(scene.role(3), "primary RECOVERING");
  const admin = await scene.peer(ADMIN, 3);
  assert.deepEqual(await scene.nodeNames(admin), [
    `${host(1)} M1 DOWN`,
    `${host(2)} M2 DOWN`,
    `${host(3)} M3 RUNNING`,
  ]);
});

Deno.test("Masters that can't reach each other agree on the older one when they can", async () => {
  await using scene = new Masters({ masters: [masterAddress(1), masterAddress(2)] });
  await scene.cut(1, 2);
  await scene.start(2);
  await scene.pass(10);
  await scene.start(1);
  await scene.pass(3000);
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", "primary RECOVERING"]);
  const storage = await scene.storage(1, TABLE, { nid: 1 });
  const other = await scene.storage(2, TABLE, { nid: 2 });
  await scene.pass(3000);
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", "primary RECOVERING"], "both wait");
  scene.heal();
  await scene.pass(1000);
  assert.deepEqual(scene.roles(1, 2), [`secondary of ${host(2)}`, "primary RECOVERING"]);
  assert(storage.closed && !other.closed);
  assert.equal(await scene.redirection(1), host(2));
});

Deno.test("Masters give up for one that operates, whatever they started with", async () => {
  await using scene = new Masters({ masters: [masterAddress(1), masterAddress(2)] });
  await scene.cut(1, 2);
  await scene.start(1);
  await scene.pass(1000);
  await scene.start(2);
  await scene.storage(2);
  await scene.storage(2);
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", "primary RUNNING"]);
  scene.heal();
  await scene.pass(1000);
  assert.deepEqual(scene.roles(1, 2), [`secondary of ${host(2)}`, "primary RUNNING"]);
});

Deno.test("Masters elect without those that do not answer", async () => {
  await using scene = new Masters();
  const listener = await scene.network.host(host(1)).listen(masterAddress(1), () => {});
  await scene.start(2, 3);
  assert.deepEqual(scene.roles(2, 3), ["primary RECOVERING", `secondary of ${host(2)}`]);
  listener.close();
  await scene.pass(7000);
  // The one that hung is alive again, and was the first of all.
  await scene.start(1);
  assert.deepEqual(scene.roles(1, 2), [`secondary of ${host(2)}`, "primary RECOVERING"]);
});

Deno.test("A candidate only gives up for one that accepts it", async () => {
  await using scene = await new Masters().start(2);
  const storage = await scene.storage(2);
  const rival = await scene.rival(2, 1, { idTimestamp: 1 });
  assert(rival.closed, "nothing is answered");
  await scene.pass(1000);
  const listener = await scene.network.host(host(1)).listen(masterAddress(1), () => {});
  await scene.rival(2, 1, { idTimestamp: 1 });
  await scene.pass(6000);
  assert.equal(scene.role(2), `primary RECOVERING`);
  assert(!storage.closed);
  listener.close();
});

/** A secondary that says that the first master is the primary. */
function misleading(scene: Masters): Promise<() => void> {
  return scene.listenAs(3, (connection) => {
    connection.notify("NotPrimaryMaster", { primary: 0, masters: [1, 3].map(masterAddress) });
    connection.abort();
  });
}

Deno.test("A secondary runs for primary when the one it follows does not accept it", async () => {
  await using scene = new Masters();
  const listener = await scene.network.host(host(1)).listen(masterAddress(1), () => {});
  const stop = await misleading(scene);
  await scene.start(2);
  assert.equal(scene.role(2), `searching ${host(1)}`);
  assert.equal(await scene.redirection(2), "none");
  stop();
  await scene.pass(6000);
  assert.equal(scene.role(2), `primary RECOVERING`);
  listener.close();
});

Deno.test("A secondary that looks for its primary follows a candidate instead", async () => {
  await using scene = new Masters();
  const listener = await scene.network.host(host(1)).listen(masterAddress(1), () => {});
  const stop = await misleading(scene);
  await scene.start(2);
  assert.equal(scene.role(2), `searching ${host(1)}`);
  stop();
  await scene.start(3);
  assert.deepEqual(scene.roles(2, 3), [`secondary of ${host(3)}`, "primary RECOVERING"]);
  listener.close();
});

Deno.test("A master that nobody knows joins, and everybody learns its address", async () => {
  await using scene = await new Masters().start(1, 2);
  const admin = await scene.peer(ADMIN, 1);
  const storage = await scene.storage(1);
  scene.launch(4, { masters: [masterAddress(2)] });
  await settle();
  assert.equal(scene.role(4), `secondary of ${host(1)}`);
  for (const node of [admin, storage]) {
    assert((await scene.nodeNames(node)).includes(`${host(4)} M3 RUNNING`));
  }
  const all = [1, 2, 3, 4].map((n) => formatAddress(masterAddress(n)));
  for (const n of [1, 2, 4]) assert.deepEqual(scene.saved.get(n), all, `saved by ${n}`);
  const asker = await scene.peer(ADMIN, 2);
  assert.deepEqual(asker.last("NotPrimaryMaster").masters.map(formatAddress).sort(), all);

  await scene.kill(1);
  await scene.pass(30);
  assert.deepEqual(scene.roles(2, 4), ["primary RECOVERING", `secondary of ${host(2)}`]);
});

Deno.test("A candidate learns masters from a secondary, and tells its nodes", async () => {
  await using scene = new Masters();
  await scene.cut(1, 4);
  await scene.start(1, 2);
  scene.launch(4, { masters: [masterAddress(2)] });
  await settle();
  assert.equal(scene.role(4), "primary RECOVERING", "it can't reach the primary it was told about");
  const admin = await scene.peer(ADMIN, 4);
  assert((await scene.nodeNames(admin)).some((name) => name.startsWith(`${host(1)} `)));
  scene.heal();
  await scene.pass(2000);
  assert.equal(scene.role(4), `secondary of ${host(1)}`);
});

Deno.test("Masters of another cluster are refused by all, and do not join", async () => {
  await using scene = await new Masters().start(1, 2);
  scene.launch(3, { cluster: "other" });
  await settle();
  assert.equal(scene.role(3), "primary RECOVERING");
  for (const n of [1, 2]) {
    const rival = await scene.rival(n, 4, { cluster: "other", idTimestamp: 1 });
    if (n === 1) assert.match(errorOf(rival.identification), /invalid cluster name 'other'/);
    assert(rival.closed);
  }
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", `secondary of ${host(1)}`]);
  assert.deepEqual(scene.saved.get(1)?.length, 3);
});

Deno.test("Masters refuse their own address", async () => {
  await using scene = await new Masters().start(1, 2);
  for (const n of [1, 2]) {
    const rival = await scene.rival(n, n, { idTimestamp: 1 });
    assert.match(errorOf(rival.identification), /address conflict/);
  }
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", `secondary of ${host(1)}`]);
});

Deno.test("Masters keep the ids of their operators, and nobody gets one in use", async () => {
  await using scene = new Masters();
  for (const n of [1, 2]) scene.launch(n, { nid: nidOf(MASTER, 10 + n) });
  scene.launch(3, { nid: nidOf(MASTER, 11) });
  await settle();
  const admin = await scene.peer(ADMIN, 1);
  assert.deepEqual(await scene.nodeNames(admin), [
    `${host(1)} M11 RUNNING`,
    `${host(2)} M12 RUNNING`,
    `${host(3)} M1 RUNNING`,
  ]);
  await scene.kill(1);
  const next = await scene.peer(ADMIN, 2);
  assert.equal(answerOf(next.identification).nid, nidOf(MASTER, 12));
});

Deno.test("A master that reconnects before its loss was noticed is accepted", async () => {
  await using scene = await new Masters().start(1);
  const admin = await scene.peer(ADMIN, 1);
  const first = await scene.rival(1, 2);
  const second = await scene.rival(1, 2, { nid: first.nid });
  assert.equal(second.nid, first.nid);
  assert(first.closed && !second.closed);
  assert((await scene.nodeNames(admin)).includes(`${host(2)} M2 RUNNING`));
  const stranger = await scene.rival(1, 2, { host: "10.9.9.9" });
  assert.match(errorOf(stranger.identification), /already connected/);
});

Deno.test("An operator stops a secondary, and can't stop the primary", async () => {
  await using scene = await new Masters().start(1, 2, 3);
  const admin = await scene.peer(ADMIN, 1);
  const kill = async (n: number) => {
    const args = { nid: nidOf(MASTER, n), state: NodeState.DOWN };
    const reply = admin.command("SetNodeState", args);
    await settle();
    return reply.answer ?? errorOf(reply);
  };
  assert.equal(await kill(1), "DENIED can not kill primary master node");
  assert.equal(await kill(2), "state changed");
  assert.equal(scene.outcome(2), "ended");
  assert.equal(await kill(2), "node already in DOWN state");
  assert.deepEqual(await scene.nodeNames(admin), [
    `${host(1)} M1 RUNNING`,
    `${host(2)} M2 DOWN`,
    `${host(3)} M3 RUNNING`,
  ]);
  const removed = { nid: nidOf(MASTER, 3), state: NodeState.UNKNOWN };
  const reply = admin.command("SetNodeState", removed);
  await settle();
  assert.match(errorOf(reply), /can not switch node to UNKNOWN state/);
});

Deno.test("Secondaries end when the cluster is stopped", async () => {
  await using scene = await new Masters().start(1, 2, 3);
  const admin = await scene.peer(ADMIN, 1);
  admin.command("SetClusterState", { state: ClusterState.STOPPING });
  await scene.pass(500);
  assert.deepEqual(scene.roles(1, 2, 3), ["ended", "ended", "ended"]);
});
