import assert from "node:assert/strict";
import parse from "npm:parse-prometheus-text-format@1.1.1";
import { BOUNDS, Histogram, NetworkCounters } from "../../network/counters.ts";
import { exposition, EXPOSITION_TYPE } from "../../node/exposition.ts";
import { openHttpEndpoint } from "../../node/http_endpoint.ts";
import { DatabaseCounters, type NodeMeasures } from "../../node/measures.ts";
import { METRICS, type MetricsSource } from "../../node/metrics.ts";
import { NodeTable } from "../../node/node_table.ts";
import { PartitionTable } from "../../node/partition_table.ts";
import { codecOf } from "../../protocol/codec.ts";
import { CellState, ClusterState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";

/** What the parser makes of a metric. */
interface Parsed {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly metrics: readonly {
    readonly value?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly buckets?: Readonly<Record<string, string>>;
  }[];
}

/** A cluster of two storages, of which one is down and has a cell that is out of date. */
function measures(state: ClusterState | null = ClusterState.RUNNING): NodeMeasures {
  const nodes = new NodeTable();
  nodes.create(NodeType.STORAGE, 1, { host: "h", port: 1 }).state = NodeState.RUNNING;
  nodes.create(NodeType.STORAGE, 2, { host: "h", port: 2 }).state = NodeState.DOWN;
  const table = new PartitionTable();
  const cell = (nid: number, state: CellState) => ({ nid, state });
  table.load({
    ptid: 3,
    replicas: 1,
    rows: [
      [cell(1, CellState.UP_TO_DATE), cell(2, CellState.OUT_OF_DATE)],
      [cell(1, CellState.UP_TO_DATE)],
    ],
  });
  return {
    serving: true,
    cluster: { state, nodes, table },
    values: {
      databaseQueue: 1,
      transactions: 2,
      waitingRequests: 3,
      lockedObjects: 4,
      conflicts: 5,
    },
  };
}

function source(changes: Partial<MetricsSource> = {}): MetricsSource {
  return {
    program: "neomaster",
    version: "1.2.3",
    clusterName: 'a "b"\\',
    startTime: 1000,
    memory: { rss: 1, heapUsed: 2 },
    logSize: 3,
    certificateExpiry: 4,
    counters: new NetworkCounters(() => 0),
    database: new DatabaseCounters(),
    measures: measures(),
    ...changes,
  };
}

function parsed(changes: Partial<MetricsSource> = {}): Map<string, Parsed> {
  const list = parse(exposition(source(changes))) as Parsed[];
  return new Map(list.map((metric) => [metric.name, metric]));
}

Deno.test("Histogram.add() counts in the bucket of the next bound", () => {
  const histogram = new Histogram();
  for (const seconds of [0, 0.0001, 0.0002, 10, 11]) histogram.add(seconds);
  assert.deepEqual([...histogram.counts], [2, 1, ...new Array(BOUNDS.length - 3).fill(0), 1, 1]);
  assert.equal(histogram.count, 5);
});

Deno.test("NetworkCounters.measure() tells answers from errors", () => {
  let now = 0;
  const counters = new NetworkCounters(() => now);
  const sent: string[] = [];
  const begin = (name: "AskObject" | "SetClusterState") =>
    counters.measure(codecOf(name), (codec) => sent.push(codec.name));
  const [ok, failed, done] = [begin("AskObject"), begin("AskObject"), begin("SetClusterState")];
  now = 20;
  ok(codecOf("AnswerObject"), 1, {});
  failed(codecOf("Error"), 2, { code: ErrorCode.OID_NOT_FOUND });
  done(codecOf("Error"), 3, { code: ErrorCode.ACK });
  assert.deepEqual(sent, ["AnswerObject", "Error", "Error"]);
  assert.equal(counters.requests.get("AskObject")?.sum, 0.02);
  assert.equal(counters.requests.get("SetClusterState")?.count, 1);
  assert.deepEqual([...counters.errors], [["AskObject OID_NOT_FOUND", 1]]);
});

Deno.test("exposition() is what a Prometheus parser understands, with each metric once", () => {
  const counters = new NetworkCounters(() => 0);
  counters.measure(codecOf("AskFinishTransaction"), () => {})(codecOf("Error"), 1, { code: 0 });
  counters.measure(codecOf("AskObject"), () => {})(codecOf("Error"), 1, { code: 3 });
  const found = parsed({ counters });
  const types = new Map([...found.values()].map(({ name, type }) => [name, type.toLowerCase()]));
  assert.deepEqual(types, new Map(METRICS.map(({ name, type }) => [name, type])));
  const values = (name: string) =>
    found.get(name)?.metrics.map(({ value, labels = {} }) =>
      [...Object.values(labels), Number(value)].join(" ")
    );
  assert.deepEqual(found.get("neo_info")?.metrics[0]?.labels?.cluster, 'a "b"\\');
  assert.deepEqual(values("neo_commits_total"), ["1"]);
  assert.deepEqual(values("neo_request_errors_total"), ["AskObject OID_NOT_FOUND 1"]);
  assert.deepEqual(values("neo_cells"), [
    "OUT_OF_DATE 1",
    "UP_TO_DATE 2",
    "FEEDING 0",
    "CORRUPTED 0",
    "DISCARDED 0",
  ]);
  assert.ok(values("neo_nodes")?.includes("STORAGE DOWN 1"));
  assert.ok(values("neo_cluster_state")?.includes("RUNNING 1"));
  assert.deepEqual(values("neo_missing_cells"), ["1"]);
  const commits = found.get("neo_request_duration_seconds")?.metrics[0]?.buckets ?? {};
  assert.equal(Object.keys(commits).length, BOUNDS.length + 1);
});

Deno.test("exposition() works before a node and its master are there", () => {
  assert.equal(parsed({ measures: null }).get("neo_serving")?.metrics[0]?.value, "0");
  const lost = { serving: false, cluster: null, values: {} };
  assert.ok(!parsed({ measures: lost, certificateExpiry: null, database: null }).has("neo_cells"));
});

Deno.test("metrics are those of the documentation, with the same words", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/metrics.md", import.meta.url));
  const documented = [...page.matchAll(/^\| `(\w+)` +\| (\w+) +\| (.*?) +\| (.*?) +\|$/gm)]
    .map(([, name, type, labels = "", help]) => ({
      name,
      type,
      labels: labels.split(", ").filter(Boolean).map((label) => label.replaceAll("`", "")),
      help,
    }));
  assert.deepEqual(
    documented,
    METRICS.map(({ name, type, labels, help }) => ({ name, type, labels: [...labels], help })),
  );
  for (const { name, type } of METRICS) {
    assert.equal(name.endsWith("_total"), type === "counter", name);
  }
});

