/**
 * The metrics of nodes: their names, their meaning, and where their values come from.
 *
 * @module
 */

import type { Histogram, NetworkCounters } from "../network/counters.ts";
import { CellState, ClusterState, NodeState, NodeType } from "../protocol/enums.ts";
import { examine } from "./cluster_health.ts";
import type { DatabaseCounters, MeasuredValue, NodeMeasures } from "./measures.ts";

/** Where values come from. */
export interface MetricsSource {
  readonly program: string;
  readonly version: string;
  readonly clusterName: string;
  /** Seconds since the Unix epoch. */
  readonly startTime: number;
  readonly memory: { readonly rss: number; readonly heapUsed: number };
  readonly logSize: number;
  /** When the certificate of the node expires, in seconds since the Unix epoch; `null` without TLS. */
  readonly certificateExpiry: number | null;
  readonly counters: NetworkCounters;
  readonly database: DatabaseCounters | null;
  /** `null` as long as the node is starting. */
  readonly measures: NodeMeasures | null;
}

/** A value with its labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | Histogram;
}

/** A metric. Metrics whose names end in `_total` only grow, until the node starts again. */
export interface Metric {
  readonly name: string;
  readonly type: "gauge" | "counter" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  samples(source: MetricsSource): Iterable<Sample>;
}

const one = (value: number | Histogram): Sample[] => [{ labels: {}, value }];
const maybe = (value: number | Histogram | null | undefined): Sample[] =>
  value === null || value === undefined ? [] : one(value);

function metric(
  name: string,
  type: Metric["type"],
  help: string,
  samples: Metric["samples"],
  labels: readonly string[] = [],
): Metric {
  return { name, type, help, labels, samples };
}

/** A number that only some types of nodes have. */
function measured(
  name: string,
  type: Metric["type"],
  help: string,
  value: MeasuredValue,
): Metric {
  return metric(name, type, help, ({ measures }) => maybe(measures?.values[value]));
}

/** The numeric members of an enumeration with a count for each, zeros included. */
function* counts(
  label: string,
  enumeration: Readonly<Record<string, string | number>>,
  count: (member: number) => number,
): Generator<Sample> {
  for (const [name, member] of Object.entries(enumeration)) {
    if (typeof member === "number") yield { labels: { [label]: name }, value: count(member) };
  }
}

