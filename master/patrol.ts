/**
 * A primary that serves looks for others that do. When operators order the start on both sides of a
 * broken network, two primaries serve, and masters past recovery don't challenge each other.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { CancelTimer } from "../network/environment.ts";
import type { Handler } from "../network/handler.ts";
import { ClusterState, NodeType } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { formatAddress, sameAddress } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import { type Reign, yields } from "./election.ts";
import { type LinkObserver, MasterLink } from "./master_link.ts";
import { introduction, learnMasters, type MasterContext } from "./role.ts";

/** Milliseconds between two rounds. */
const PERIOD = 5_000;
/**
 * Meetings in a row that count. One does not: a primary that was frozen or isolated, and that others have
 * replaced, still serves for a moment when it wakes up, until it notices that its storages have left.
 */
const MEETINGS = 2;

/** What a primary says to those that it accepts, and that is of no interest here. */
const IGNORED: Handler = { notifyNodeInformation() {}, notifyClusterInformation() {} };

/**
 * Visits the masters that are not secondaries of this one, like a master that looks for the primary. To
 * one that runs for primary, it becomes clear by that, or by its own challenge, that there is one.
 */
export class Patrol implements LinkObserver {
  readonly #context: MasterContext;
  readonly #cluster: Cluster;
  readonly #giveWay: (text: string) => void;
  readonly #links = new Set<MasterLink>();
  /** How often in a row masters were met that serve. */
  readonly #met = new Map<string, number>();
  /** The rivals that were told to the operator. */
  readonly #told = new Set<string>();
  #cancelTimer: CancelTimer | null = null;

  /** @param giveWay this master has to stop serving, for a reason. */
  constructor(context: MasterContext, cluster: Cluster, giveWay: (text: string) => void) {
    this.#context = context;
    this.#cluster = cluster;
    this.#giveWay = giveWay;
  }

  /** This master serves from now on. */
  start(): void {
    if (this.#cancelTimer === null) this.#round();
  }

  /** It does not any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    for (const link of this.#links) link.close();
    this.#links.clear();
    this.#met.clear();
  }

  #round(): void {
    const { env, address: own } = this.#context;
    this.#cancelTimer = env.setTimer(PERIOD, () => this.#round());
    for (const { address, connection } of this.#cluster.nodes.list(NodeType.MASTER)) {
      if (address === null || connection !== null || sameAddress(address, own)) continue;
      if ([...this.#links].some((link) => sameAddress(link.address, address))) continue;
      this.#links.add(new MasterLink(env, address, introduction(this.#context, null), this));
    }
  }

  /** It is a primary: of what, and since when? */
  accepted(link: MasterLink): Handler {
    const { connection } = link;
    if (connection !== null) {
      this.#ask(connection).then(
        (reign) => this.#answered(link, reign),
        () => this.lost(link),
      );
    }
    return IGNORED;
  }

  async #ask(connection: Connection) {
    const [{ state }, { ptid }, { tid }] = await Promise.all([
      connection.ask("AskClusterState", {}),
      connection.ask("AskRecovery", {}),
      connection.ask("AskLastTransaction", {}),
    ]);
    return { state, ptid: ptid ?? 0, lastTid: tid };
  }

  #answered(link: MasterLink, { state, ptid, lastTid }: Omit<Reign, "address"> & ReignState): void {
    if (!this.#links.has(link)) return;
    const { address } = link;
    // A candidate finds out by itself.
    if (state !== ClusterState.RUNNING) return this.lost(link);
    const key = formatAddress(address);
    const meetings = (this.#met.get(key) ?? 0) + 1;
    this.#met.set(key, meetings);
    this.#end(link);
    if (meetings < MEETINGS) return;
    const { table, transactions } = this.#cluster;
    const own: Reign = {
      ptid: table.ptid ?? 0,
      lastTid: transactions.ids.lastTransaction,
      address: this.#context.address,
    };
    const text = `the master at ${key} serves the same cluster, with partition ` +
      `table ${ptid}, and this one with ${own.ptid}: what is committed on one side is not on the other`;
    if (yields(own, { ptid, lastTid, address })) return this.#giveWay(text);
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#context.env.log.error(`${text}. That one has to give way`);
  }

  redirected(link: MasterLink, { masters }: ArgsOf<"NotPrimaryMaster">): void {
    // Visited with the next round, if they are new.
    if (learnMasters(this.#cluster.nodes, masters)) this.#context.mastersChanged();
    this.lost(link);
  }

  lost(link: MasterLink): void {
    this.#met.delete(formatAddress(link.address));
    this.#end(link);
  }

  #end(link: MasterLink): void {
    this.#links.delete(link);
    link.close();
  }
}

interface ReignState {
  readonly state: ClusterState | null;
}