Deno.test("the dashboard only shows metrics that exist", async () => {
  const url = new URL("../../deploy/grafana-dashboard.json", import.meta.url);
  const text = await Deno.readTextFile(url);
  const dashboard = JSON.parse(text);
  const names = new Set(METRICS.map(({ name }) => name));
  const used = [...text.matchAll(/\b(neo|process)_\w+/g)]
    .map(([name]) => name.replace(/(?<=seconds)_(bucket|sum|count)$/, ""));
  assert.ok(used.length >= dashboard.panels.length);
  for (const name of used) assert.ok(names.has(name), name);
});

Deno.test("openHttpEndpoint() serves metrics and health, and nothing else", async () => {
  let current = source();
  const endpoint = openHttpEndpoint({ host: "127.0.0.1", port: 0 }, () => current);
  const url = `http://127.0.0.1:${endpoint.address.port}`;
  const metrics = await fetch(`${url}/metrics`);
  assert.equal(metrics.headers.get("content-type"), EXPOSITION_TYPE);
  assert.equal(await metrics.text(), exposition(current));
  const health = await fetch(`${url}/health`);
  assert.equal(health.status, 200);
  assert.deepEqual((await health.json()).serving, true);
  current = source({ measures: null });
  const starting = await fetch(`${url}/health`);
  assert.equal(starting.status, 503);
  assert.deepEqual((await starting.json()).needs[0], "the node is starting");
  for (
    const [path, method, status] of [["/", "GET", 200], ["/x", "GET", 404], ["/", "POST", 405]]
  ) {
    const response = await fetch(`${url}${path}`, { method: String(method) });
    assert.equal(response.status, status);
    await response.body?.cancel();
  }
  assert.throws(() => openHttpEndpoint(endpoint.address, () => current), {
    name: "ConfigError",
    message: /^can't listen to 127\.0\.0\.1:\d+ for metrics: Address already in use/,
  });
  endpoint.close();
});
