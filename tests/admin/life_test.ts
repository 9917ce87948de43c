import assert from "node:assert/strict";
import { Admin } from "../../admin/mod.ts";
import { MAX_CONTROL_CONNECTIONS } from "../../admin/control_connections.ts";
import { MAX_WAITING } from "../../admin/waiting_limit.ts";
import { ClusterState, ErrorCode, NodeType } from "../../protocol/enums.ts";
import { nidOf } from "../../protocol/nodes.ts";
import { ScriptedPeer } from "./scripted_peer.ts";
import { ADMIN, AdminSetup, M1, MASTER, masterScript, node, settle } from "./support.ts";

const NOT_READY = {
  name: "ErrorAnswer",
  code: ErrorCode.NOT_READY,
  message: "Not connected to a primary master.",
};

Deno.test("Admin identifies with its listening address and no monitored backup", async () => {
  const nid = nidOf(NodeType.ADMIN, 5);
  await using setup = await AdminSetup.start({ nid, bind: { host: ADMIN.host, port: 0 } });
  assert.deepEqual(setup.master.names.slice(0, 2), ["RequestIdentification", "AskClusterState"]);
  const address = await setup.admin.address;
  assert.notEqual(address.port, 0);
  assert.deepEqual(setup.master.last("RequestIdentification").args, {
    type: NodeType.ADMIN,
    nid,
    address,
    cluster: "test",
    idTimestamp: null,
    extra: new Map([["backup", []]]),
  });
});

Deno.test("Admin refuses everything while it has no primary master", async () => {
  await using setup = await AdminSetup.start({ master: false });
  const request = async () => {
    const control = await setup.control();
    return { control, asked: control.ask("AskClusterState", {}) };
  };
  const { control, asked } = await request();
  await assert.rejects(asked, NOT_READY);
  await settle();
  assert.equal(control.open, false);
  await assert.rejects((await setup.control()).ask("AskMonitorInformation", {}), NOT_READY);
  await assert.rejects((await setup.control()).command("SetNodeState", { nid: 1, state: 1 }), {
    ...NOT_READY,
  });
  const identification = {
    type: NodeType.ADMIN,
    nid: null,
    address: null,
    cluster: "bak",
    idTimestamp: null,
    extra: new Map(),
  };
  await assert.rejects(
    (await setup.control()).ask("RequestIdentification", identification),
    NOT_READY,
  );
  const flusher = await setup.control();
  flusher.notify("FlushLog", {});
  await settle();
  assert.equal(flusher.open, false);
});

Deno.test("Admin follows a secondary master to the primary", async () => {
  const primary = { host: "10.0.0.2", port: 10000 };
  await using setup = await AdminSetup.start({
    script: {
      RequestIdentification: ({ connection }) =>
        connection.notify("NotPrimaryMaster", { primary: 1, masters: [MASTER, primary] }),
    },
  });
  const other = new ScriptedPeer(masterScript());
  await other.listen(setup.environment(primary.host), primary);
  await setup.clock.advance(5_000);
  const { state } = await (await setup.control()).ask("AskClusterState", {});
  assert.equal(state, ClusterState.RUNNING);
  other.close();
});

Deno.test("Admin looks for the primary again when it is lost, without its former id", async () => {
  await using setup = await AdminSetup.start({ nid: nidOf(NodeType.ADMIN, 5) });
  setup.master.connection.close();
  await settle();
  await assert.rejects((await setup.control()).ask("AskPrimary", {}), NOT_READY);
  assert.equal(setup.master.connections.length, 1);
  await setup.clock.advance(20);
  assert.equal(setup.master.connections.length, 2);
  assert.equal(setup.master.last("RequestIdentification").args.nid, null);
  assert.deepEqual(await (await setup.control()).ask("AskPrimary", {}), { nid: M1 });
});

Deno.test("Admin looks for the primary at all masters that it heard of", async () => {
  const other = { ...node(NodeType.MASTER, 2), address: { host: "10.0.0.2", port: 10000 } };
  const saved: unknown[] = [];
  await using setup = await AdminSetup.start({ saveMasters: (masters) => saved.push(masters) });
  setup.master.connection.notify("NotifyNodeInformation", { timestamp: 2, nodes: [other] });
  await settle();
  assert.deepEqual(saved.at(-1), [node(NodeType.MASTER, 1).address, other.address]);
  setup.master.close();
  const successor = new ScriptedPeer(masterScript());
  await successor.listen(setup.environment(other.address.host), other.address);
  await setup.clock.advance(5_000);
  assert.equal(successor.connections.length, 1);
  successor.close();
});

