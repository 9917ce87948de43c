/**
 * A secondary master: a spare that knows who the primary is, and runs for its place when it is lost.
 *
 * @module
 */

import type { Handler, Handlers } from "../network/handler.ts";
import type { NodeMeasures } from "../node/measures.ts";
import { type Node, NodeTable } from "../node/node_table.ts";
import { ClusterState, NodeState, NodeType } from "../protocol/enums.ts";
import type { ArgsOf, MessagesOn } from "../protocol/messages.ts";
import { type Address, formatAddress, sameAddress } from "../protocol/nodes.ts";
import { concedesTo, type Following } from "./election.ts";
import { type Acceptance, type LinkObserver, MasterLink } from "./master_link.ts";
import { Redirection } from "./redirection.ts";
import {
  addMasters,
  introduction,
  isConfigured,
  type KnownMaster,
  learnMasters,
  type MasterContext,
  type Role,
} from "./role.ts";

/** The role of a master that follows another one. */
export class Secondary
  implements Role, LinkObserver, Handlers<MessagesOn<"M>M"> | "NotPrimaryMaster"> {
  readonly nodes = new NodeTable();
  readonly handler: Redirection;
  readonly #context: MasterContext;
  readonly #ended = new AbortController();
  #following: Following;
  /** When the primary accepted, on the monotonic clock. */
  #acceptedAt: number | null = null;
  #link: MasterLink | null;

  /**
   * @param masters those known so far.
   * @param link the connection to the primary, if there is one already.
   */
  constructor(
    context: MasterContext,
    masters: Iterable<KnownMaster>,
    primary: Address,
    link: MasterLink | null,
  ) {
    this.#context = context;
    this.#following = { primary, accepted: false };
    this.#link = link;
    addMasters(this.nodes, context, masters);
    learnMasters(this.nodes, [primary]);
    this.handler = new Redirection(context, this, () => this.#following);
  }

  begin(): void {
    const { env, limiter } = this.#context;
    const { primary } = this.#following;
    env.log.info(`this is a secondary master, of the one at ${formatAddress(primary)}`);
    if (this.#link !== null) {
      this.#link.observer = this;
      return;
    }
    const { signal } = this.#ended;
    const connect = () => {
      if (signal.aborted) return;
      this.#link = new MasterLink(env, primary, introduction(this.#context, null), this);
    };
    // Fails when the role ends.
    limiter.turn(primary, signal).then(connect, () => {});
  }

  closed(): void {}

  end(): void {
    this.#ended.abort(new Error("this is not a secondary master any more"));
    this.#link?.close();
  }

  /** It serves as a spare. What the cluster does is the primary's to tell. */
  measure(): NodeMeasures {
    return { serving: this.#following.accepted, cluster: null, values: {} };
  }

  dump(): string {
    const { primary, accepted } = this.#following;
    const nodes = [...this.nodes.list()].map((node) => `  ${node} ${NodeState[node.state]}`);
    const state = accepted ? "connected" : "looking for it";
    return [`secondary master of ${formatAddress(primary)}, ${state}`, ...nodes].join("\n");
  }

  get #self(): Node {
    return this.nodes.ensureMaster(this.#context.address);
  }

  // The link to the primary

  accepted(link: MasterLink, { nid, yourNid }: Acceptance): Handler {
    const { nodes } = this;
    const context = this.#context;
    context.nid = yourNid;
    nodes.beginSession();
    const primary = nodes.ensureMaster(link.address);
    nodes.setIds(primary, nid, link.address);
    primary.state = NodeState.RUNNING;
    nodes.setIds(this.#self, yourNid, context.address);
    this.#following = { primary: link.address, accepted: true };
    this.#acceptedAt = context.env.monotonic();
    context.env.log.identify(context.options.cluster, yourNid);
    context.env.log.info(`${primary} is the primary master`);
    // It only tells what changes.
    link.connection?.request("AskRecovery", {}, ({ ptid }) => {
      if (ptid !== null) context.clusterExists = true;
    }, () => {});
    return this;
  }

  redirected(_: MasterLink, args: ArgsOf<"NotPrimaryMaster">): void {
    this.notPrimaryMaster(args);
  }

  /** There may be another primary already: as a candidate, this master will find it. */
  lost({ address }: MasterLink, reason: string): void {
    const { env, limiter } = this.#context;
    env.log.info(`primary master ${formatAddress(address)} is lost: ${reason}`);
    if (this.#acceptedAt !== null) limiter.restart(this.#acceptedAt);
    this.#context.lead();
  }

  // Messages of the primary

  notPrimaryMaster({ primary, masters }: ArgsOf<"NotPrimaryMaster">): void {
    if (learnMasters(this.nodes, masters)) this.#context.mastersChanged();
    const named = primary === null ? null : masters[primary] ?? null;
    const isFollowed = (master: Address) => sameAddress(master, this.#following.primary);
    if (concedesTo(named, this.#context.address, isFollowed)) {
      return this.#context.follow(named, null);
    }
    this.#context.lead();
  }

  notifyNodeInformation({ timestamp, nodes }: ArgsOf<"NotifyNodeInformation">): void {
    const masters = nodes.filter(({ type }) => type === NodeType.MASTER);
    // The primary may not know masters that an operator told this one about.
    const keep = ({ address }: Node) => address !== null && isConfigured(this.#context, address);
    this.nodes.update({ timestamp, nodes: masters }, keep);
    this.#context.mastersChanged();
    const told = masters.find(({ address }) => sameAddress(address, this.#context.address));
    if (told?.state !== NodeState.DOWN) return;
    this.#context.env.log.info("the primary master says that this node is down");
    this.#context.end();
  }

  notifyClusterInformation({ state }: ArgsOf<"NotifyClusterInformation">): void {
    this.#context.env.log.info(`the cluster is ${ClusterState[state]}`);
    if (state !== ClusterState.RECOVERING) this.#context.clusterExists = true;
    if (state === ClusterState.STOPPING) this.#context.end();
  }
}
