/**
 * The admin node: the door of a cluster for its operators. It keeps nothing on disk, and a cluster works
 * without any.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import { errorText } from "../network/log.ts";
import { ConfigError } from "../node/errors.ts";
import { KnownMasters } from "../node/known_masters.ts";
import type { NodeMeasures } from "../node/measures.ts";
import { PrimaryFinder } from "../node/primary.ts";
import { CellState, ClusterState, NodeState, NodeType } from "../protocol/enums.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import { type Address, formatAddress, type Nid, nodeName } from "../protocol/nodes.ts";
import { Alarm, type Assessment, type SendMail } from "./alarm.ts";
import { ClusterView } from "./cluster_view.ts";
import { ControlConnections } from "./control_connections.ts";
import { ControlHandler, NO_PRIMARY } from "./control_handler.ts";
import { Monitor, situationOf } from "./monitor.ts";

/** How an {@linkcode Admin} takes part in a cluster. */
export interface AdminOptions {
  /** Name of the cluster. */
  readonly cluster: string;
  /** Where to listen, port 0 meaning any free port. */
  readonly bind: Address;
  /** Masters of the cluster, at least one. */
  readonly masters: readonly Address[];
  /** Node id to ask for at the first identification. */
  readonly nid?: Nid | null;
  /** Called with all masters of the cluster whenever one comes, changes or goes. */
  readonly saveMasters?: (masters: readonly Address[]) => void;
  /** Sends a message to people, when the state of the cluster has changed. */
  readonly sendMail?: SendMail;
}

/**
 * An admin node.
 *
 * @example
 * ```ts ignore
 * const admin = new Admin(env, {
 *   cluster: "test",
 *   bind: { host: "127.0.0.1", port: 9999 },
 *   masters: [{ host: "127.0.0.1", port: 10000 }],
 * });
 * await admin.run(AbortSignal.timeout(60_000));
 * ```
 */
export class Admin {
  readonly #env: Environment;
  readonly #options: AdminOptions;
  readonly #address = Promise.withResolvers<Address>();
  readonly #controls: ControlConnections;
  readonly #finder: PrimaryFinder;
  readonly #masters: KnownMasters;
  readonly #alarm: Alarm | null;
  #listening: Address | null = null;
  #view: ClusterView | null = null;
  #nid: Nid | null;
  /** Resolved when the connection to the primary is lost, with the last known state of the cluster. */
  #lost = Promise.withResolvers<ClusterState | null>();

  constructor(env: Environment, options: AdminOptions) {
    this.#env = env;
    this.#options = options;
    this.#nid = options.nid ?? null;
    this.#masters = new KnownMasters(options.masters, options.saveMasters);
    const monitor = new Monitor(env, () => this.#alarm?.failure ?? null);
    const handler = new ControlHandler(() => this.#view, monitor, env.log);
    this.#alarm = options.sendMail === undefined ? null : new Alarm(env, {
      cluster: options.cluster,
      situation: () => situationOf(this.#view),
      assess: (callback) => assess(monitor, this.#view, callback),
    }, options.sendMail);
    this.#controls = new ControlConnections(env, handler);
    this.#finder = new PrimaryFinder({
      env,
      masters: () => this.#masters.addresses,
      learn: (master) => this.#masters.learn(master),
      identify: () => ({
        type: NodeType.ADMIN,
        nid: this.#nid,
        address: this.#listening,
        cluster: options.cluster,
        idTimestamp: null,
        // Monitored backup clusters.
        extra: new Map([["backup", []]]),
      }),
      accepted: (connection, answer) => this.#onAccepted(connection, answer),
      closed: (reason) => this.#onLost(reason),
    });
    // Whoever does not ask for the address must not be hurt by its absence.
    this.#address.promise.catch(() => {});
  }

  /** Where operators connect to, once it is known. Rejects if it can't be listened to. */
  get address(): Promise<Address> {
    return this.#address.promise;
  }

