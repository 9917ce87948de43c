/**
 * Whether a node is well, for those who watch over it or spread load.
 *
 * @module
 */

import { ClusterState } from "../protocol/enums.ts";
import { clusterAdvice } from "./cluster_advice.ts";
import { examine, Severity, severityOf } from "./cluster_health.ts";
import type { NodeMeasures } from "./measures.ts";

/** Seconds before the end of a certificate from which it is a reason to worry. */
const EXPIRY_NOTICE = 30 * 86_400;

/** How a node and its cluster are. */
export interface Health {
  readonly status: "ok" | "warning" | "problem";
  /** Whether this node does what it is for. */
  readonly serving: boolean;
  /** State of the cluster, `null` if it is not known. */
  readonly cluster: string | null;
  /** Whether each partition has all its copies, up to date and running. */
  readonly replicated: boolean;
  /** What an operator should do, or wait for. */
  readonly needs: readonly string[];
}

const STATUS = {
  [Severity.OK]: "ok",
  [Severity.WARNING]: "warning",
  [Severity.PROBLEM]: "problem",
} as const;

/**
 * Judges a node.
 *
 * @param measures `null` as long as the node is starting.
 * @param certificateExpiry seconds until its certificate expires, `null` without TLS.
 */
export function judge(measures: NodeMeasures | null, certificateExpiry: number | null): Health {
  const needs: string[] = [];
  let severity = Severity.OK;
  let replicated = false;
  const cluster = measures?.cluster ?? null;
  if (measures === null) needs.push("the node is starting");
  else if (cluster === null) {
    // A spare master does what it is for, and others tell how the cluster is.
    if (!measures.serving) needs.push("no primary master answers: start it, or see the log");
  } else {
    const health = examine(cluster.state, cluster.nodes, cluster.table);
    severity = severityOf(health);
    replicated = severity === Severity.OK;
    needs.push(...clusterAdvice(cluster));
  }
  if (measures?.serving !== true) severity = Severity.PROBLEM;
  if (certificateExpiry !== null && certificateExpiry < EXPIRY_NOTICE) {
    severity = Math.max(severity, certificateExpiry <= 0 ? Severity.PROBLEM : Severity.WARNING);
    const days = Math.floor(certificateExpiry / 86_400);
    needs.push(
      days < 0 ? "the certificate has expired" : `the certificate expires in ${days} days`,
    );
  }
  return {
    status: STATUS[severity],
    serving: measures?.serving === true,
    cluster: cluster === null || cluster.state === null ? null : ClusterState[cluster.state],
    replicated,
    needs,
  };
}
