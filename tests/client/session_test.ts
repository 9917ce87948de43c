/** Finding the primary master, losing it, and what depends on it. */

import assert from "node:assert/strict";
import { NEOStorageError, ReadOnlyError } from "../../client/mod.ts";
import { ErrorCode, NodeState } from "../../protocol/enums.ts";
import { bytes, FakeCluster, oid, quiet, SELF, tid, until, ZERO_TID } from "./fakes.ts";

Deno.test("Client.connected() identifies itself and asks for the last transaction", async () => {
  await using cluster = await FakeCluster.start({ lastTid: ZERO_TID });
  const client = await cluster.connect();
  assert.deepEqual(cluster.master.heard.map(({ name }) => name), [
    "RequestIdentification",
    "AskLastTransaction",
  ]);
  assert.equal(client.lastTransaction, ZERO_TID);
  assert.deepEqual(client.statistics.connected, true);
});

Deno.test("Client.connected() waits when the cluster is not ready", async () => {
  await using cluster = await FakeCluster.start();
  const { RequestIdentification } = cluster.master.script;
  cluster.master.script.RequestIdentification = ({ error, connection }) => {
    error(ErrorCode.NOT_READY, "recovering");
    connection.abort();
  };
  const client = cluster.client();
  let connected = false;
  const connecting = client.connected().then(() => connected = true);
  await cluster.wait(3000);
  assert.equal(connected, false);
  assert.equal(cluster.master.count("RequestIdentification"), 4, "once a second");
  if (RequestIdentification) cluster.master.script.RequestIdentification = RequestIdentification;
  await cluster.wait();
  await connecting;
});

Deno.test("Client.connected() tries again when a partition can't be read", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1], [2]] });
  cluster.states.set(2, NodeState.DOWN);
  const client = cluster.client();
  let connected = false;
  const connecting = client.connected().then(() => connected = true);
  await cluster.wait(2000);
  assert.equal(connected, false);
  assert.equal(cluster.master.connections.length, 0, "closed between attempts");
  cluster.states.set(2, NodeState.RUNNING);
  await cluster.wait();
  await connecting;
  assert.equal(cluster.master.connections.length, 1);
});

Deno.test("Client.connected() follows a secondary master to the primary", async () => {
  await using cluster = await FakeCluster.start();
  const { RequestIdentification } = cluster.master.script;
  cluster.master.script.RequestIdentification = ({ connection }) => {
    if (RequestIdentification) cluster.master.script.RequestIdentification = RequestIdentification;
    const other = { host: "10.0.0.9", port: 1 };
    connection.notify("NotPrimaryMaster", { primary: null, masters: [other] });
    connection.abort();
  };
  const client = cluster.client();
  const connecting = client.connected();
  await cluster.wait(2000);
  await connecting;
  cluster.world.log.assertHas(/10\.0\.0\.9:1/);
});

Deno.test("Client.connected() looks further when a master accepts connections and says nothing", async () => {
  await using cluster = await FakeCluster.start();
  const { RequestIdentification } = cluster.master.script;
  delete cluster.master.script.RequestIdentification;
  const client = cluster.client();
  const connecting = client.connected();
  await cluster.master.next("RequestIdentification");
  if (RequestIdentification) cluster.master.script.RequestIdentification = RequestIdentification;
  await cluster.wait(60_000);
  await connecting;
  assert.equal(cluster.master.count("RequestIdentification"), 2);
});

Deno.test("Client.connected() throws when the master refuses the client for good", async () => {
  for (
    const [code, expected] of [
      [ErrorCode.READ_ONLY_ACCESS, ReadOnlyError],
      [ErrorCode.PROTOCOL_ERROR, NEOStorageError],
    ] as const
  ) {
    await using cluster = await FakeCluster.start();
    cluster.master.script.RequestIdentification = ({ error }) => error(code, "because");
    await assert.rejects(cluster.connect(), expected);
  }
});

