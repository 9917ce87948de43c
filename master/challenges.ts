/**
 * A candidate challenges all other masters, as long as it runs for primary.
 *
 * @module
 */

import type { Handler } from "../network/handler.ts";
import { NodeType } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { type Address, formatAddress, sameAddress } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import { type Candidacy, concedesTo } from "./election.ts";
import { type Acceptance, type LinkObserver, MasterLink } from "./master_link.ts";
import { introduction, learnMasters, type MasterContext } from "./role.ts";

/** A master that is being challenged. */
interface Rival {
  readonly waiting: AbortController;
  link: MasterLink | null;
}

/**
 * The challenges of a primary master to the masters that are not its secondaries. There is at most one
 * at a time for each, and they are repeated until the election ends.
 */
export class Challenges implements LinkObserver {
  readonly #context: MasterContext;
  readonly #cluster: Cluster;
  readonly #since: number;
  readonly #rivals = new Map<string, Rival>();
  /** Why a master is not a secondary, to say each reason only once. */
  readonly #told = new Map<string, string>();
  #running = false;

  /** @param since when this master became a candidate. */
  constructor(context: MasterContext, cluster: Cluster, since: number) {
    this.#context = context;
    this.#cluster = cluster;
    this.#since = since;
  }

  /** What this master runs with, `null` while it does not. */
  get candidacy(): Candidacy | null {
    return this.#running ? { since: this.#since, address: this.#context.address } : null;
  }

  /** The master runs for primary. */
  start(): void {
    this.#running = true;
    this.update();
  }

  /** The election is over: whoever is not a secondary by now has to come by itself. */
  stop(): void {
    this.#running = false;
    for (const [key, rival] of [...this.#rivals]) this.#end(key, rival);
  }

  /** Challenges the masters that are not connected. To be called when there may be some more. */
  update(): void {
    if (!this.#running) return;
    for (const { address, connection } of this.#cluster.nodes.list(NodeType.MASTER)) {
      if (address === null || connection !== null) continue;
      if (!sameAddress(address, this.#context.address)) this.#challenge(address);
    }
  }

  /** Another master became a secondary by itself. */
  won(secondary: Address): void {
    const key = formatAddress(secondary);
    this.#told.delete(key);
    const rival = this.#rivals.get(key);
    if (rival !== undefined) this.#end(key, rival);
  }

  /**
   * Another candidate says that it has precedence. This master gives up when that one accepts it, not
   * before: whoever just pretends must not disturb a recovery.
   */
  concede(primary: Address): void {
    if (learnMasters(this.#cluster.nodes, [primary])) this.#context.mastersChanged();
    const rival = this.#rivals.get(formatAddress(primary));
    if (rival?.link) return;
    // It has just spoken: it can be reached now, even if it could not a moment ago.
    this.#context.limiter.waive(primary);
    if (rival !== undefined) this.#end(formatAddress(primary), rival);
    this.update();
  }

  /** What was asked to the primary serves to become its secondary. */
  #follow(primary: Address): void {
    const key = formatAddress(primary);
    const rival = this.#rivals.get(key);
    // The others are closed when this role ends.
    if (rival?.link) this.#rivals.delete(key);
    this.#context.follow(primary, rival?.link ?? null);
  }

  #end(key: string, { waiting, link }: Rival): void {
    this.#rivals.delete(key);
    waiting.abort(new Error("the election is over"));
    link?.close();
  }

  #challenge(address: Address): void {
    const key = formatAddress(address);
    if (this.#rivals.has(key)) return;
    const rival: Rival = { waiting: new AbortController(), link: null };
    this.#rivals.set(key, rival);
    const { env, limiter } = this.#context;
    const send = () => {
      if (this.#rivals.get(key) !== rival) return;
      rival.link = new MasterLink(env, address, introduction(this.#context, this.#since), this);
    };
    // Fails when the challenge is not needed any more.
    limiter.turn(address, rival.waiting.signal).then(send, () => {});
  }

  // What rivals say

  accepted(link: MasterLink, acceptance: Acceptance): Handler {
    this.#rivals.delete(formatAddress(link.address));
    this.#context.follow(link.address, link);
    return link.observer.accepted(link, acceptance);
  }

  redirected(link: MasterLink, { primary, masters }: ArgsOf<"NotPrimaryMaster">): void {
    const { nodes, notifier } = this.#cluster;
    const known = new Set(nodes.list());
    if (learnMasters(nodes, masters)) {
      notifier.changeNodes(...[...nodes.list()].filter((node) => !known.has(node)));
      this.#context.mastersChanged();
    }
    const named = primary === null ? null : masters[primary] ?? null;
    const isSecondary = (master: Address) => (nodes.at(master)?.connection ?? null) !== null;
    if (concedesTo(named, this.#context.address, isSecondary)) {
      return this.#follow(named);
    }
    link.close();
    this.lost(link, "it is a secondary master");
  }

  lost({ address }: MasterLink, reason: string): void {
    const key = formatAddress(address);
    this.#rivals.delete(key);
    if (this.#told.get(key) !== reason) {
      this.#told.set(key, reason);
      this.#context.env.log.info(`master ${key} does not answer the challenge: ${reason}`);
    }
    this.update();
  }
}
