/** What must not happen when several masters believe to be primary. */

import assert from "node:assert/strict";
import { ClusterState, NodeType } from "../../protocol/enums.ts";
import { formatAddress, nidOf } from "../../protocol/nodes.ts";
import { masterAddress, Masters } from "./masters.ts";
import { answerOf, begin, errorOf, finishArgs, type Peer, settle } from "./support.ts";

const { ADMIN } = NodeType;
const { RECOVERING, RUNNING } = ClusterState;
const host = (n: number) => masterAddress(n).host;

/** A table that both storages have. */
const TABLE = { ptid: 1, rows: "UU|UU", replicas: 1 };
const START = { state: ClusterState.VERIFYING };

Deno.test("A primary that was frozen steps down without harm when it wakes up", async () => {
  await using scene = await new Masters().start(1, 2, 3);
  await scene.pass(1000);
  const old = [await scene.storage(1), await scene.storage(1)];
  const client = await scene.client(1);
  const ttid = await begin(client);
  const thaw = scene.freeze(1);
  const finish = client.ask("AskFinishTransaction", finishArgs(ttid, 1n));
  // Nothing is said for so long that the others take it for dead.
  for (const storage of old) await storage.kill();
  await scene.pass(20_000);
  assert.deepEqual(scene.roles(1, 2, 3), [
    "primary RUNNING",
    "primary RECOVERING",
    `secondary of ${host(2)}`,
  ]);
  const storages = [];
  for (const nid of [1, 2]) storages.push(await scene.storage(2, TABLE, { nid }));
  assert.equal(scene.role(2), "primary RUNNING");
  const other = await scene.client(2);
  const committed = other.ask("AskFinishTransaction", finishArgs(await begin(other), 1n));
  await settle();
  const { tid } = answerOf(committed);
  scene.sent(1);

  await thaw();
  await scene.pass(100);
  assert.deepEqual(scene.roles(1, 2, 3), [
    `secondary of ${host(2)}`,
    "primary RUNNING",
    `secondary of ${host(2)}`,
  ]);
  assert(client.closed);
  assert.equal(finish.answer, undefined, "what no storage has locked is not acknowledged");
  assert.deepEqual(scene.sent(1, "AnswerTransactionFinished"), []);
  assert(storages.every(({ closed }) => !closed));
  assert.equal((await other.get("AskLastTransaction", {})).tid, tid);
  assert.equal(storages[0]?.count("NotifyPartitionChanges"), 0, "no cell was outdated");
});

Deno.test("A primary that lost its storages can't know what they did meanwhile", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(50);
  const [s1, s2] = [await scene.storage(1), await scene.storage(1)];
  const admin = await scene.peer(ADMIN, 1);
  assert.equal(await scene.state(admin), RUNNING);
  await scene.cut(1, 2);
  await s1.kill();
  await s2.kill();
  assert.equal(await scene.state(admin), RECOVERING);
  // It believes that the first one is out of date; but the other one may have been told so about the
  // second one by another primary.
  await scene.storage(1, TABLE, { nid: 2 });
  assert.equal(await scene.state(admin), RECOVERING);
  await scene.storage(1, TABLE, { nid: 1 });
  assert.equal(await scene.state(admin), RUNNING);
});

Deno.test("A primary that lost its storages starts with those that know to be up to date", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(50);
  const [s1, s2] = [await scene.storage(1), await scene.storage(1)];
  const admin = await scene.peer(ADMIN, 1);
  await s1.kill();
  const { ptid } = s2.last("NotifyPartitionChanges");
  await s2.kill();
  await scene.storage(1, { ptid, rows: "OU|OU", replicas: 1 }, { nid: 2 });
  assert.equal(await scene.state(admin), RUNNING);
});

Deno.test("New storages are no new cluster for masters that know there is one", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(50);
  const old = [await scene.storage(1), await scene.storage(1)];
  assert.equal(scene.role(1), "primary RUNNING");
  for (const storage of old) await storage.kill();
  for (let i = 0; i < 2; i++) await scene.storage(1);
  assert.equal(scene.role(1), "primary RECOVERING");

  await scene.kill(1);
  await scene.pass(2000);
  for (let i = 0; i < 2; i++) await scene.storage(2);
  assert.equal(scene.role(2), "primary RECOVERING");
  for (const nid of [1, 2]) await scene.storage(2, TABLE, { nid });
  assert.equal(scene.role(2), "primary RUNNING");
});

Deno.test("New storages are no new cluster for a master that joined a cluster that ran", async () => {
  await using scene = await new Masters().start(1);
  const old = [await scene.storage(1), await scene.storage(1)];
  assert.equal(scene.role(1), "primary RUNNING");
  await scene.start(2);
  assert.equal(scene.role(2), `secondary of ${host(1)}`);
  for (const storage of old) await storage.kill();
  await scene.kill(1);
  await scene.pass(2000);
  for (let i = 0; i < 2; i++) await scene.storage(2);
  assert.equal(scene.role(2), "primary RECOVERING");
  for (const nid of [1, 2]) await scene.storage(2, TABLE, { nid });
  assert.equal(scene.role(2), "primary RUNNING");
});

