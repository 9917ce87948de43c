/**
 * An operator who changes the cluster while it works.
 *
 * @module
 */

import { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import { ConnectionClosed, ErrorAnswer } from "../network/handler.ts";
import { ClusterState, isReadable, NodeState, NodeType } from "../protocol/enums.ts";
import { type Address, type Nid, sameAddress } from "../protocol/nodes.ts";
import type { SimulatedNode } from "./node.ts";
import type { Process } from "./machine.ts";
import type { OperatorAction, Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import type { Trace } from "./trace.ts";

/** What an operator works with. */
export interface OperatorContext {
  readonly plan: Plan;
  readonly admin: Address;
  /** Storages that nobody has started yet. */
  readonly spares: readonly SimulatedNode[];
  /** Empties the machine of a storage that is not part of the cluster any more, which may then join again. */
  readonly recycle: (nid: Nid, address: Address | null) => void;
  readonly trace: Trace;
}

/** Gives orders to an admin, one after the other. */
export class Operator {
  readonly #env: Environment;
  readonly #random: Random;
  readonly #context: OperatorContext;
  /** Storages of which it is not known whether they were dropped, with their former addresses. */
  readonly #doubtful = new Map<Nid, Address | null>();
  #stopping = false;

  constructor({ env }: Process, random: Random, context: OperatorContext) {
    this.#env = env;
    this.#random = random;
    this.#context = context;
  }

  /** Works until it is stopped. */
  async work(): Promise<void> {
    const { operatorActions: actions, operatorPeriod } = this.#context.plan;
    while (actions.length > 0) {
      await this.#pause(this.#random.exponential(operatorPeriod));
      if (this.#stopping) return;
      const action = this.#random.pick(actions);
      try {
        this.#context.trace.note(`the operator: ${action}: ${await this.#act(action)}`);
      } catch (error) {
        // Refusals are for the operator to read, and admins may be unreachable.
        const known = error instanceof ErrorAnswer || error instanceof ConnectionClosed;
        if (!known && !(error instanceof Error && /^connection/.test(error.message))) throw error;
        this.#context.trace.note(`the operator: ${action} fails: ${error.message}`);
      }
    }
  }

  /** Gives no more orders. */
  stop(): void {
    this.#stopping = true;
  }

  async #act(action: OperatorAction): Promise<string> {
    const { spares, admin } = this.#context;
    if (action === "start a storage") {
      const spare = spares.find(({ started }) => !started);
      spare?.start();
      return spare === undefined ? "there is none" : spare.name;
    }
    const transport = await this.#env.connect(admin);
    const connection = new Connection(this.#env, transport, { connecting: true, handler: {} });
    const cancel = this.#env.setTimer(5_000, () => connection.close());
    try {
      await this.#decideDoubtful(connection);
      return await this.#order(connection, action);
    } finally {
      cancel();
      connection.close();
    }
  }

  async #order(connection: Connection, action: Exclude<OperatorAction, "start a storage">) {
    switch (action) {
      case "add storages": {
        return await connection.command("AddPendingNodes", {
          nids: await this.#pending(connection),
        });
      }
      case "tweak the table": {
        const { changed } = await connection.ask("TweakPartitionTable", {
          dryRun: false,
          excluded: [],
        });
        return String(changed);
      }
      case "change replicas": {
        const replicas = this.#random.int(0, 2);
        return await connection.command("SetNumReplicas", { replicas });
      }
      case "stop a storage":
        return await this.#setState(connection, NodeState.DOWN);
      case "drop a storage":
        return await this.#setState(connection, NodeState.UNKNOWN);
    }
  }

  async #setState(connection: Connection, state: NodeState): Promise<string> {
    const { nodes } = await connection.ask("AskNodeList", { type: NodeType.STORAGE });
    if (nodes.length === 0) return "there is none";
    const { nid, address } = this.#random.pick(nodes);
    if (nid === null) return "it has no id";
    if (state === NodeState.UNKNOWN && await this.#mayBeNeeded(connection, nid)) {
      return "it may have what nobody else has";
    }
    if (state === NodeState.DOWN) return await connection.command("SetNodeState", { nid, state });
    this.#doubtful.set(nid, address);
    const result = await connection.command("SetNodeState", { nid, state }).catch((error) => {
      const isRefusal = error instanceof ErrorAnswer &&
        !/see whether|not known/.test(error.message);
      if (isRefusal) this.#doubtful.delete(nid);
      throw error;
    });
    this.#doubtful.delete(nid);
    this.#context.recycle(nid, address);
    return result;
  }

  /** Looks again whether storages were dropped when the answer did not tell. */
  async #decideDoubtful(connection: Connection): Promise<void> {
    if (this.#doubtful.size === 0) return;
    // Before, a master may not know all nodes.
    const { state } = await connection.ask("AskClusterState", {});
    if (state !== ClusterState.RUNNING) return;
    const { nodes } = await connection.ask("AskNodeList", { type: NodeType.STORAGE });
    for (const [nid, former] of this.#doubtful) {
      const present = nodes.find((node) => node.nid === nid);
      // Where it is not known where it was, whoever has its id now may be the same.
      const same = former === null || !present?.address || sameAddress(present.address, former);
      if (present === undefined || !same) this.#context.recycle(nid, former);
      this.#doubtful.delete(nid);
    }
  }

  /** A cluster that recovers believes who drops a storage with cells that can be read. */
  async #mayBeNeeded(connection: Connection, nid: Nid): Promise<boolean> {
    const { rows } = await connection.ask("AskPartitionList", { min: 0, max: 0, nid: null });
    const cells = rows.flat();
    return cells.length === 0 || cells.some((cell) => cell.nid === nid && isReadable(cell.state));
  }

  async #pending(connection: Connection): Promise<Nid[]> {
    const { nodes } = await connection.ask("AskNodeList", { type: NodeType.STORAGE });
    return nodes.flatMap(({ nid, state }) =>
      nid !== null && state === NodeState.PENDING ? [nid] : []
    );
  }

  #pause(delay: number): Promise<void> {
    return new Promise((resolve) => void this.#env.setTimer(delay, resolve));
  }
}
