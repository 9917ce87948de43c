/**
 * The primary master: knows all nodes, owns the partition table, allocates ids and drives commits.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { NodeMeasures } from "../node/measures.ts";
import { type Node, NodeTable } from "../node/node_table.ts";
import { NodeState, NodeType } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import { type Nid, nidOf, nodeName } from "../protocol/nodes.ts";
import { Challenges } from "./challenges.ts";
import { Cluster } from "./cluster.ts";
import { Identification } from "./identification.ts";
import type { Lifecycle, Phase } from "./phase.ts";
import { Patrol } from "./patrol.ts";
import { Recovery } from "./recovery.ts";
import { addMasters, type KnownMaster, type MasterContext, type Role } from "./role.ts";
import { Service, Stopping } from "./service.ts";
import { Verification } from "./verification.ts";

/**
 * The role of a master that knows no other primary. As long as the cluster is being recovered, it may
 * have to give up for another one.
 */
export class Primary implements Role {
  readonly nodes = new NodeTable();
  readonly handler: Identification;
  readonly #context: MasterContext;
  readonly #cluster: Cluster;
  readonly #challenges: Challenges;
  readonly #patrol: Patrol;
  readonly #lifecycle: Lifecycle;
  #phase: Phase;
  /** Connections to wait for before the end; `null` as long as the master works. */
  #closing: Set<Connection> | null = null;

