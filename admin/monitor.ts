/**
 * Answers how the cluster is, with fresh tids.
 *
 * @module
 */

import type { CancelTimer, Environment } from "../network/environment.ts";
import { ClusterState } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import type { ClusterView } from "./cluster_view.ts";
import { examine, isOperational, Severity, severityOf, summarize } from "../node/cluster_health.ts";

/** What operators are told; `null` if the primary master was lost meanwhile. */
export type Report = AnswerArgsOf<"AskMonitorInformation"> | null;

/** Milliseconds the primary master has to tell its last tid. */
const ROUND_TIME = 60_000;

/**
 * Collects what only the primary master knows, in *rounds*: all those who ask during a round get its
 * result, so that many operators cost the primary no more than one.
 */
export class Monitor {
  readonly #env: Environment;
  /** Who waits for the end of the round, by the cluster asked about; usually one. */
  readonly #waiting = new Map<ClusterView, ((report: Report) => void)[]>();

  readonly #notice: () => string | null;

  /** @param notice something else that people should worry about. */
  constructor(env: Environment, notice: () => string | null = () => null) {
    this.#env = env;
    this.#notice = notice;
  }

  /** Reports as soon as the primary answered. Joins the round in progress if there is one. */
  report(view: ClusterView, callback: (report: Report) => void): void {
    const waiting = this.#waiting.get(view);
    if (waiting !== undefined) waiting.push(callback);
    else {
      this.#waiting.set(view, [callback]);
      this.#startRound(view);
    }
  }

  #startRound(view: ClusterView): void {
    if (!isOperational(view.state)) return this.#finish(view, null);
    const { master } = view;
    const cancelTimer: CancelTimer = this.#env.setTimer(ROUND_TIME, () => {
      this.#env.log.warning(`${master} does not tell its last tid, disconnecting from it`);
      master.close();
    });
    const finish = (tid: Tid | null) => {
      cancelTimer();
      this.#finish(view, tid);
    };
    const noTid = () => finish(null);
    if (view.state === ClusterState.BACKINGUP) {
      master.request("AskRecovery", {}, ({ backupTid }) => finish(backupTid), noTid);
    } else master.request("AskLastTransaction", {}, ({ tid }) => finish(tid), noTid);
  }

  #finish(view: ClusterView, lastTid: Tid | null): void {
    const waiting = this.#waiting.get(view) ?? [];
    this.#waiting.delete(view);
    const report = view.master.open ? makeReport(view, lastTid, this.#notice()) : null;
    for (const callback of waiting) callback(report);
  }
}

/** What is worth a message to people when it changes, unlike tids. */
export function situationOf(view: ClusterView | null): string {
  if (view === null) return "no primary master";
  const health = examine(view.state, view.nodes, view.partitionTable);
  return `${Severity[severityOf(health)]}; ${summarize(health, null)}`;
}

function makeReport(view: ClusterView, lastTid: Tid | null, notice: string | null): Report {
  const health = examine(view.state, view.nodes, view.partitionTable);
  const severity = notice === null ? severityOf(health) : Severity.PROBLEM;
  const summary = summarize(health, lastTid);
  // The names of clusters in trouble, `null` being the one asked about.
  return {
    warning: severity === Severity.WARNING ? [null] : [],
    problem: severity === Severity.PROBLEM ? [null] : [],
    summary: notice === null ? summary : `${summary}\n\n${notice}`,
  };
}