Deno.test("Admin forgets what a lost primary told", async () => {
  await using setup = await AdminSetup.start();
  setup.master.script = {
    RequestIdentification: (message) =>
      message.answer({ type: NodeType.MASTER, nid: M1, yourNid: nidOf(NodeType.ADMIN, 1) }),
  };
  setup.master.connection.close();
  await setup.clock.advance(1_000);
  const control = await setup.control();
  assert.deepEqual(await control.ask("AskClusterState", {}), { state: null });
  assert.deepEqual(await control.ask("AskNodeList", { type: null }), { nodes: [] });
  assert.deepEqual(await control.ask("AskPartitionList", { min: 0, max: 0, nid: null }), {
    ptid: null,
    replicas: 0,
    rows: [],
  });
});

Deno.test("Admin.run() ends when the cluster stopped, after its last answers", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  const order = control.command("SetClusterState", { state: ClusterState.STOPPING });
  await settle();
  setup.master.last("SetClusterState").error(ErrorCode.ACK, "Cluster state changed");
  setup.master.connection.notify("NotifyClusterInformation", { state: ClusterState.STOPPING });
  setup.master.connection.abort();
  assert.equal(await order, "Cluster state changed");
  await setup.running;
  assert.equal(control.open, false);
  await assert.rejects(setup.control(), /refused/);
});

Deno.test("Admin.run() ends when its signal aborts, also while it looks for the primary", async () => {
  for (const master of [true, false]) {
    await using setup = await AdminSetup.start({ master });
    const control = await setup.control();
    await settle();
    await setup.stop();
    assert.equal(control.open, false);
    assert.equal(setup.network.links.size, 0);
  }
});

Deno.test("Admin.run() rejects when the address is in use", async () => {
  await using setup = await AdminSetup.start();
  const other = new Admin(setup.environment(ADMIN.host), {
    cluster: "test",
    bind: ADMIN,
    masters: [MASTER],
  });
  const refused = { name: "ConfigError", message: /can't listen to 10\.0\.0\.9:9999: .*in use/ };
  await assert.rejects(other.run(new AbortController().signal), refused);
  await assert.rejects(other.address, refused);
});

Deno.test("Admin tries again when a master gives no id", async () => {
  await using setup = await AdminSetup.start({
    script: {
      RequestIdentification: (message) =>
        message.answer({ type: NodeType.MASTER, nid: M1, yourNid: null }),
    },
  });
  await assert.rejects((await setup.control()).ask("AskPrimary", {}), NOT_READY);
  await setup.clock.advance(20);
  assert.equal(setup.master.connections.length, 2);
});

Deno.test("Admin keeps serving others when an operator does not read", async () => {
  await using setup = await AdminSetup.start();
  const slow = await setup.control();
  slow.pause();
  let answered = 0;
  for (let i = 0; i < 20_000; i++) {
    slow.request("AskNodeList", { type: null }, () => answered++, () => {});
  }
  await settle();
  const other = await setup.control();
  assert.deepEqual(await other.ask("AskPrimary", {}), { nid: M1 });
  assert.equal(answered, 0);
  slow.resume();
  await settle();
  assert.equal(answered, 20_000);
});

Deno.test("Admin does not read an operator who has too many requests waiting", async () => {
  await using setup = await AdminSetup.start();
  const [flood, other] = [await setup.control(), await setup.control()];
  let answered = 0;
  for (let i = 0; i < 3 * MAX_WAITING; i++) {
    flood.request("AskRecovery", {}, () => answered++, () => {});
  }
  const waiting = () => setup.master.received.filter(({ name }) => name === "AskRecovery");
  await settle();
  assert.equal(waiting().length, MAX_WAITING);
  assert.deepEqual(await other.ask("AskPrimary", {}), { nid: M1 });
  const recovery = { ptid: 7, backupTid: null, truncateTid: null };
  setup.master.script = { AskRecovery: ({ answer }) => answer(recovery) };
  for (const { answer } of waiting()) answer(recovery);
  await settle();
  assert.equal(answered, 3 * MAX_WAITING);
});

Deno.test("Admin closes the oldest of too many operators", async () => {
  await using setup = await AdminSetup.start();
  const controls = [];
  for (let i = 0; i <= MAX_CONTROL_CONNECTIONS; i++) controls.push(await setup.control());
  await settle();
  assert.deepEqual(controls.map(({ open }) => open).indexOf(true), 1);
  assert.deepEqual(await controls.at(-1)?.ask("AskPrimary", {}), { nid: M1 });
});

Deno.test("Admin.dump() describes the cluster as it is known", async () => {
  await using setup = await AdminSetup.start();
  const text = setup.admin.dump();
  for (const expected of [/admin A1 of cluster 'test'/, /RUNNING/, /S2/, /0: S1 UP_TO_DATE/]) {
    assert.match(text, expected);
  }
  setup.master.close();
  await settle();
  assert.match(setup.admin.dump(), /no primary master/);
});
