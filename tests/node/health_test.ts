import assert from "node:assert/strict";
import { judge } from "../../node/health.ts";
import { NodeTable } from "../../node/node_table.ts";
import { PartitionTable } from "../../node/partition_table.ts";
import { CellState, ClusterState, NodeState, NodeType } from "../../protocol/enums.ts";

const { UP_TO_DATE, OUT_OF_DATE, CORRUPTED } = CellState;

/** A cluster with one partition, from the states of its storages and of their cells (if any). */
function measures(
  state: ClusterState | null,
  storages: readonly (readonly [NodeState, CellState | null])[],
  replicas = 0,
) {
  const nodes = new NodeTable();
  const table = new PartitionTable();
  const row = [];
  for (const [index, [nodeState, cell]] of storages.entries()) {
    const nid = index + 1;
    nodes.create(NodeType.STORAGE, nid, { host: "h", port: nid }).state = nodeState;
    if (cell !== null) row.push({ nid, state: cell });
  }
  if (row.length > 0) table.load({ ptid: 1, replicas, rows: [row] });
  return { serving: state === ClusterState.RUNNING, cluster: { state, nodes, table }, values: {} };
}

const { RUNNING, DOWN, PENDING } = NodeState;

for (
  const [what, given, status, needs] of [
    ["all is well", measures(ClusterState.RUNNING, [[RUNNING, UP_TO_DATE]]), "ok", []],
    [
      "no storage has the table",
      measures(ClusterState.RECOVERING, [[PENDING, null]]),
      "problem",
      [/^no storage with data has come: .*only if the cluster is new, run 'neoctl start'/],
    ],
    [
      "a storage with the only copy is down",
      measures(ClusterState.RECOVERING, [[DOWN, UP_TO_DATE], [PENDING, null]]),
      "problem",
      [/^the cluster waits for storages S1: start them, or run 'neoctl start'/],
    ],
    [
      "a replica is down",
      measures(ClusterState.RUNNING, [[RUNNING, UP_TO_DATE], [DOWN, OUT_OF_DATE]], 1),
      "problem",
      [/^storages are down: start S2, or replace them$/, /^1 cells are out of date: wait/],
    ],
    [
      "a storage was added",
      measures(ClusterState.RUNNING, [[RUNNING, UP_TO_DATE], [PENDING, null], [PENDING, null]], 1),
      "warning",
      [/^new storages are not used: run 'neoctl add S2 S3'$/, /^1 copies are missing: .*tweak'$/],
    ],
    [
      "a cell is corrupted",
      measures(ClusterState.RUNNING, [[RUNNING, UP_TO_DATE], [RUNNING, CORRUPTED]], 1),
      "warning",
      [/^1 cells differ from their copies/],
    ],
    ["the node is starting", null, "problem", [/^the node is starting$/]],
    [
      "there is no master",
      { serving: false, cluster: null, values: {} },
      "problem",
      [/^no primary master answers/],
    ],
  ] as const
) {
  Deno.test(`judge() says what is needed when ${what}`, () => {
    const health = judge(given, null);
    assert.equal(health.status, status);
    assert.equal(health.needs.length, needs.length, health.needs.join("\n"));
    for (const [index, need] of needs.entries()) assert.match(health.needs[index] ?? "", need);
    assert.equal(health.replicated, status === "ok");
  });
}

Deno.test("judge() has nothing to say about a cluster that a spare node does not know", () => {
  const { status, serving, cluster, needs } = judge(
    { serving: true, cluster: null, values: {} },
    null,
  );
  assert.deepEqual({ status, serving, cluster, needs }, {
    status: "ok",
    serving: true,
    cluster: null,
    needs: [],
  });
});

Deno.test("judge() says that a certificate expires soon", () => {
  const well = measures(ClusterState.RUNNING, [[RUNNING, UP_TO_DATE]]);
  const day = 86_400;
  assert.equal(judge(well, 31 * day).status, "ok");
  const soon = judge(well, 2.5 * day);
  assert.deepEqual([soon.status, soon.needs], ["warning", ["the certificate expires in 2 days"]]);
  const late = judge(well, -1);
  assert.deepEqual([late.status, late.needs], ["problem", ["the certificate has expired"]]);
});
