import assert from "node:assert/strict";
import { examine, Severity, severityOf, summarize } from "../../node/cluster_health.ts";
import { NodeTable } from "../../node/node_table.ts";
import { PartitionTable } from "../../node/partition_table.ts";
import { CellState, ClusterState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { toTid } from "../../protocol/ids.ts";
import {
  AdminSetup,
  CORRUPTED,
  FEEDING,
  masterScript,
  node,
  OUT_OF_DATE,
  row,
  settle,
  UP_TO_DATE,
} from "./support.ts";

const TID = toTid(0x40d2f43668da553n);
const LTID = "ltid=040d2f43668da553 (2026-11-22 10:11:24.035930)";

interface Sample {
  readonly state?: ClusterState | null;
  readonly replicas?: number;
  readonly ptid?: number | null;
  readonly rows?: readonly Readonly<Record<number, CellState>>[];
  readonly nodes?: readonly NodeState[];
}

function health(sample: Sample) {
  const { state = ClusterState.RUNNING, replicas = 0, ptid = 1, rows = [], nodes = [] } = sample;
  const table = new PartitionTable();
  table.load({ ptid, replicas, rows: rows.map(row) });
  const known = new NodeTable();
  const list = nodes.map((state, index) => node(NodeType.STORAGE, index + 1, state));
  known.update({ timestamp: 1, nodes: list }, () => true);
  return examine(state, known, table);
}

function judge(sample: Sample): [string, string] {
  const examined = health(sample);
  return [Severity[severityOf(examined)] ?? "", summarize(examined, TID)];
}

const { RUNNING, DOWN, PENDING } = NodeState;

Deno.test("summarize() tells cells and last tid of a cluster that is well", () => {
  const rows = new Array(12).fill({ 1: UP_TO_DATE, 2: UP_TO_DATE });
  assert.deepEqual(judge({ rows, replicas: 1, nodes: [RUNNING, RUNNING] }), [
    "OK",
    `RUNNING; UP_TO_DATE=24; ${LTID}`,
  ]);
});

Deno.test("summarize() tells storages that are down", () => {
  const rows = new Array(12).fill({ 1: UP_TO_DATE, 2: OUT_OF_DATE });
  assert.deepEqual(judge({ rows, replicas: 1, nodes: [RUNNING, DOWN] }), [
    "PROBLEM",
    `RUNNING; OUT_OF_DATE=12, UP_TO_DATE=12; DOWN=1; ${LTID}`,
  ]);
});

Deno.test("summarize() counts as down a storage that is only known from the table", () => {
  const [severity, text] = judge({ rows: [{ 1: UP_TO_DATE, 5: UP_TO_DATE }], nodes: [RUNNING] });
  assert.equal(severity, "PROBLEM");
  assert.match(text, /; DOWN=1;/);
});

Deno.test("summarize() sorts states of cells by number, and anything unusual is a warning", () => {
  const rows = [{ 3: CORRUPTED, 2: FEEDING, 1: UP_TO_DATE, 4: OUT_OF_DATE }];
  assert.deepEqual(judge({ rows, nodes: [RUNNING, RUNNING, RUNNING, RUNNING] }), [
    "WARNING",
    `RUNNING; OUT_OF_DATE=1, UP_TO_DATE=1, FEEDING=1, CORRUPTED=1; ${LTID}`,
  ]);
});

Deno.test("summarize() has no tid when the cluster is not operational", () => {
  const rows = [{ 1: UP_TO_DATE }];
  const state = ClusterState.RECOVERING;
  assert.deepEqual(judge({ state, rows, nodes: [DOWN] }), [
    "PROBLEM",
    "RECOVERING; UP_TO_DATE=1; DOWN=1",
  ]);
  assert.deepEqual(judge({ state: null }), ["PROBLEM", "None"]);
  assert.equal(summarize(health({}), null), "RUNNING");
});

Deno.test("summarize() does not count as down storages that wait for the start", () => {
  const rows = new Array(24).fill({ 1: UP_TO_DATE, 2: UP_TO_DATE });
  assert.deepEqual(
    judge({ state: ClusterState.RECOVERING, rows, replicas: 1, nodes: [PENDING, DOWN] }),
    ["PROBLEM", "RECOVERING; UP_TO_DATE=48; DOWN=1; PENDING=1"],
  );
});

Deno.test("summarize() warns about partitions with fewer copies than wanted", () => {
  const rows = [{ 1: UP_TO_DATE }, { 1: UP_TO_DATE, 2: FEEDING }, { 1: UP_TO_DATE, 2: UP_TO_DATE }];
  assert.deepEqual(judge({ rows: rows.slice(0, 1), replicas: 1, nodes: [RUNNING] }), [
    "WARNING",
    `RUNNING; UP_TO_DATE=1; MISSING=1; ${LTID}`,
  ]);
  assert.equal(health({ rows, replicas: 2 }).missing, 5);
  assert.equal(health({ rows: [{}, {}], replicas: 2, ptid: null }).missing, 0);
});

Deno.test("Admin reports how its cluster is", async () => {
  await using setup = await AdminSetup.start();
  const control = await setup.control();
  assert.deepEqual(await control.ask("AskMonitorInformation", {}), {
    warning: [],
    problem: [],
    summary: `RUNNING; UP_TO_DATE=4; ${LTID}`,
  });
  setup.master.connection.notify("NotifyPartitionChanges", {
    ptid: 8,
    replicas: 1,
    cells: [{ partition: 0, nid: 2, state: OUT_OF_DATE }],
  });
  await settle();
  assert.deepEqual(await control.ask("AskMonitorInformation", {}), {
    warning: [null],
    problem: [],
    summary: `RUNNING; OUT_OF_DATE=1, UP_TO_DATE=3; ${LTID}`,
  });
  setup.master.connection.notify("NotifyNodeInformation", {
    timestamp: 2,
    nodes: [node(NodeType.STORAGE, 2, DOWN)],
  });
  await settle();
  assert.deepEqual(await control.ask("AskMonitorInformation", {}), {
    warning: [],
    problem: [null],
    summary: `RUNNING; OUT_OF_DATE=1, UP_TO_DATE=3; DOWN=1; ${LTID}`,
  });
});

Deno.test("Admin reports without asking anything when the cluster is not operational", async () => {
  await using setup = await AdminSetup.start({ script: masterScript(ClusterState.RECOVERING) });
  const control = await setup.control();
  assert.deepEqual(await control.ask("AskMonitorInformation", {}), {
    warning: [],
    problem: [null],
    summary: "RECOVERING; UP_TO_DATE=4",
  });
  assert.equal(setup.master.names.includes("AskLastTransaction"), false);
});

Deno.test("Admin of a backup cluster reports the tid of the backup", async () => {
  const script = {
    ...masterScript(ClusterState.BACKINGUP),
    AskRecovery: (message: { answer(args: object): void }) =>
      message.answer({ ptid: 7, backupTid: TID, truncateTid: null }),
  };
  await using setup = await AdminSetup.start({ script });
  const { summary } = await (await setup.control()).ask("AskMonitorInformation", {});
  assert.equal(summary, `BACKINGUP; UP_TO_DATE=4; ${LTID}`);
});

Deno.test("Admin asks the primary once for all operators who ask meanwhile", async () => {
  const script = { ...masterScript(), AskLastTransaction: () => {} };
  await using setup = await AdminSetup.start({ script });
  const [one, two] = [await setup.control(), await setup.control()];
  const reports = [one.ask("AskMonitorInformation", {}), two.ask("AskMonitorInformation", {})];
  await settle();
  const asked = () => setup.master.names.filter((name) => name === "AskLastTransaction").length;
  assert.equal(asked(), 1);
  setup.master.last("AskLastTransaction").answer({ tid: TID });
  const [first, second] = await Promise.all(reports);
  assert.deepEqual(first, second);
  const later = one.ask("AskMonitorInformation", {});
  await settle();
  assert.equal(asked(), 2);
  setup.master.last("AskLastTransaction").answer({ tid: TID });
  await later;
});

Deno.test("Admin leaves a primary that does not tell its last tid within a minute", async () => {
  const script = { ...masterScript(), AskLastTransaction: () => {} };
  await using setup = await AdminSetup.start({ script });
  const control = await setup.control();
  const report = control.ask("AskMonitorInformation", {});
  await setup.clock.advance(59_000);
  assert.equal(setup.master.connection.open, true);
  const refused = assert.rejects(report, {
    code: ErrorCode.NOT_READY,
    message: "Not connected to a primary master.",
  });
  await setup.clock.advance(1_000);
  await refused;
  assert.equal(control.open, false);
  await setup.clock.advance(1_000);
  assert.equal(setup.master.connections.length, 2);
});

Deno.test("Admin reports without tid when the primary refuses to tell it", async () => {
  const script = {
    ...masterScript(),
    AskLastTransaction: (message: { error(code: ErrorCode): void }) =>
      message.error(ErrorCode.DENIED),
  };
  await using setup = await AdminSetup.start({ script });
  const { summary } = await (await setup.control()).ask("AskMonitorInformation", {});
  assert.equal(summary, "RUNNING; UP_TO_DATE=4");
});
