import assert from "node:assert/strict";
import { COMMANDS, isTree } from "../../neoctl/commands.ts";
import { ClusterState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { toOid, toTid } from "../../protocol/ids.ts";
import { nidOf } from "../../protocol/nodes.ts";
import type { Script } from "../admin/scripted_peer.ts";
import { NODES, storage, tableOf } from "./samples.ts";
import { ack, answer, error, nodeList, setup } from "./support.ts";

const S1 = {
  name: "S1",
  type: "STORAGE",
  address: "127.0.0.1:20000",
  state: "RUNNING",
  identified: "2026-11-22 10:10:48.675942",
};
const S2 = { name: "S2", type: "STORAGE", address: null, state: "DOWN", identified: null };

/** What is asked before a node is restarted. */
const RESTART: Script = {
  AskClusterState: answer({ state: ClusterState.RUNNING }),
  AskPrimary: answer({ nid: nidOf(NodeType.MASTER, 1) }),
  AskPartitionList: answer({ ptid: 4, replicas: 1, rows: tableOf("UU", "UU") }),
};
const PAIR = [
  storage(1),
  storage(2),
  ...NODES.filter(({ nid }) => nid === nidOf(NodeType.MASTER, 1)),
];

/** A command, the answers of the admin, and what is printed. */
const CASES: [string, Script, unknown][] = [
  [
    "print cluster",
    { AskClusterState: answer({ state: ClusterState.RUNNING }) },
    { state: "RUNNING" },
  ],
  ["print cluster", { AskClusterState: answer({ state: null }) }, { state: null }],
  ["print node storage", { AskNodeList: nodeList }, { nodes: [S1, S2] }],
  ["print node", {
    AskNodeList: answer({
      nodes: [{ ...NODES[0], nid: null, type: NodeType.MASTER, state: NodeState.DOWN }],
    }),
  }, { nodes: [{ ...S1, name: null, type: "MASTER", state: "DOWN" }] }],
  [
    "print pt",
    {
      AskPartitionList: answer({ ptid: 4, replicas: 1, rows: tableOf("UF", "O.") }),
      AskNodeList: nodeList,
    },
    {
      ptid: 4,
      replicas: 1,
      first: 0,
      partitions: [{ S1: "UP_TO_DATE", S2: "OUT_OF_DATE" }, { S1: "FEEDING" }],
      nodes: [S1, S2],
    },
  ],
  [
    "print pt 3 5 S2",
    { AskPartitionList: answer({ ptid: 4, replicas: 1, rows: tableOf("UF", "O.") }) },
    { ptid: 4, replicas: 1, first: 3, partitions: [{ S2: "OUT_OF_DATE" }, {}] },
  ],
  [
    "print ids",
    {
      AskRecovery: answer({ ptid: 3, backupTid: null, truncateTid: null }),
      AskLastIDs: answer({
        lastTid: toTid(0x40d2f43668da553n),
        lastOid: toOid(18),
        firstTid: toTid(1),
      }),
    },
    {
      last_oid: "0000000000000012",
      last_tid: "040d2f43668da553",
      last_date: "2026-11-22 10:11:24.035930",
      backup_tid: null,
      backup_date: null,
      last_ptid: 3,
    },
  ],
  [
    "print ids",
    {
      AskRecovery: answer({ ptid: 2, backupTid: toTid(0x40d2f471b0f69den), truncateTid: null }),
      AskLastTransaction: answer({ tid: toTid(0x40d2f471b18c403n) }),
    },
    {
      last_oid: null,
      last_tid: "040d2f471b18c403",
      last_date: "2026-11-22 10:15:06.350798",
      backup_tid: "040d2f471b0f69de",
      backup_date: "2026-11-22 10:15:06.342236",
      last_ptid: 2,
    },
  ],
  [
    "print primary",
    { AskPrimary: answer({ nid: nidOf(NodeType.MASTER, 2) }) },
    { primary: "M2" },
  ],
  [
    "print summary",
    {
      AskMonitorInformation: answer({
        warning: ["bak"],
        problem: [null],
        summary: "RECOVERING\n\nbak\n    None",
      }),
    },
    { warning: ["bak"], problem: [null], summary: "RECOVERING\n\nbak\n    None" },
  ],
  ["set cluster stopping", { SetClusterState: ack("Cluster state changed") }, {
    message: "Cluster state changed",
  }],
  ["set replicas 2", { SetNumReplicas: ack("") }, { message: "" }],
  ["start", { SetClusterState: ack("Cluster state changed") }, {
    message: "Cluster state changed",
  }],
  ["add S2", { AddPendingNodes: ack("Nodes added: S2") }, { message: "Nodes added: S2" }],
  [
    "tweak",
    {
      TweakPartitionTable: answer({ changed: true, rows: tableOf("F", "O") }),
      AskNodeList: answer({ nodes: [storage(1), storage(2)] }),
    },
    { changed: true, partitions: [{ S1: "FEEDING", S2: "OUT_OF_DATE" }] },
  ],
  ["tweak -n", { TweakPartitionTable: answer({ changed: false, rows: tableOf("U") }) }, {
    changed: false,
    partitions: [{ S1: "UP_TO_DATE" }],
  }],
  ["kill S1", { SetNodeState: ack("state changed") }, { S1: "state changed" }],
  ["drop S1 S2", { SetNodeState: ack("node permanently removed") }, {
    S1: "node permanently removed",
    S2: "node permanently removed",
  }],
  ["check 0: 2:S1", { CheckReplicas: ack("") }, { message: "", partitions: [0, 2] }],
  ["rolling-restart --check S1", { ...RESTART, AskNodeList: answer({ nodes: PAIR }) }, {
    go: true,
    next: { name: "S2", type: "STORAGE", address: "127.0.0.1:20001" },
    reasons: ["each of its partitions can be read on another storage that is running"],
    left: [{ name: "M1", type: "MASTER", address: "127.0.0.1:10000" }],
  }],
  ["prune_orphan 1 S1 S2", { Repair: ack("") }, { message: "", nodes: ["S1", "S2"] }],
  ["truncate tid:5", { Truncate: ack("") }, { message: "" }],
  ["flush_log", { AskPrimary: answer({ nid: 1 }) }, {}],
];

for (const [command, script, expected] of CASES) {
  Deno.test(`neoctl --json ${command} prints ${JSON.stringify(expected).slice(0, 40)}`, async () => {
    const { status, stdout, stderr, note } = await (await setup(script))
      .run(command, null, { json: true });
    assert.deepEqual([status, stderr, note], [0, "", null]);
    assert.match(stdout, /^[^\n]*\n$/, "one line");
    assert.deepEqual(JSON.parse(stdout), expected);
  });
}

Deno.test("neoctl --json is tested with every command", () => {
  const paths = Object.entries(COMMANDS).flatMap(([word, entry]) =>
    isTree(entry) ? Object.keys(entry).map((next) => `${word} ${next}`) : [word]
  );
  for (const path of paths) {
    assert(CASES.some(([command]) => `${command} `.startsWith(`${path} `)), path);
  }
});

Deno.test("neoctl --json prints refusals as usual", async () => {
  const tested = await setup({ SetClusterState: error(ErrorCode.DENIED, "no") });
  const { status, stdout, stderr } = await tested.run("start", null, { json: true });
  assert.deepEqual([status, stdout, stderr], [1, "", "no\n"]);
});
