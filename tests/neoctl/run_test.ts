import assert from "node:assert/strict";
import { COMMANDS, isTree } from "../../neoctl/commands.ts";
import { ClusterState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { toOid, toTid } from "../../protocol/ids.ts";
import { nidOf } from "../../protocol/nodes.ts";
import type { Received, Script } from "../admin/scripted_peer.ts";
import { settle } from "../admin/support.ts";
import { storage, tableOf } from "./samples.ts";
import { ack, answer, error, nodeList, Setup, setup } from "./support.ts";

const M2 = nidOf(NodeType.MASTER, 2);

/** Runs a command against an admin and checks what both see. */
function testCommand(
  command: string,
  script: Script,
  sent: readonly (readonly [string, object])[],
  stdout: string,
): void {
  Deno.test(`neoctl ${command} prints ${JSON.stringify(stdout.slice(0, 40))}`, async () => {
    const tested = await setup(script);
    const outcome = await tested.run(command);
    assert.deepEqual({ ...outcome, note: null }, { status: 0, stdout, stderr: "", note: null });
    assert.deepEqual(tested.sent, sent);
    await settle();
    assert.equal(tested.admin.connection.open, false);
  });
}

const rows24 = tableOf("U".repeat(24), "O".repeat(24));

testCommand(
  "print cluster",
  { AskClusterState: answer({ state: ClusterState.STARTING_BACKUP }) },
  [["AskClusterState", {}]],
  "STARTING_BACKUP\n",
);
testCommand(
  "print cluster",
  { AskClusterState: answer({ state: null }) },
  [["AskClusterState", {}]],
  "None\n",
);
testCommand(
  "print node Storage",
  { AskNodeList: nodeList },
  [["AskNodeList", { type: NodeType.STORAGE }]],
  `\
S1 | STORAGE | 127.0.0.1:20000 | RUNNING | 2026-11-22 10:10:48.675942
S2 | STORAGE |                 | DOWN    | None
`,
);
testCommand(
  "print node",
  { AskNodeList: answer({ nodes: [] }) },
  [["AskNodeList", { type: null }]],
  "Empty list!\n",
);
testCommand(
  "print pt",
  { AskPartitionList: answer({ ptid: 42, replicas: 1, rows: rows24 }), AskNodeList: nodeList },
  [
    ["AskPartitionList", { min: 0, max: 0, nid: null }],
    ["AskNodeList", { type: NodeType.STORAGE }],
  ],
  `\
# ptid: 42, replicas: 1
             10v       20v
S1 R UUUUUUUUUUUUUUUUUUUUUUUU
S2 D OOOOOOOOOOOOOOOOOOOOOOOO
`,
);
testCommand(
  "print pt",
  {
    AskPartitionList: answer({ ptid: null, replicas: 1, rows: [[], []] }),
    AskNodeList: answer({ nodes: [storage(1, NodeState.PENDING)] }),
  },
  [
    ["AskPartitionList", { min: 0, max: 0, nid: null }],
    ["AskNodeList", { type: NodeType.STORAGE }],
  ],
  "# ptid: None, replicas: 1\n\n",
);
testCommand(
  "print pt 0 2",
  { AskPartitionList: answer({ ptid: 16, replicas: 1, rows: tableOf("UU", "UU") }) },
  [["AskPartitionList", { min: 0, max: 2, nid: null }]],
  `\
# ptid: 16, replicas: 1
000 | S1 - UP_TO_DATE | S2 - UP_TO_DATE |
001 | S1 - UP_TO_DATE | S2 - UP_TO_DATE |
`,
);
testCommand(
  "print pt 22 24 S2",
  { AskPartitionList: answer({ ptid: 16, replicas: 1, rows: tableOf("UU", "U.") }) },
  [["AskPartitionList", { min: 22, max: 24, nid: 2 }]],
  "# ptid: 16, replicas: 1\n022 | S1 - UP_TO_DATE | S2 - UP_TO_DATE |\n",
);
testCommand(
  "print ids",
  {
    AskRecovery: answer({ ptid: 3, backupTid: null, truncateTid: null }),
    AskLastIDs: answer({
      lastTid: toTid(0x40d2f43668da553n),
      lastOid: toOid(0),
      firstTid: toTid(1),
    }),
  },
  [["AskRecovery", {}], ["AskLastIDs", {}]],
  `\
last_oid = 0x0
last_tid = 0x40d2f43668da553 (2026-11-22 10:11:24.035930)
last_ptid = 3
`,
);
testCommand(
  "print ids",
  {
    AskRecovery: answer({ ptid: 2, backupTid: toTid(0x40d2f471b0f69den), truncateTid: null }),
    AskLastTransaction: answer({ tid: toTid(0x40d2f471b18c403n) }),
  },
  [["AskRecovery", {}], ["AskLastTransaction", {}]],
  `\
backup_tid = 0x40d2f471b0f69de (2026-11-22 10:15:06.342236)
last_tid = 0x40d2f471b18c403 (2026-11-22 10:15:06.350798)
last_ptid = 2
`,
);
testCommand(
  "print ids",
  {
    AskRecovery: answer({ ptid: null, backupTid: null, truncateTid: null }),
    AskLastIDs: answer({ lastTid: null, lastOid: null, firstTid: toTid(0) }),
  },
  [["AskRecovery", {}], ["AskLastIDs", {}]],
  "last_oid = 0x0\nlast_tid = 0x0 (1900-01-01 00:00:00)\nlast_ptid = None\n",
);
testCommand("print primary", { AskPrimary: answer({ nid: M2 }) }, [["AskPrimary", {}]], "M2\n");
testCommand(
  "print summary",
  {
    AskMonitorInformation: answer({
      warning: ["bak"],
      problem: ["other"],
      summary: "RUNNING; UP_TO_DATE=4\n\nbak\n    BACKINGUP",
    }),
  },
  [["AskMonitorInformation", {}]],
  '# {"warning": ["bak"], "problem": ["other"]}\nRUNNING; UP_TO_DATE=4\n\nbak\n    BACKINGUP\n',
);
testCommand(
  "set cluster Stopping",
  { SetClusterState: ack("Cluster state changed") },
  [["SetClusterState", { state: ClusterState.STOPPING }]],
  "Cluster state changed\n",
);
testCommand(
  "start",
  { SetClusterState: ack("Cluster state changed") },
  [["SetClusterState", { state: ClusterState.VERIFYING }]],
  "Cluster state changed\n",
);
testCommand(
  "set replicas 2",
  { SetNumReplicas: ack("") },
  [["SetNumReplicas", { replicas: 2 }]],
  "\n",
);
testCommand(
  "add S2 S3",
  { AddPendingNodes: ack("Nodes added: S2, S3") },
  [["AddPendingNodes", { nids: [2, 3] }]],
  "Nodes added: S2, S3\n",
);
testCommand(
  "add all",
  {
    AskNodeList: answer({ nodes: [storage(1), storage(2, NodeState.PENDING), storage(3, 1)] }),
    AddPendingNodes: ack("Nodes added: S2"),
  },
  [["AskNodeList", { type: NodeType.STORAGE }], ["AddPendingNodes", { nids: [2] }]],
  "Nodes added: S2\n",
);
testCommand(
  "tweak -n S3",
  {
    TweakPartitionTable: answer({ changed: true, rows: tableOf("U".repeat(12), "O".repeat(12)) }),
    AskNodeList: answer({ nodes: [storage(1), storage(2)] }),
  },
  [
    ["TweakPartitionTable", { dryRun: true, excluded: [3] }],
    ["AskNodeList", { type: NodeType.STORAGE }],
  ],
  "             10v\nS1 R UUUUUUUUUUUU\nS2 R OOOOOOOOOOOO\n",
);
testCommand(
  "tweak",
  { TweakPartitionTable: answer({ changed: false, rows: rows24 }) },
  [["TweakPartitionTable", { dryRun: false, excluded: [] }]],
  "No change done.\n",
);
testCommand(
  "kill M2",
  { SetNodeState: ack("state changed") },
  [["SetNodeState", { nid: M2, state: NodeState.DOWN }]],
  "state changed\n",
);
testCommand(
  "drop S2 S3",
  { SetNodeState: ack("node permanently removed") },
  [
    ["SetNodeState", { nid: 2, state: NodeState.UNKNOWN }],
    ["SetNodeState", { nid: 3, state: NodeState.UNKNOWN }],
  ],
  "S2: node permanently removed\nS3: node permanently removed\n",
);
testCommand(
  "check 0: 1:S1",
  { CheckReplicas: ack("") },
  [["CheckReplicas", { sources: new Map([[0, null], [1, 1]]), min: toTid(0), max: null }]],
  "",
);
testCommand(
  "check 0: tid:0x10 tid:0x20",
  { CheckReplicas: ack("") },
  [["CheckReplicas", { sources: new Map([[0, null]]), min: toTid(16), max: toTid(32) }]],
  "",
);
testCommand(
  "check :S2 1325421296",
  {
    AskPartitionList: answer({ ptid: 1, replicas: 0, rows: tableOf("UUU") }),
    CheckReplicas: ack(""),
  },
  [["AskPartitionList", { min: 0, max: 0, nid: null }], ["CheckReplicas", {
    sources: new Map([[0, 2], [1, 2], [2, 2]]),
    min: toTid(0x3937af2eeeeeeeen),
    max: null,
  }]],
  "",
);
testCommand(
  "prune_orphan 1 all",
  { AskNodeList: nodeList, Repair: ack("") },
  [["AskNodeList", { type: NodeType.STORAGE }], ["Repair", { nids: [1], dryRun: true }]],
  "\n",
);
testCommand(
  "prune_orphan 0 S1 S2",
  { Repair: ack("") },
  [["Repair", { nids: [1, 2], dryRun: false }]],
  "\n",
);
testCommand(
  "truncate tid:0x40d2f462e8dd6b8",
  { Truncate: ack("") },
  [["Truncate", { tid: toTid(0x40d2f462e8dd6b8n) }]],
  "",
);
testCommand(
  "flush_log",
  { AskPrimary: answer({ nid: M2 }) },
  [["AskPrimary", {}], ["FlushLog", {}]],
  "",
);

/** Runs a wrong command, which must not even connect. */
function testMistake(command: string, stderr: string | RegExp): void {
  Deno.test(`neoctl ${command} fails before it connects`, async () => {
    const outcome = await new Setup({}).run(command);
    assert.deepEqual([outcome.status, outcome.stdout], [1, ""]);
    if (typeof stderr === "string") assert.equal(outcome.stderr, stderr);
    else assert.match(outcome.stderr, stderr);
  });
}

testMistake("stop", "invalid command: stop\n");
testMistake("print nodes all", "invalid command: print nodes all\ndid you mean 'print node'?\n");
testMistake("print toString", "invalid command: print toString\n");
testMistake("print", /^ERROR: incomplete command: print\nCommands:\n {2}print cluster\n/);
testMistake("set replicas -1", "invalid number of replicas\n");
testMistake(
  "set replicas many",
  "ERROR: set replicas: 'many' is not a number of replicas: expected 0, 1, 2…\n" +
    "usage: neoctl set replicas NUMBER\n",
);
testMistake("set cluster", /missing STATE\nusage: neoctl set cluster STATE\n/);
testMistake("set cluster on", /'on' is not a cluster state: expected recovering, verifying/);
testMistake("print cluster now", /unexpected argument 'now'/);
testMistake("print node x", /'x' is not a type of nodes: expected master, storage, client, admin/);
testMistake("print pt a", /'a' is not a partition/);
testMistake("print pt 0 1 s1", /'s1' is not a node/);
testMistake("start now", /unexpected argument/);
testMistake("add", /missing NODE, or all/);
testMistake("add all S1", /unexpected argument 'S1'/);
testMistake("tweak s1", /'s1' is not a node/);
testMistake("kill", /missing NODE\n/);
testMistake("drop 1", /'1' is not a node/);
testMistake("check", /missing \[PARTITION\]:\[NODE\]; ':' alone means all partitions/);
testMistake("check tid:0x10", /missing \[PARTITION\]:\[NODE\]/);
testMistake("check : 1:", /':' means all partitions: give no other one/);
testMistake("check 1: :S1", /':S1' means all partitions: give no other one/);
testMistake("check 1: 1:S1", /partition 1 is given twice/);
testMistake("check 1:x", /'x' is not a node/);
testMistake("check 1: 20 10", /MIN_TID is after MAX_TID/);
testMistake("check 1: 1 2 3", /unexpected argument '3'/);
testMistake("rolling-restart", /missing --check/);
testMistake("rolling-restart --check S1 x", /'x' is neither a node, as in S1, nor an address/);
testMistake("rolling-restart --check 127.0.0.1:x", /the port must be a number/);
testMistake("prune_orphan all", /'all' is neither 0 \(delete\) nor 1 \(only count\)/);
testMistake("prune_orphan 1", /missing NODE, or all/);
testMistake("truncate", /missing TID/);
testMistake("truncate 040d2f4702222222", /'040d2f4702222222' is not a TID/);
testMistake("flush_log now", /unexpected argument/);

Deno.test("neoctl without command lists the commands and the syntax of values", async () => {
  const { status, stdout, stderr } = await new Setup({}).run("");
  assert.deepEqual([status, stderr], [0, ""]);
  for (
    const text of ["  print cluster\n", "  prune_orphan ", "  flush_log\n", "tid:0x3937af2eeeeeeee"]
  ) {
    assert.ok(stdout.includes(text), text);
  }
});

Deno.test("neoctl explains each command without connecting", async () => {
  const paths = Object.entries(COMMANDS).flatMap(([word, entry]) =>
    isTree(entry) ? Object.keys(entry).map((next) => `${word} ${next}`) : [word]
  );
  for (const path of [...paths, "print", "set"]) {
    for (const flag of ["-h", "--help"]) {
      const { status, stdout, stderr } = await new Setup({}).run(`${path} ${flag}`);
      assert.deepEqual([status, stderr], [0, ""]);
      assert.match(stdout, new RegExp(path));
    }
  }
});

Deno.test("neoctl tells that there is no admin", async () => {
  const { status, stdout, stderr } = await new Setup({}).run("print cluster");
  assert.deepEqual([status, stdout], [1, ""]);
  assert.equal(
    stderr,
    "ERROR: not connected\n10.0.0.9:9999: connection to 10.0.0.9:9999 refused\n",
  );
});

Deno.test("neoctl tells that the connection was lost", async () => {
  const tested = await setup({ AskClusterState: ({ connection }) => connection.close() });
  const { status, stderr } = await tested.run("print cluster");
  assert.deepEqual([status, stderr], [1, "ERROR: Connection closed\n"]);
});

Deno.test("neoctl tells that the admin has no primary master, also for flush_log", async () => {
  const refuse = (message: Received) => {
    message.error(ErrorCode.NOT_READY, "Not connected to a primary master.");
    message.connection.abort();
  };
  const tested = await setup({ AskClusterState: refuse, AskPrimary: refuse });
  for (const command of ["print cluster", "flush_log"]) {
    const { status, stderr } = await tested.run(command);
    assert.deepEqual([status, stderr], [1, "ERROR: Not connected to a primary master.\n"]);
  }
});

Deno.test("neoctl prints the text of a refusal alone", async () => {
  const text = "Can not switch to this state";
  const tested = await setup({ SetClusterState: error(ErrorCode.DENIED, text) });
  const { status, stdout, stderr } = await tested.run("start");
  assert.deepEqual([status, stdout, stderr], [1, "", `${text}\n`]);
});

Deno.test("neoctl prints other errors, by name if they have no text", async () => {
  const tested = await setup({
    AskPartitionList: error(ErrorCode.PROTOCOL_ERROR, "invalid partition table offset"),
    AskPrimary: error(ErrorCode.BACKEND_NOT_IMPLEMENTED, ""),
  });
  const text = "ERROR: invalid partition table offset\n";
  assert.equal((await tested.run("print pt 9 3")).stderr, text);
  assert.equal((await tested.run("print primary")).stderr, "ERROR: BACKEND_NOT_IMPLEMENTED\n");
});

Deno.test("neoctl kill tells what was done before a refusal", async () => {
  const tested = await setup({
    SetNodeState: ({ args, error }) =>
      args.nid === 2 ? error(ErrorCode.DENIED, "unknown node") : error(ErrorCode.ACK, "done"),
  });
  const { status, stderr } = await tested.run("kill S1 S2 S3");
  assert.deepEqual([status, stderr], [1, "S1: done\nS2: unknown node\n"]);
  assert.equal(tested.admin.received.length, 2);
});

Deno.test("neoctl check : refuses a cluster without partition table", async () => {
  const tested = await setup({ AskPartitionList: answer({ ptid: null, replicas: 0, rows: [] }) });
  assert.equal((await tested.run("check :")).stderr, "ERROR: there is no partition table yet\n");
});

Deno.test("neoctl gives up when the command is not done in time", async () => {
  const tested = await setup({});
  const running = tested.run("print cluster", 2.5);
  await tested.clock.advance(2_500);
  const { status, stderr } = await running;
  assert.deepEqual([status, stderr], [1, "ERROR: not done after 2.5 seconds\n"]);
  await settle();
  assert.equal(tested.admin.connection.open, false);
});

Deno.test("neoctl tells people where to look for results", async () => {
  const tested = await setup({ Repair: ack("") });
  assert.match((await tested.run("prune_orphan 1 S1 S2")).note ?? "", /ordered to S1, S2; results/);
});
