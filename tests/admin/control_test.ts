import assert from "node:assert/strict";
import type { Connection } from "../../network/connection.ts";
import { ClusterState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { toOid, toTid } from "../../protocol/ids.ts";
import type { ArgsOf, CommandName } from "../../protocol/messages.ts";
import {
  AdminSetup,
  M1,
  masterScript,
  node,
  OUT_OF_DATE,
  row,
  settle,
  UP_TO_DATE,
} from "./support.ts";

const UNKNOWN_OUTCOME = /^connection to master lost: it is not known whether .* carried out/;

async function partitionList(control: Connection, min: number, max: number) {
  return await control.ask("AskPartitionList", { min, max, nid: null });
}

Deno.test("Admin answers AskClusterState with null until it knows", async () => {
  await using setup = await AdminSetup.start({ script: masterScript(null) });
  const control = await setup.control();
  assert.deepEqual(await control.ask("AskClusterState", {}), { state: null });
  setup.master.connection.notify("NotifyClusterInformation", { state: ClusterState.RECOVERING });
  await settle();
  assert.deepEqual(await control.ask("AskClusterState", {}), { state: ClusterState.RECOVERING });
});

Deno.test("Admin answers AskPrimary", async () => {
  await using setup = await AdminSetup.start();
  assert.deepEqual(await (await setup.control()).ask("AskPrimary", {}), { nid: M1 });
});

Deno.test("Admin answers AskNodeList with the nodes of a type or all", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  const storages = [node(NodeType.STORAGE, 1), node(NodeType.STORAGE, 2)];
  const { nodes } = await control.ask("AskNodeList", { type: NodeType.STORAGE });
  assert.deepEqual(nodes, storages);
  assert.equal((await control.ask("AskNodeList", { type: null })).nodes.length, 4);
  assert.deepEqual((await control.ask("AskNodeList", { type: NodeType.ADMIN })).nodes, []);
  setup.master.connection.notify("NotifyNodeInformation", {
    timestamp: 2,
    nodes: [node(NodeType.STORAGE, 1, NodeState.DOWN), node(NodeType.STORAGE, 2, 0)],
  });
  await settle();
  assert.deepEqual((await control.ask("AskNodeList", { type: NodeType.STORAGE })).nodes, [
    node(NodeType.STORAGE, 1, NodeState.DOWN),
  ]);
});

Deno.test("Admin lists storages that are only known from the partition table", async () => {
  await using setup = await AdminSetup.start();
  setup.master.connection.notify("NotifyPartitionChanges", {
    ptid: 8,
    replicas: 2,
    cells: [{ partition: 1, nid: 3, state: OUT_OF_DATE }],
  });
  await settle();
  const control = await setup.control();
  const { nodes } = await control.ask("AskNodeList", { type: NodeType.STORAGE });
  const unseen = { state: NodeState.DOWN, address: null, idTimestamp: null };
  assert.deepEqual(nodes[2], { type: NodeType.STORAGE, nid: 3, ...unseen });
  assert.deepEqual(await partitionList(control, 1, 2), {
    ptid: 8,
    replicas: 2,
    rows: [row({ 1: UP_TO_DATE, 2: UP_TO_DATE, 3: OUT_OF_DATE })],
  });
});

Deno.test("Admin answers AskPartitionList with the rows from min to max", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  const rows = [0, 1, 2, 3].map((n) => row({ [n + 1]: UP_TO_DATE }));
  setup.master.connection.notify("SendPartitionTable", { ptid: 9, replicas: 0, rows });
  await settle();
  for (const [min, max, from, to] of [[0, 0, 0, 4], [1, 3, 1, 3], [2, 0, 2, 4], [4, 0, 4, 4]]) {
    const table = await partitionList(control, min ?? 0, max ?? 0);
    assert.deepEqual(table, { ptid: 9, replicas: 0, rows: rows.slice(from, to) });
  }
});

Deno.test("Admin refuses bad bounds of AskPartitionList and keeps the connection", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  for (const [min, max] of [[3, 0], [0, 3], [2, 1]]) {
    await assert.rejects(partitionList(control, min ?? 0, max ?? 0), {
      code: ErrorCode.PROTOCOL_ERROR,
      message: /^invalid partition table offset: there are 2 partitions/,
    });
  }
  assert.equal((await partitionList(control, 0, 0)).ptid, 7);
});

const COMMANDS: { readonly [N in CommandName]?: ArgsOf<N> } = {
  SetClusterState: { state: ClusterState.STARTING_BACKUP },
  SetNodeState: { nid: 3, state: NodeState.DOWN },
  AddPendingNodes: { nids: [3, 4] },
  SetNumReplicas: { replicas: -5 },
  CheckReplicas: {
    sources: new Map([[0, null], [70_000, 2]]),
    min: toTid(1),
    max: null,
  },
  Repair: { nids: [1], dryRun: true },
  Truncate: { tid: toTid(5) },
};

for (const [text, args] of Object.entries(COMMANDS)) {
  const name = text as "SetNodeState";
  const order = args as ArgsOf<"SetNodeState">;

  Deno.test(`Admin forwards ${name} unchanged, and its success or refusal`, async () => {
    await using setup = await AdminSetup.start();
    const control = await setup.control();
    // The ids of the two connections differ.
    await control.ask("AskPrimary", {});
    const accepted = control.command(name, order);
    await settle();
    assert.deepEqual(setup.master.last(name).args, args);
    setup.master.last(name).error(ErrorCode.ACK, "as you like");
    assert.equal(await accepted, "as you like");
    const refused = control.command(name, order);
    await settle();
    setup.master.last(name).error(ErrorCode.DENIED, `${name} is not supported yet`);
    await assert.rejects(refused, {
      code: ErrorCode.DENIED,
      message: `${name} is not supported yet`,
    });
    await settle();
    assert.equal(control.open, true);
  });

  Deno.test(`Admin tells that the outcome of ${name} is not known when the primary is lost`, async () => {
    await using setup = await AdminSetup.start();
    const control = await setup.control();
    const order1 = control.command(name, order);
    await settle();
    setup.master.connection.close();
    await assert.rejects(order1, { code: ErrorCode.PROTOCOL_ERROR, message: UNKNOWN_OUTCOME });
    await settle();
    assert.equal(control.open, false);
  });
}