Deno.test("New storages are a new cluster for a master that joined before there was any", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(100);
  await scene.kill(1);
  await scene.pass(2000);
  for (let i = 0; i < 2; i++) await scene.storage(2);
  assert.equal(scene.role(2), "primary RUNNING");
});

Deno.test("Two halves of a cluster don't both operate, unless an operator wants it", async () => {
  await using scene = new Masters({ masters: [masterAddress(1), masterAddress(2)] });
  await scene.cut(1, 2);
  await scene.start(1, 2);
  const admins = [await scene.peer(ADMIN, 1), await scene.peer(ADMIN, 2)] as const;
  await scene.storage(1, TABLE, { nid: 1 });
  await scene.storage(2, TABLE, { nid: 2 });
  await scene.pass(2000);
  for (const admin of admins) assert.equal(await scene.state(admin), RECOVERING);
  admins[0].command("SetClusterState", START);
  await settle();
  assert.equal(await scene.state(admins[0]), RUNNING);
  assert.equal(await scene.state(admins[1]), RECOVERING);
  scene.heal();
  await scene.pass(2000);
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", `secondary of ${host(1)}`]);
});

Deno.test("A candidate that takes over again is not allowed to start by what it was told before", async () => {
  await using scene = await new Masters({ autostart: null }).start(1, 2);
  await scene.pass(50);
  const admin = await scene.peer(ADMIN, 1);
  await scene.storage(1, { ...TABLE, rows: "UU|U." }, { nid: 1 });
  admin.command("SetClusterState", START);
  await settle();
  assert.equal(scene.role(1), "primary RUNNING");
  // The other one does not inherit the order of the operator.
  await scene.kill(1);
  const next = await scene.peer(ADMIN, 2);
  await scene.storage(2, { ...TABLE, rows: "UU|U." }, { nid: 1 });
  assert.equal(await scene.state(next), RECOVERING);
});

Deno.test("Storages that got the same id from two masters at creation get different ones", async () => {
  await using scene = new Masters({ masters: [masterAddress(1), masterAddress(2)] });
  await scene.cut(1, 2);
  await scene.start(1);
  await scene.pass(10);
  await scene.start(2);
  const addresses = [scene.newAddress(), scene.newAddress()];
  const identity = (n: number) => ({
    nid: nidOf(NodeType.STORAGE, 1),
    address: addresses[n] ?? null,
  });
  const first = await scene.storage(1, {}, { address: addresses[0] ?? null });
  const second = await scene.storage(2, {}, { address: addresses[1] ?? null });
  assert.deepEqual([first.nid, second.nid], [1, 1]);
  scene.heal();
  await scene.pass(2000);
  assert(second.closed, "its master is a secondary now");

  const claims = await scene.storage(1, {}, identity(1));
  assert.equal(claims.nid, 1);
  assert(first.closed);
  const again: Peer = await scene.storage(1, {}, identity(0));
  assert.equal(again.nid, 2);
  assert.equal(scene.role(1), "primary RUNNING");
});

Deno.test("A storage with data keeps its id when an empty one asks for it", async () => {
  await using scene = await new Masters().start(1);
  const owner = await scene.storage(1, TABLE, { nid: 1 });
  const empty = await scene.storage(1, {}, { nid: 1 });
  assert.match(errorOf(empty.identification), /already connected/);
  assert(!owner.closed);
});

Deno.test("Hostile masters cost nobody anything", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(50);
  await scene.storage(1);
  await scene.storage(1);
  // Candidates of the past, that do not exist.
  for (let n = 10; n < 30; n++) {
    await scene.rival(1, n, { idTimestamp: 1 });
    await scene.rival(2, n, { idTimestamp: 1 });
  }
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", `secondary of ${host(1)}`]);
  // Only a primary says these things.
  const liar = await scene.rival(1, 9);
  liar.notify("NotPrimaryMaster", { primary: 0, masters: [masterAddress(9)] });
  await settle();
  assert(liar.closed);
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", `secondary of ${host(1)}`]);
});

Deno.test("Masters remember a bounded number of masters that others invent", async () => {
  await using scene = new Masters();
  const masters = Array.from({ length: 1500 }, (_, n) => ({ host: "10.7.7.7", port: n + 1 }));
  const listener = await scene.network.host(host(1)).listen(masterAddress(1), () => {});
  await scene.start(2);
  listener.close();
  const liar = await scene.listenAs(1, (connection) => {
    connection.notify("NotPrimaryMaster", { primary: null, masters });
  });
  await scene.pass(7000);
  liar();
  assert.equal(scene.saved.get(2)?.length, 1000);
  assert(scene.saved.get(2)?.includes(formatAddress(masterAddress(1))));
  const one = await scene.rival(2, 9);
  assert.match(errorOf(one.identification), /too many masters are known/);
  const known = await scene.rival(2, 3);
  assert.equal(known.nid, nidOf(NodeType.MASTER, 2));
});
