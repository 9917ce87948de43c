/**
 * Identification: what peers must send first, and how nodes get their ids.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { type Handler, type Handlers, Refusal, type Request } from "../network/handler.ts";
import { RECONNECTION_DELAY } from "../network/limiter.ts";
import type { Node } from "../node/node_table.ts";
import { CellState, ClusterState, ErrorCode, NodeState, NodeType } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import {
  type Address,
  formatAddress,
  type Nid,
  nidOf,
  nodeName,
  nodeTypeOf,
  sameAddress,
} from "../protocol/nodes.ts";
import { AdminHandler } from "./administration.ts";
import type { Cluster } from "./cluster.ts";
import { type Candidacy, candidacyOf, concedes } from "./election.ts";
import { type Extra, parseExtra } from "./extra.ts";
import type { Announcement } from "./notifications.ts";
import type { Lifecycle } from "./phase.ts";
import { QueryHandler } from "./queries.ts";
import { tooManyMasters } from "./role.ts";

/** A valid request to identify. */
interface Applicant {
  readonly type: NodeType;
  /** The id it asks for. */
  readonly nid: Nid | null;
  readonly address: Address | null;
  readonly extra: Extra;
}

/** The election, as far as other masters decide it. */
export interface Election {
  /** What this master runs for primary with, `null` while it does not. */
  readonly candidacy: Candidacy | null;
  /** Another master has precedence. */
  concede(primary: Address): void;
  /** Another master became a secondary. */
  won(secondary: Address): void;
}

function refusal(text: string): Refusal {
  return new Refusal(ErrorCode.PROTOCOL_ERROR, text);
}

/** Handles the messages of peers that are not identified: nothing but their identification. */
export class Identification implements Handlers<"RequestIdentification"> {
  readonly #cluster: Cluster;
  readonly #lifecycle: Lifecycle;
  readonly #election: Election;
  readonly #mastersChanged: () => void;
  /** Clients that came too early. */
  readonly #waiting = new Map<Connection, () => void>();

  constructor(
    cluster: Cluster,
    lifecycle: Lifecycle,
    election: Election,
    mastersChanged: () => void,
  ) {
    this.#cluster = cluster;
    this.#lifecycle = lifecycle;
    this.#election = election;
    this.#mastersChanged = mastersChanged;
  }

