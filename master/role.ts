/**
 * The two roles of a master, primary and secondary, and what they have in common.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import type { Handlers } from "../network/handler.ts";
import type { ConnectionLimiter } from "../network/limiter.ts";
import type { NodeMeasures } from "../node/measures.ts";
import type { NodeTable } from "../node/node_table.ts";
import { NodeState, NodeType } from "../protocol/enums.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { type Address, type Nid, type NodeDescription, sameAddress } from "../protocol/nodes.ts";
import type { MasterOptions } from "./cluster.ts";
import type { MasterLink } from "./master_link.ts";

/** Masters that a master remembers, at most, as they are never forgotten. */
const MAX_MASTERS = 1000;

/** What a master does at a time. Nothing happens any more in a role that ended. */
export interface Role {
  /** The nodes it knows, all masters among them, itself too. */
  readonly nodes: NodeTable;
  /** Handles the first message of those who connect. */
  readonly handler: Handlers<"RequestIdentification">;
  /** Called once, when it is the current role. */
  begin(): void;
  /** A connection that was opened to this master is gone. */
  closed(connection: Connection): void;
  /** Closes what it opened. Connections opened to this master are closed by others. */
  end(): void;
  /** The state of the node, for those who watch over it. */
  measure(): NodeMeasures;
  /** A description for people who look for what goes wrong. */
  dump(): string;
}

/** Another master, as the former role knew it. */
export type KnownMaster = Pick<NodeDescription, "address" | "nid">;

/** The master as its roles see it, which outlives them. */
export interface MasterContext {
  readonly env: Environment;
  readonly options: MasterOptions;
  /** Where it listens. */
  readonly address: Address;
  /** Spaces out the connections to other masters. */
  readonly limiter: ConnectionLimiter;
  /** The id it was given by its operator or by a primary, `null` if none did. */
  nid: Nid | null;
  /** Whether the cluster is known to have a partition table: no new one may take its place. */
  clusterExists: boolean;
  /** The connections that others opened. */
  readonly connections: Iterable<Connection>;
  /**
   * Another master is the primary: becomes a secondary. This ends the current role, so that it must be
   * the last thing done.
   *
   * @param link an open or opening connection to it, to be kept.
   */
  follow(primary: Address, link: MasterLink | null): void;
  /** There is no primary: runs for it. This ends the current role. */
  lead(): void;
  /** The list of known masters may have changed. */
  mastersChanged(): void;
  /** The master ends. */
  end(): void;
  /** The master can't go on. */
  fail(error: Error): void;
}

/** Adds this master and the others it knew in its former role, none of them connected. */
export function addMasters(
  nodes: NodeTable,
  { address, nid }: Pick<MasterContext, "address" | "nid">,
  masters: Iterable<KnownMaster>,
): void {
  for (const { address, nid } of masters) nodes.create(NodeType.MASTER, nid, address);
  const self = nodes.ensureMaster(address);
  if (nid !== null) nodes.setIds(self, nid, address);
  self.state = NodeState.RUNNING;
}

/** How this master introduces itself to another one, as a candidate or not. */
export function introduction(
  { address, nid, options }: MasterContext,
  idTimestamp: number | null,
): ArgsOf<"RequestIdentification"> {
  const { cluster } = options;
  return { type: NodeType.MASTER, nid, address, cluster, idTimestamp, extra: new Map() };
}

/** Whether no other master is to be remembered. */
export function tooManyMasters(nodes: NodeTable): boolean {
  return [...nodes.list(NodeType.MASTER)].length >= MAX_MASTERS;
}

/** Remembers masters that were heard of, as many as is reasonable. Returns whether some are new. */
export function learnMasters(nodes: NodeTable, masters: readonly Address[]): boolean {
  let learnt = false;
  for (const address of masters) {
    if (nodes.at(address) !== undefined) continue;
    if (tooManyMasters(nodes)) break;
    nodes.create(NodeType.MASTER, null, address);
    learnt = true;
  }
  return learnt;
}

/** The addresses of all masters. */
export function masterAddresses(nodes: NodeTable): Address[] {
  return [...nodes.list(NodeType.MASTER)].flatMap(({ address }) => address ?? []);
}

/** Whether an operator told this address. */
export function isConfigured({ options, address }: MasterContext, master: Address): boolean {
  return sameAddress(master, address) ||
    options.masters.some((configured) => sameAddress(configured, master));
}