  /** @param masters those known so far. */
  constructor(context: MasterContext, masters: Iterable<KnownMaster>) {
    const { env, options, address } = context;
    this.#context = context;
    addMasters(this.nodes, context, masters);
    const self = this.nodes.ensureMaster(address);
    this.nodes.setIds(self, context.nid ?? freeNid(this.nodes), address);
    this.#cluster = new Cluster(env, options, this.nodes, self);
    this.#cluster.exists = context.clusterExists;
    this.#challenges = new Challenges(context, this.#cluster, env.now());
    this.#patrol = new Patrol(context, this.#cluster, (text) => this.#lifecycle.giveWay(text));
    const phase = () => this.#phase;
    const ending = () => this.#closing !== null;
    this.#lifecycle = {
      verify: () => this.#enter(new Verification(this.#cluster, this.#lifecycle)),
      serve: () => this.#enter(new Service(this.#cluster, this.#lifecycle)),
      recover: (truncateTid) => this.#recover(truncateTid),
      giveWay: (text) => this.#giveWay(text),
      stop: () => this.#stop(),
      end: () => this.#end(),
      fail: (error) => context.fail(error),
      get phase() {
        return phase();
      },
      get ending() {
        return ending();
      },
    };
    this.#phase = new Recovery(this.#cluster, this.#lifecycle);
    this.handler = new Identification(
      this.#cluster,
      this.#lifecycle,
      this.#challenges,
      () => context.mastersChanged(),
    );
  }

  begin(): void {
    const { env, options } = this.#context;
    const { self } = this.#cluster;
    env.log.identify(options.cluster, self.nid);
    env.log.info(`${nodeName(self.nid)} is a primary master, unless another one has precedence`);
    this.#enter(this.#phase);
  }

  end(): void {
    this.#closing ??= new Set();
    this.#challenges.stop();
    this.#patrol.stop();
    this.#cluster.transactions.close();
    this.handler.stopWaiting();
  }

  measure(): NodeMeasures {
    return this.#cluster.measure();
  }

  dump(): string {
    return this.#cluster.dump();
  }

  // Phases

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#cluster.state = phase.state;
    if (!(phase instanceof Recovery)) {
      this.#context.clusterExists = true;
      this.#cluster.exists = true;
    }
    for (const storage of this.#cluster.notifier.identified(NodeType.STORAGE)) {
      if (storage.connection !== null) storage.connection.handler = phase.storageHandler(storage);
    }
    if (phase instanceof Recovery && phase.candidate) this.#challenges.start();
    else this.#challenges.stop();
    if (phase instanceof Service) this.#patrol.start();
    else this.#patrol.stop();
    phase.enter();
    if (this.#phase instanceof Service) this.handler.stopWaiting();
  }

  /** Leaves operation: storages forget what is in progress, clients are disconnected. */
  #recover(truncateTid: Tid | null, kept: ReadonlySet<Nid> | null = null): void {
    const {
      checks,
      delayed,
      leftBehind,
      nodes,
      notifier,
      options,
      packs,
      promotions,
      readiness,
      table,
      transactions,
    } = this.#cluster;
    // This master has seen who left: it need not wait for them, unless they have to truncate too, or one
    // has not heard that others have its data. With other masters it can't be sure: while it was frozen
    // or isolated, one of them may have operated the cluster. It then knows no more than any other new
    // primary.
    const alone = [...nodes.list(NodeType.MASTER)].length === 1;
    const toTruncate = truncateTid ?? this.#cluster.truncateTid;
    const awaited = promotions.awaited();
    this.#cluster.startupAllowed = alone && toTruncate === null && awaited.size === 0;
    if (!alone) {
      table.reset(options.partitions, options.replicas);
      leftBehind.clear();
    }
    transactions.close();
    // The loss of what is closed here changes nothing any more.
    const recovery = new Recovery(this.#cluster, this.#lifecycle, toTruncate, kept, awaited);
    this.#phase = recovery;
    const pending: Node[] = [];
    for (const node of notifier.identified(NodeType.STORAGE, NodeType.CLIENT)) {
      node.connection?.notify("StopOperation", {});
      if (node.type === NodeType.CLIENT) node.connection?.abort();
      else {
        if (truncateTid !== null) node.connection?.notify("Truncate", { tid: truncateTid });
        if (node.state !== NodeState.RUNNING) continue;
        node.state = NodeState.PENDING;
        pending.push(node);
      }
    }
    notifier.changeNodes(...pending);
    readiness.clear();
    delayed.clear();
    packs.clear();
    checks.clear();
    promotions.clear();
    this.#enter(recovery);
  }

  /**
   * Another primary serves too. What was committed on this side must neither be added to nor be
   * overwritten: storages are kept from joining the other side, and wait for an operator.
   */
  #giveWay(text: string): void {
    const { env } = this.#context;
    const { notifier } = this.#cluster;
    const storages = notifier.identified(NodeType.STORAGE);
    // It does not really serve.
    if (storages.length === 0) return this.#recover(null);
    env.log.error(
      `${text}. This master gives way: it serves nobody any more, and keeps ` +
        `${
          storages.join(", ")
        } from joining the other side, which would delete what was committed ` +
        "on this one. An operator has to choose which side remains",
    );
    for (const { connection } of notifier.identified(NodeType.MASTER)) connection?.close();
    this.#recover(null, new Set(storages.flatMap(({ nid }) => nid ?? [])));
  }

  #stop(): void {
    if (this.#phase instanceof Stopping) return;
    const operating = this.#phase instanceof Service;
    this.#enter(new Stopping(this.#cluster, this.#lifecycle, operating));
  }

  /** Tells storages to exit, and waits until all connections are closed. */
  #end(): void {
    if (this.#closing !== null) return;
    const { notifier, transactions } = this.#cluster;
    transactions.close();
    this.#closing = new Set(this.#context.connections);
    for (const storage of notifier.identified(NodeType.STORAGE)) {
      notifier.tellState(storage, NodeState.DOWN, null);
    }
    for (const connection of [...this.#closing]) connection.abort();
    if (this.#closing.size === 0) this.#context.end();
  }

  // Losses

  closed(connection: Connection): void {
    if (this.#closing !== null) {
      this.#closing.delete(connection);
      if (this.#closing.size === 0) this.#context.end();
      return;
    }
    const node = [...this.#cluster.nodes.list()].find((node) => node.connection === connection);
    if (node === undefined) return;
    node.connection = null;
    connection.handler = {};
    this.#context.env.log.info(`${node} is lost`);
    if (node.type === NodeType.STORAGE) this.#phase.storageLost(node, node.nid);
    else if (node.type === NodeType.MASTER) this.#masterLost(node);
    else this.#forget(node, connection);
  }

  /** Masters are remembered: they will come back, or be needed to find the primary. */
  #masterLost(node: Node): void {
    if (node.state !== NodeState.DOWN) {
      node.state = NodeState.DOWN;
      this.#cluster.notifier.changeNodes(node);
    }
    this.#challenges.update();
  }

  /** Forgets a node that is nothing without its connection. */
  #forget(node: Node, connection: Connection): void {
    const { nodes, notifier, packs } = this.#cluster;
    if (node.type === NodeType.CLIENT) {
      packs.connectionLost(connection);
      this.#phase.clientLost(node);
    }
    node.state = NodeState.UNKNOWN;
    const announcement = notifier.announcement(node);
    nodes.remove(node);
    notifier.announce([announcement]);
  }
}

/** The first id of a master that no known one has. */
function freeNid(nodes: NodeTable): Nid {
  let n = 1;
  while (nodes.get(nidOf(NodeType.MASTER, n)) !== undefined) n++;
  return nidOf(NodeType.MASTER, n);
}