Deno.test("Client.connected() stops when its signal aborts", async () => {
  await using cluster = await FakeCluster.start();
  delete cluster.master.script.RequestIdentification;
  const client = cluster.client();
  const reason = new Error("enough");
  const controller = new AbortController();
  const connecting = client.connected({ signal: controller.signal });
  await cluster.master.next("RequestIdentification");
  controller.abort(reason);
  await assert.rejects(connecting, reason);
});

Deno.test("Client tells listeners to reset when it missed transactions, and only then", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const events: unknown[] = [];
  using _listening = client.listen({
    reset: () => events.push(["reset", client.lastTransaction]),
    invalidate: (tid) => events.push(["invalidate", tid, client.lastTransaction]),
  });
  await client.load(oid(1));
  cluster.master.disconnect();
  await cluster.wait();
  assert.deepEqual(events, [], "nothing was committed");
  await client.load(oid(1));
  assert.equal(cluster.storage(1).count("AskObject"), 1, "the cache is still good");

  // Covered by the last transaction that is asked for.
  delete cluster.master.script.AskLastTransaction;
  cluster.master.disconnect();
  await cluster.wait();
  const { answer } = await cluster.master.next("AskLastTransaction");
  cluster.invalidate(tid(140), oid(1));
  answer({ tid: tid(140) });
  cluster.invalidate(tid(150), oid(1));
  await client.sync();
  assert.deepEqual(events, [["reset", tid(100)], ["invalidate", tid(150), tid(140)]]);
  assert.equal(client.lastTransaction, tid(150));
  await client.load(oid(1));
  assert.equal(cluster.storage(1).count("AskObject"), 2);
});

Deno.test("Client keeps old revisions when it missed transactions, none after a truncation", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  await client.load(oid(1));
  cluster.invalidate(tid(120), oid(1));
  await client.sync();
  const asked = () => cluster.storage(1).count("AskObject");
  cluster.lastTid = tid(130);
  cluster.master.disconnect();
  await cluster.wait();
  await client.loadBefore(oid(1), tid(120));
  assert.equal(asked(), 1);
  cluster.lastTid = tid(60);
  cluster.master.disconnect();
  await cluster.wait();
  assert.equal(client.lastTransaction, tid(60));
  await client.loadBefore(oid(1), tid(50));
  assert.equal(asked(), 2);
});

Deno.test("Client.sync() returns after what was committed before is known", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.invalidate(tid(110), oid(1));
  await client.sync();
  assert.equal(client.lastTransaction, tid(110));
  cluster.master.disconnect();
  const syncing = client.sync();
  await cluster.wait();
  await syncing;
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(client.sync({ signal }), /enough/);
});

Deno.test("Client.listen() stops telling when its result is disposed of", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const told: bigint[] = [];
  const listener = { invalidate: (tid: bigint) => told.push(tid) };
  const [first, second] = [client.listen(listener), client.listen(listener)];
  cluster.invalidate(tid(110));
  await client.sync();
  first[Symbol.dispose]();
  cluster.invalidate(tid(120));
  await client.sync();
  second[Symbol.dispose]();
  cluster.invalidate(tid(130));
  await client.sync();
  assert.deepEqual(told, [tid(110), tid(110), tid(120)]);
});

Deno.test("Client.newOid() asks for 100 at once, and for others after a reconnection", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const oids = await Promise.all(Array.from({ length: 100 }, () => client.newOid()));
  assert.deepEqual(oids, Array.from({ length: 100 }, (_, i) => oid(i + 1)));
  assert.deepEqual(cluster.master.all("AskNewOIDs"), [{ count: 100 }]);
  cluster.master.script.AskNewOIDs = ({ answer }) =>
    answer({ oids: Array.from({ length: 100 }, (_, i) => oid(i + 501)) });
  assert.equal(await client.newOid(), oid(501));
  cluster.master.script.AskNewOIDs = ({ answer }) => answer({ oids: [oid(0), oid(701)] });
  cluster.master.disconnect();
  await cluster.wait();
  assert.equal(await client.newOid(), oid(701));
});

