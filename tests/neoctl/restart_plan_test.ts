import assert from "node:assert/strict";
import { type ClusterSituation, labelOf, nextRestart } from "../../neoctl/restart_plan.ts";
import { ClusterState, NodeState, NodeType } from "../../protocol/enums.ts";
import { nidOf, type NodeDescription } from "../../protocol/nodes.ts";
import { storage, tableOf } from "./samples.ts";

const node = (type: NodeType, n: number, port: number, state = NodeState.RUNNING) => ({
  type,
  nid: nidOf(type, n),
  address: { host: "127.0.0.1", port },
  state,
  idTimestamp: null,
});
const master = (n: number, state = NodeState.RUNNING) => node(NodeType.MASTER, n, 9999 + n, state);
const admin = node(NodeType.ADMIN, 1, 9999);
const client = { ...node(NodeType.CLIENT, 1, 0), address: null };

/** A cluster where M1 is the primary. */
function cluster(
  nodes: readonly NodeDescription[],
  map: readonly string[],
  state: ClusterState | null = ClusterState.RUNNING,
): ClusterSituation {
  return { state, nodes, rows: tableOf(...map), primary: nidOf(NodeType.MASTER, 1) };
}

/** Advice in short. */
function advise(situation: ClusterSituation, ...done: string[]) {
  const { go, next, reasons, left } = nextRestart(situation, done);
  return { go, next: next && labelOf(next).split(" ")[0], reasons, left: left.length };
}

const healthy = cluster(
  [admin, client, master(1), master(2), storage(2), storage(1)],
  ["UU", "UU"],
);

Deno.test("nextRestart() takes storages, spare masters, the primary, admins", () => {
  const order: string[] = [];
  for (;;) {
    const { go, next } = nextRestart(healthy, order);
    assert(go);
    if (next === null) break;
    order.push(labelOf(next).split(" ")[0] ?? "");
  }
  assert.deepEqual(order, ["S1", "S2", "M2", "M1", "A1"]);
  assert.deepEqual(advise(healthy, ...order), {
    go: true,
    next: null,
    reasons: ["all nodes have been restarted"],
    left: 0,
  });
});

Deno.test("nextRestart() knows nodes by their addresses", () => {
  const { next } = advise(healthy, "127.0.0.1:20000", "127.0.0.1:20001", "127.0.0.1:10001");
  assert.equal(next, "M1");
});

Deno.test("nextRestart() waits while the cluster does not serve clients", () => {
  for (const state of [ClusterState.RECOVERING, ClusterState.VERIFYING]) {
    const { go, reasons } = advise({ ...healthy, state });
    assert.deepEqual([go, reasons], [false, [`the cluster is ${ClusterState[state]}`]]);
  }
  const unknown = advise({ ...healthy, state: null });
  assert.deepEqual(unknown.reasons, ["the cluster is in an unknown state"]);
  assert(advise({ ...healthy, state: ClusterState.BACKINGUP }).go);
});

Deno.test("nextRestart() waits for a storage that was restarted, until it has caught up", () => {
  const nodes = [admin, master(1), storage(2), storage(3)];
  const down = cluster([...nodes, storage(1, NodeState.DOWN)], ["OO", "UU", "UU"]);
  assert.deepEqual(advise(down, "S1").reasons, [
    "S1 (127.0.0.1:20000) is DOWN: it must be back first",
  ]);
  const late = cluster([...nodes, storage(1)], ["UO", "UU", "UU"]);
  const reasons = ["S1 (127.0.0.1:20000) catches up with partition 1"];
  assert.deepEqual(advise(late, "S1"), { go: false, next: null, reasons, left: 4 });
  const back = cluster([...nodes, storage(1)], ["UU", "UU", "UU"]);
  assert.deepEqual(advise(back, "S1").next, "S2");
});

Deno.test("nextRestart() stops no storage that has the last readable copy of a partition", () => {
  const alone = advise(cluster([master(1), storage(1), storage(2)], ["U.U", ".UU"]));
  assert.deepEqual([alone.go, alone.reasons], [false, [
    "S1 (127.0.0.1:20000) has the only copy that can be read of partition 0",
    "S2 (127.0.0.1:20001) has the only copy that can be read of partition 1",
  ]]);
  const unusable = (...map: string[]) =>
    advise(cluster([master(1), storage(1), storage(2, NodeState.DOWN)], map));
  assert(!unusable("U", "U").go, "the other storage does not run");
  assert(!unusable("U", "O").go, "the other cell lacks data");
  const corrupted = cluster([master(1), storage(1), storage(2)], ["U", "C"]);
  assert.equal(advise(corrupted).next, "S2", "which has nothing that is needed");
  const many = cluster([master(1), storage(1)], ["U".repeat(12)]);
  assert.match(advise(many).reasons.join(), /partitions 0, 1, .*, 7… \(12 in all\)$/);
});

Deno.test("nextRestart() takes another storage first if the first one can't be stopped", () => {
  const { next } = advise(cluster([master(1), storage(1), storage(2)], ["UU", "U."]));
  assert.equal(next, "S2");
});

Deno.test("nextRestart() ignores storages that are down for long and are not needed", () => {
  const nodes = [master(1), storage(1), storage(2), storage(3, NodeState.DOWN)];
  assert.equal(advise(cluster(nodes, ["UU", "UU", "OO"])).next, "S1");
});

Deno.test("nextRestart() takes the primary only if it can be replaced, or is the only master", () => {
  const withMasters = (...masters: NodeDescription[]) =>
    advise(cluster([admin, storage(1), storage(2), ...masters], ["U", "U"]), "S1", "S2");
  const lonely = withMasters(master(1), master(2, NodeState.DOWN));
  assert.deepEqual([lonely.go, lonely.reasons], [false, [
    "no other master is connected that could replace M1 (127.0.0.1:10000)",
  ]]);
  const only = withMasters(master(1));
  assert.equal(only.next, "M1");
  assert.match(only.reasons.join(), /the only master: clients wait/);
});

Deno.test("nextRestart() waits for nodes that it does not find", () => {
  const { go, reasons } = advise(healthy, "S1", "S7", "127.0.0.1:4");
  assert.deepEqual([go, reasons], [false, ["S7 is not there", "127.0.0.1:4 is not there"]]);
});

Deno.test("labelOf() is a name with an address, as far as they are known", () => {
  assert.equal(labelOf(client), "C1");
  assert.equal(labelOf({ ...master(2), nid: null }), "127.0.0.1:10001");
  assert.equal(labelOf(master(2)), "M2 (127.0.0.1:10001)");
});