  requestIdentification(
    args: ArgsOf<"RequestIdentification">,
    from: Request<"RequestIdentification">,
  ): void | Promise<void> {
    const { connection } = from;
    const applicant = this.#check(args);
    if (applicant.type === NodeType.CLIENT && this.#servesSoon) {
      return this.#wait(connection).then(() => {
        if (connection.open) this.#admitApplicant(applicant, from);
      });
    }
    const candidacy = applicant.type === NodeType.MASTER ? candidacyOf(args) : null;
    if (candidacy !== null && concedes(this.#election.candidacy, candidacy)) {
      // Nothing is answered: this master connects to that one.
      connection.close();
      return this.#election.concede(candidacy.address);
    }
    this.#admitApplicant(applicant, from);
  }

  get #servesSoon(): boolean {
    const { state } = this.#lifecycle.phase;
    return state === ClusterState.RECOVERING || state === ClusterState.VERIFYING;
  }

  /**
   * Lets a client wait until it can be served. It is not refused before the time when it may ask again:
   * after a failure, most recoveries end sooner.
   */
  #wait(connection: Connection): Promise<void> {
    if (this.#waiting.has(connection)) throw refusal("already waiting for an answer");
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        this.#waiting.delete(connection);
        resolve();
      };
      const cancel = this.#cluster.env.setTimer(RECONNECTION_DELAY, done);
      this.#waiting.set(connection, done);
    });
  }

  /** Clients that wait get their answer. */
  stopWaiting(): void {
    for (const done of [...this.#waiting.values()]) done();
  }

  #admitApplicant(applicant: Applicant, from: Request<"RequestIdentification">): void {
    const { connection } = from;
    const known = this.#match(applicant, connection);
    const state = this.#admit(applicant, known);
    const node = this.#register(applicant, known, state);
    if (state === NodeState.DOWN) this.#addCells(node, applicant.extra.newNid);

    node.connection = connection;
    connection.identified(nodeName(node.nid), node.type);
    connection.handler = this.#handlerOf(node);
    const { notifier, self } = this.#cluster;
    from.answer({ type: NodeType.MASTER, nid: self.nid, yourNid: node.nid });
    notifier.welcome(node);
    if (node.type === NodeType.STORAGE) this.#lifecycle.phase.storageJoined(node);
    else if (node.type === NodeType.MASTER) this.#masterJoined(node);
    else notifier.sendTable(node);
  }

  #masterJoined({ address }: Node): void {
    if (address !== null) this.#election.won(address);
    this.#mastersChanged();
  }

  /** Checks what does not depend on the nodes that are known. */
  #check(args: ArgsOf<"RequestIdentification">): Applicant {
    const { type, address, cluster } = args;
    const { options, self, temporaryIds } = this.#cluster;
    if (this.#lifecycle.ending) throw new Refusal(ErrorCode.NOT_READY, "the cluster is stopping");
    if (cluster !== options.cluster) throw refusal(`invalid cluster name '${cluster}'`);
    if (address !== null && sameAddress(address, self.address)) {
      throw refusal(`address conflict: ${formatAddress(address)} is the master's`);
    }
    if (type === NodeType.MASTER) candidacyOf(args);
    if (type === NodeType.CLIENT && address !== null) {
      throw refusal("clients have no address, because nobody connects to them");
    }
    if (args.nid !== null && nodeTypeOf(args.nid) !== type) {
      throw refusal(`${nodeName(args.nid)} is not the id of a ${NodeType[type].toLowerCase()}`);
    }
    const extra = parseExtra(args.extra);
    const displaced = type === NodeType.STORAGE && address !== null &&
      temporaryIds.takeDisplaced(address);
    return { type, nid: displaced ? null : args.nid, address, extra };
  }

  /**
   * The known node that introduces itself, `null` for a new one. An older connection of that same
   * node is closed: its other end does not exist any more.
   *
   * @throws {Refusal} if the id or the address is another node's.
   */
  #match({ type, nid, address }: Applicant, connection: Connection): Node | null {
    const { nodes, self, table, temporaryIds } = this.#cluster;
    const claimed = nid === null ? undefined : nodes.get(nid);
    const byNid = this.#isTaken(claimed, address) ? undefined : claimed;
    const byAddress = address === null ? undefined : nodes.at(address);
    if (address !== null && byAddress !== undefined) {
      const older = byAddress.connection;
      if (older !== null) {
        // Others get their ids from the primary, and may have forgotten them.
        const hasCells = byAddress.nid !== null && table.hasNode(byAddress.nid);
        const forgetful = byAddress.type === type &&
          (type !== NodeType.STORAGE || nid === null && !hasCells);
        const same = byAddress === byNid || forgetful;
        if (!same || !comesFromSameHost(older, connection)) throw this.#conflict(byAddress);
        this.#cluster.env.log.info(`${byAddress} is back before its loss was noticed`);
        older.close();
        // Forgotten by that, unless it has cells.
        return nodes.at(address) ?? null;
      }
      if (byAddress === byNid) return byAddress;
      if (byNid !== undefined && this.#yields(byAddress, byNid)) return byNid;
      if (byNid !== undefined && byNid.nid !== null && byNid.nid > 0) throw this.#conflict(byNid);
      // The address changed hands: a node of the table keeps its id, which nobody else may get.
      const lost = byAddress.type !== type ||
        (byAddress.nid !== null && table.hasNode(byAddress.nid));
      return lost ? null : byAddress;
    }
    if (byNid === undefined || byNid === self) return null;
    if (byNid.connection === null) return byNid;
    if (byNid.type !== NodeType.STORAGE) return null;
    if (!temporaryIds.isContestable(byNid)) throw this.#conflict(byNid);
    temporaryIds.displace(byNid);
    return byNid;
  }

  /**
   * Whether an id belongs to another storage by now. A storage that had no cells was forgotten while it
   * was away, although it has a table and remembers the id; without data, one is as good as another.
   */
  #isTaken(owner: Node | undefined, address: Address | null): boolean {
    const { state, table } = this.#cluster;
    return owner?.type === NodeType.STORAGE && owner.connection !== null && owner.nid !== null &&
      state !== ClusterState.RECOVERING && !table.hasNode(owner.nid) &&
      !sameAddress(owner.address, address);
  }

  /**
   * Whether an address goes back to a storage with cells. While that was away, somebody may have started
   * another database there, which got another id: it is forgotten, unless it takes part.
   */
  #yields(former: Node, owner: Node): boolean {
    const { notifier, nodes, table } = this.#cluster;
    if (owner.type !== NodeType.STORAGE || former.type !== NodeType.STORAGE) return false;
    const hasCells = ({ nid }: Node) => nid !== null && table.hasNode(nid);
    if (owner.connection !== null || !hasCells(owner) || hasCells(former)) return false;
    if (former.nid !== null && table.hasMember(former.nid)) return true;
    former.state = NodeState.UNKNOWN;
    const announcement = notifier.announcement(former);
    nodes.remove(former);
    notifier.announce([announcement]);
    return true;
  }

  #conflict(node: Node): Refusal {
    return refusal(`already connected: ${node} has this id or this address`);
  }

  /** The state of the node. A storage without address asks for an id and goes away: it is down. */
  #admit({ type, nid, address, extra }: Applicant, known: Node | null): NodeState {
    const { phase } = this.#lifecycle;
    if (type === NodeType.CLIENT) phase.admitClient(nid);
    if (type === NodeType.MASTER && known === null && tooManyMasters(this.#cluster.nodes)) {
      throw refusal("too many masters are known");
    }
    if (type === NodeType.MASTER) phase.admitMaster();
    if (type !== NodeType.STORAGE) return NodeState.RUNNING;
    if (address === null) {
      phase.admitClone();
      if (nid !== null) throw refusal("a storage with an id must tell its address");
      if (extra.newNid.length === 0) {
        throw refusal("a storage without address must tell for which partitions it needs an id");
      }
      const { partitions } = this.#cluster.table;
      for (const partition of extra.newNid) {
        if (partition >= partitions) throw refusal(`there is no partition ${partition}`);
      }
      return NodeState.DOWN;
    }
    if (nid !== null && this.#cluster.leaving.has(nid)) {
      throw new Refusal(ErrorCode.NOT_READY, `${nodeName(nid)} is being removed`);
    }
    const member = known !== null && nid !== null && this.#cluster.table.hasMember(nid);
    return phase.admitStorage(nid, member);
  }

  /** Updates the node, or creates it, and tells the others about it. */
  #register({ type, nid, address, extra }: Applicant, known: Node | null, state: NodeState): Node {
    const { nodes, notifier, state: clusterState, temporaryIds } = this.#cluster;
    const assigned = this.#assign(type, nid, known);
    const previous = address === null ? undefined : nodes.at(address);
    const node = known ?? nodes.create(type, assigned, address);
    if (known !== null) nodes.setIds(known, assigned, address);
    const unknownTable = clusterState === ClusterState.RECOVERING;
    if (type === NodeType.STORAGE && assigned !== nid && unknownTable) temporaryIds.issue(node);
    this.#cluster.setExtra(node, extra);
    node.idTimestamp = notifier.now();
    node.state = state;
    const changes: Announcement[] = [notifier.announcement(node)];
    // After the one that took its address, which others would take for it otherwise.
    if (previous !== undefined && previous !== node) changes.push(notifier.announcement(previous));
    notifier.announce(changes);
    return node;
  }

  /** The id asked for if it is free, else the first free one. */
  #assign(type: NodeType, nid: Nid | null, known: Node | null): Nid {
    const { nodes } = this.#cluster;
    const isFree = (id: Nid) => {
      const owner = nodes.get(id);
      return owner === undefined || owner === known;
    };
    if (nid !== null && isFree(nid)) return nid;
    for (let n = 1;; n++) if (isFree(nidOf(type, n))) return nidOf(type, n);
  }

  /** A clone has the data of these partitions up to some moment, and will replicate the rest. */
  #addCells({ nid }: Node, partitions: readonly number[]): void {
    if (nid === null) return;
    const cells = [...new Set(partitions)].map((partition) => (
      { partition, nid, state: CellState.OUT_OF_DATE }
    ));
    this.#cluster.notifier.changeTable(cells);
  }

  #handlerOf(node: Node): Handler {
    const { phase } = this.#lifecycle;
    if (node.type === NodeType.STORAGE) return phase.storageHandler(node);
    if (node.type === NodeType.CLIENT) return phase.clientHandler(node);
    if (node.type === NodeType.MASTER) return new QueryHandler(this.#cluster);
    return new AdminHandler(this.#cluster, this.#lifecycle, node);
  }
}

/**
 * Whether two connections come from one machine. Two machines may tell the same address by mistake:
 * they must not disconnect each other for ever.
 */
function comesFromSameHost(a: Connection, b: Connection): boolean {
  const host = ({ remote }: Connection) => remote.slice(0, remote.lastIndexOf(":"));
  return host(a) === host(b);
}