Deno.test("Admin forwards questions only the primary can answer", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  const ids = { lastTid: toTid(3), lastOid: toOid(100), firstTid: toTid(1) };
  const recovery = { ptid: 3, backupTid: null, truncateTid: null };
  const tweak = { changed: true, rows: [row({ 1: UP_TO_DATE })] };
  setup.master.script = {
    AskLastIDs: (message) => message.answer(ids),
    AskRecovery: (message) => message.answer(recovery),
    AskLastTransaction: (message) => message.answer({ tid: toTid(9) }),
    TweakPartitionTable: (message) => message.answer(tweak),
  };
  assert.deepEqual(await control.ask("AskLastIDs", {}), ids);
  assert.deepEqual(await control.ask("AskRecovery", {}), recovery);
  assert.deepEqual(await control.ask("AskLastTransaction", {}), { tid: toTid(9) });
  const order = { dryRun: true, excluded: [1, 2] };
  assert.deepEqual(await control.ask("TweakPartitionTable", order), tweak);
  assert.deepEqual(setup.master.last("TweakPartitionTable").args, order);
});

Deno.test("Admin answers in the order of the primary, and itself meanwhile", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  const answers: string[] = [];
  const told = (text: string) => () => answers.push(text);
  const failed = (error: Error) => answers.push(error.message);
  control.request("AskRecovery", {}, told("recovery"), failed);
  control.request("AskLastIDs", {}, told("ids"), failed);
  control.request("AskPrimary", {}, told("primary"), failed);
  await settle();
  setup.master.last("AskLastIDs").answer({ lastTid: null, lastOid: null, firstTid: toTid(0) });
  setup.master.last("AskRecovery").answer({ ptid: null, backupTid: null, truncateTid: null });
  await settle();
  assert.deepEqual(answers, ["primary", "ids", "recovery"]);
});

Deno.test("Admin tells that the connection is lost to those who only asked", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  const question = control.ask("AskLastIDs", {});
  await settle();
  setup.master.connection.close();
  const lost = { code: ErrorCode.PROTOCOL_ERROR, message: "connection to master lost" };
  await assert.rejects(question, lost);
});

Deno.test("Admin aborts an operator whose request breaks the protocol for the primary", async () => {
  await using setup = await AdminSetup.start();
  const [control, other] = [await setup.control(), await setup.control()];
  const order = control.command("Repair", { nids: [9], dryRun: false });
  await settle();
  setup.master.last("Repair").error(ErrorCode.PROTOCOL_ERROR, "unexpected message");
  await assert.rejects(order, { code: ErrorCode.PROTOCOL_ERROR, message: "unexpected message" });
  await settle();
  assert.equal(control.open, false);
  assert.deepEqual(await other.ask("AskPrimary", {}), { nid: M1 });
});

Deno.test("Admin drops the answers for operators who left", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  control.request("AskRecovery", {}, () => {}, () => {});
  control.request("AskMonitorInformation", {}, () => {}, () => {});
  await settle();
  control.close();
  await settle();
  setup.master.last("AskRecovery").answer({ ptid: 1, backupTid: null, truncateTid: null });
  await settle();
  assert.deepEqual(await (await setup.control()).ask("AskPrimary", {}), { nid: M1 });
  assert.equal(setup.master.connection.open, true);
});

Deno.test("Admin forwards FlushLog and flushes its own log", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  control.notify("FlushLog", {});
  await settle();
  assert.equal(setup.master.names.at(-1), "FlushLog");
  assert.equal(setup.log.flushes, 1);
  assert.equal(control.open, true);
});

Deno.test("Admin refuses identifications, as it monitors no backup cluster", async () => {
  await using setup = await AdminSetup.start();
  const identify = async (type: NodeType) => {
    const nobody = { nid: null, address: null, idTimestamp: null, extra: new Map() };
    const control = await setup.control();
    return await control.ask("RequestIdentification", { type, cluster: "bak", ...nobody });
  };
  await assert.rejects(identify(NodeType.ADMIN), {
    code: ErrorCode.PROTOCOL_ERROR,
    message: /monitors no backup cluster named 'bak'/,
  });
  await assert.rejects(identify(NodeType.STORAGE), {
    code: ErrorCode.PROTOCOL_ERROR,
    message: /only accepts admins of backup clusters/,
  });
});

Deno.test("Admin aborts operators who send other messages", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  const question = control.ask("AskNewOIDs", { count: 1 });
  await assert.rejects(question, { code: ErrorCode.PROTOCOL_ERROR, message: /unexpected message/ });
  await settle();
  assert.equal(control.open, false);
});

Deno.test("Admin says that it does not report to an upstream cluster", async () => {
  await using setup = await AdminSetup.start();
  const address = { host: "10.0.0.50", port: 9999 };
  setup.master.connection.notify("NotifyUpstreamAdmin", { address });
  await settle();
  assert.equal(setup.master.connection.open, true);
  assert.match(setup.log.records.at(-1) ?? "", /10\.0\.0\.50:9999\) is not supported yet/);
  const { nodes } = await (await setup.control()).ask("AskNodeList", { type: NodeType.ADMIN });
  assert.deepEqual(nodes, []);
});