/** All metrics, in the order they are shown. */
export const METRICS: readonly Metric[] = [
  metric(
    "neo_info",
    "gauge",
    "Always 1; what runs.",
    ({ program, version, clusterName }) => [
      { labels: { program, version, cluster: clusterName }, value: 1 },
    ],
    ["program", "version", "cluster"],
  ),
  metric(
    "neo_serving",
    "gauge",
    "1 if the node does what it is for, else 0.",
    ({ measures }) => one(measures?.serving === true ? 1 : 0),
  ),
  metric(
    "neo_cluster_state",
    "gauge",
    "1 for the present state of the cluster, else 0; all are 0 if it is not known.",
    ({ measures }) =>
      counts("state", ClusterState, (state) => measures?.cluster?.state === state ? 1 : 0),
    ["state"],
  ),
  metric(
    "neo_nodes",
    "gauge",
    "Nodes of the cluster, by type and state.",
    function* ({ measures }) {
      if (!measures?.cluster) return;
      for (const [name, type] of Object.entries(NodeType)) {
        if (typeof type !== "number") continue;
        const nodes = [...measures.cluster.nodes.list(type)];
        for (
          const { labels, value } of counts(
            "state",
            NodeState,
            (state) => nodes.filter((node) => node.state === state).length,
          )
        ) yield { labels: { type: name, ...labels }, value };
      }
    },
    ["type", "state"],
  ),
  metric(
    "neo_cells",
    "gauge",
    "Cells, that is copies of partitions, by state.",
    function* ({ measures }) {
      if (!measures?.cluster) return;
      const { state, nodes, table } = measures.cluster;
      const { cells } = examine(state, nodes, table);
      yield* counts("state", CellState, (cell) => cells.get(cell) ?? 0);
    },
    ["state"],
  ),
  metric(
    "neo_missing_cells",
    "gauge",
    "Cells to add until each partition has the wanted number of copies.",
    ({ measures }) => {
      if (!measures?.cluster) return [];
      const { state, nodes, table } = measures.cluster;
      return one(examine(state, nodes, table).missing);
    },
  ),
  metric(
    "neo_partitions",
    "gauge",
    "Partitions of the cluster.",
    ({ measures }) => maybe(measures?.cluster?.table.partitions),
  ),
  measured("neo_transactions", "gauge", "Transactions in progress.", "transactions"),
  metric(
    "neo_commits_total",
    "counter",
    "Transactions committed by this master.",
    ({ program, counters }) =>
      program === "neomaster" ? one(counters.requests.get("AskFinishTransaction")?.count ?? 0) : [],
  ),
  measured(
    "neo_conflicts_total",
    "counter",
    "Stores of this storage that were refused because another transaction had changed the object.",
    "conflicts",
  ),
  measured("neo_locked_objects", "gauge", "Objects locked by transactions.", "lockedObjects"),
  measured(
    "neo_waiting_requests",
    "gauge",
    "Requests that wait for locks, for the end of a commit or for a change of the cluster.",
    "waitingRequests",
  ),
  metric(
    "neo_request_duration_seconds",
    "histogram",
    "Time from a request of another node to its answer, by message.",
    ({ counters }) =>
      [...counters.requests].map(([message, value]) => ({ labels: { message }, value })),
    ["message"],
  ),
  metric(
    "neo_request_errors_total",
    "counter",
    "Requests that were answered by an error, by message and error.",
    function* ({ counters }) {
      for (const [key, value] of counters.errors) {
        const [message = "", error = ""] = key.split(" ");
        yield { labels: { message, error }, value };
      }
    },
    ["message", "error"],
  ),
  metric(
    "neo_connections",
    "gauge",
    "Connections to other nodes, that they or this node opened.",
    ({ counters }) => one(counters.connections),
  ),
  metric(
    "neo_messages_received_total",
    "counter",
    "Messages received.",
    ({ counters }) => one(counters.messagesReceived),
  ),
  metric(
    "neo_received_bytes_total",
    "counter",
    "Bytes received from other nodes.",
    ({ counters }) => one(counters.bytesReceived),
  ),
  metric(
    "neo_sent_bytes_total",
    "counter",
    "Bytes sent to other nodes.",
    ({ counters }) => one(counters.bytesSent),
  ),
  metric(
    "neo_database_commit_duration_seconds",
    "histogram",
    "Time the database takes for a commit that reaches the disk.",
    ({ database }) => maybe(database?.commits),
  ),
  metric(
    "neo_database_writes_total",
    "counter",
    "Statements written to the database; commits share their cost.",
    ({ database }) => maybe(database?.writes),
  ),
  measured(
    "neo_database_queue_bytes",
    "gauge",
    "Bytes that wait to be written to the database.",
    "databaseQueue",
  ),
  metric(
    "neo_log_size_bytes",
    "gauge",
    "Size of the log database, 0 if there is none.",
    ({ logSize }) => one(logSize),
  ),
  metric(
    "neo_certificate_expiry_timestamp_seconds",
    "gauge",
    "When the certificate of the node expires, in seconds since the Unix epoch.",
    ({ certificateExpiry }) => maybe(certificateExpiry),
  ),
  metric(
    "neo_heap_bytes",
    "gauge",
    "Memory used by objects of the program.",
    ({ memory }) => one(memory.heapUsed),
  ),
  metric(
    "process_resident_memory_bytes",
    "gauge",
    "Memory of the process.",
    ({ memory }) => one(memory.rss),
  ),
  metric(
    "process_start_time_seconds",
    "gauge",
    "When the process was started, in seconds since the Unix epoch.",
    ({ startTime }) => one(startTime),
  ),
];