  /**
   * Serves operators until the cluster stops or the signal aborts.
   *
   * @throws {ConfigError} (a rejection) if the address can't be listened to.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { bind } = this.#options;
    try {
      this.#listening = await this.#controls.listen(bind);
    } catch (error) {
      const failure = new ConfigError(
        `can't listen to ${formatAddress(bind)}: ${errorText(error)}`,
        {
          cause: error,
        },
      );
      this.#address.reject(failure);
      throw failure;
    }
    this.#address.resolve(this.#listening);
    try {
      await this.#follow(signal);
    } finally {
      this.#alarm?.stop();
      await this.#controls.close();
    }
  }

  /** Stays connected to the primary master, whoever that is, until it stops the cluster. */
  async #follow(signal: AbortSignal): Promise<void> {
    const leave = () => this.#view?.master.close();
    signal.addEventListener("abort", leave, { once: true });
    try {
      for (;;) {
        this.#lost = Promise.withResolvers();
        await this.#finder.find(signal);
        const lastState = await this.#lost.promise;
        if (lastState === ClusterState.STOPPING) return;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  #onAccepted(
    connection: Connection,
    { nid: primary, yourNid }: AnswerArgsOf<"RequestIdentification">,
  ): ClusterView {
    if (primary === null || yourNid === null) {
      throw new Error(`${connection} did not give a node id`);
    }
    const { log } = this.#env;
    this.#nid = yourNid;
    log.identify(this.#options.cluster, yourNid);
    log.info(`connected to primary master ${connection}`);
    const view = new ClusterView(
      connection,
      primary,
      log,
      () => this.#rememberMasters(),
      () => this.#alarm?.changed(),
    );
    this.#view = view;
    view.start();
    return view;
  }

  #onLost(reason: Error | null): void {
    const { log } = this.#env;
    const view = this.#view;
    this.#view = null;
    this.#alarm?.changed();
    // It belongs to the lost primary, another one may have given it to somebody else.
    this.#nid = null;
    log.identify(this.#options.cluster, null);
    log.info(`primary master is down${reason === null ? "" : `: ${errorText(reason)}`}`);
    this.#lost.resolve(view?.state ?? null);
  }

  #rememberMasters(): void {
    this.#masters.replace(this.#view?.masters() ?? []);
  }

  /** The state of the node, for those who watch over it. */
  measure(): NodeMeasures {
    const view = this.#view;
    const cluster = view &&
      { state: view.state, nodes: view.nodes, table: view.partitionTable };
    return { serving: view !== null, cluster, values: {} };
  }

  /** Describes the state of the node, for logs. */
  dump(): string {
    const { cluster } = this.#options;
    const address = this.#listening === null ? "not listening" : formatAddress(this.#listening);
    const lines = [
      `admin ${nodeName(this.#nid)} of cluster '${cluster}' (${address}), ` +
      `${this.#controls.size} operators`,
    ];
    const view = this.#view;
    if (view === null) lines.push("no primary master");
    else {
      const state = view.state === null ? "unknown" : ClusterState[view.state];
      lines.push(`primary master ${view.master}, cluster state ${state}`);
      for (const node of view.nodes.list()) {
        lines.push(`  ${node} ${NodeType[node.type]} ${NodeState[node.state]}`);
      }
      const { ptid, replicas, rows } = view.partitionTable;
      lines.push(`partition table ${ptid}, ${replicas} replicas`);
      for (const [partition, row] of rows.entries()) {
        const cells = row.map(({ nid, state }) => `${nodeName(nid)} ${CellState[state]}`);
        lines.push(`  ${partition}: ${cells.join(", ")}`);
      }
    }
    return lines.join("\n");
  }
}

/** Finds out how the cluster is, for a message. */
function assess(
  monitor: Monitor,
  view: ClusterView | null,
  callback: (assessment: Assessment) => void,
): void {
  const lost: Assessment = { severity: "PROBLEM", summary: NO_PRIMARY };
  if (view === null) return callback(lost);
  monitor.report(view, (report) => {
    if (report === null) return callback(lost);
    const { problem, warning, summary } = report;
    const severity = problem.length > 0 ? "PROBLEM" : warning.length > 0 ? "WARNING" : "OK";
    callback({ severity, summary });
  });
}