Deno.test("Client.newOid() waits for the primary master, or stops when its signal aborts", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.master.script.AskNewOIDs;
  const controller = new AbortController();
  const stopped = client.newOid({ signal: controller.signal });
  const patient = client.newOid();
  await cluster.master.next("AskNewOIDs");
  controller.abort();
  await assert.rejects(stopped, { name: "AbortError" });
  cluster.master.disconnect();
  await cluster.wait();
  const { answer } = await cluster.master.next("AskNewOIDs");
  answer({ oids: [oid(7)] });
  assert.equal(await patient, oid(7));
});

Deno.test("Client identifies itself to storage nodes with what the master gave", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ cacheSize: 0 });
  await client.load(oid(1));
  cluster.master.disconnect();
  await cluster.wait();
  await client.load(oid(1));
  const [before, after] = cluster.storage(1).all("RequestIdentification");
  assert.deepEqual([before?.nid, before?.cluster, before?.idTimestamp], [SELF, "test", 1001]);
  assert.equal(after?.idTimestamp, 1003, "it has another identity now");
  assert.equal(cluster.master.all("RequestIdentification")[1]?.nid, SELF, "the same id is asked");
  assert.equal(cluster.storage(1).connections.length, 1);
});

Deno.test("Client connects again to a storage node when its identity changes meanwhile", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  const { RequestIdentification } = storage.script;
  delete storage.script.RequestIdentification;
  const load = client.load(oid(1));
  await storage.next("RequestIdentification");
  cluster.master.disconnect();
  if (RequestIdentification) storage.script.RequestIdentification = RequestIdentification;
  await cluster.wait(2000);
  assert.deepEqual((await load).data, bytes("data"));
  assert.equal(storage.connections.length, 1);
});

Deno.test("Client uses another storage node when one accepts connections and says nothing", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect();
  delete cluster.storage(1).script.RequestIdentification;
  const load = client.load(oid(1));
  await cluster.storage(1).next("RequestIdentification");
  await cluster.wait(60_000);
  assert.deepEqual((await load).data, bytes("data"));
});

Deno.test("Client does not wait for a storage node that is restarted while it connects", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ cacheSize: 0 });
  const storage = cluster.storage(1);
  const { RequestIdentification } = storage.script;
  delete storage.script.RequestIdentification;
  const load = client.load(oid(1));
  await storage.next("RequestIdentification");
  if (RequestIdentification) storage.script.RequestIdentification = RequestIdentification;
  cluster.setState(1, NodeState.DOWN);
  cluster.setState(1, NodeState.RUNNING);
  await client.sync();
  await cluster.wait(1000);
  assert.deepEqual((await load).data, bytes("data"));
  assert.equal(storage.connections.length, 1);
  assert.doesNotMatch(cluster.world.log.lines.join("\n"), /can't connect to S1/);
});

Deno.test("Client closes the connection of a storage node that stops", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await transaction.store(oid(1), null, bytes("x"));
  assert.equal(cluster.storage(2).connections.length, 1);
  cluster.setState(2, NodeState.DOWN);
  await client.sync();
  await until(() => cluster.storage(2).connections.length === 0, "closed");
});

Deno.test("Client closes connections it does not use, but not those of a transaction", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ cacheSize: 0 });
  const storage = cluster.storage(1);
  const transaction = await client.begin();
  await transaction.store(oid(1), null, bytes("x"));
  await cluster.wait(3_000_000);
  assert.equal(storage.connections.length, 1);
  await transaction.commit();
  await cluster.wait(1_300_000);
  assert.equal(storage.connections.length, 0);
  await client.load(oid(1));
  assert.equal(storage.connections.length, 1);
});

Deno.test("Client refuses a node that is not the one it looks for", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect();
  const { RequestIdentification } = cluster.storage(2).script;
  if (RequestIdentification) {
    cluster.storage(1).script.RequestIdentification = RequestIdentification;
  }
  await client.load(oid(1));
  assert.equal(cluster.storage(1).count("AskObject"), 0);
  cluster.world.log.assertHas(/expected S1, found S2/);
  await quiet();
  assert.equal(cluster.storage(1).connections.length, 0);
});
