/**
 * The phases of a primary master: recovery, verification, service, stop.
 *
 * @module
 */

import type { Handler } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import type { ClusterState, NodeState } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import type { Nid } from "../protocol/nodes.ts";

/** How the master reacts, at some stage of its life. */
export interface Phase {
  readonly state: ClusterState;
  /** Called once, when the phase is the current one. */
  enter(): void;
  /** What handles the messages of an identified storage. */
  storageHandler(storage: Node): Handler;
  /** What handles the messages of an identified client, where there may be one. */
  clientHandler(client: Node): Handler;
  /**
   * The state that a storage gets when it identifies.
   *
   * @param nid the id it asks for.
   * @param member whether it has a place in the partition table.
   * @throws {Refusal} if storages must come back later.
   */
  admitStorage(nid: Nid | null, member: boolean): NodeState;
  /**
   * Accepts another master as a secondary.
   *
   * @throws {Refusal} if it has to look for another primary.
   */
  admitMaster(): void;
  /**
   * Whether a storage may ask for a new id, for the copy of the database of another one.
   *
   * @throws {Refusal} if it must come back later.
   */
  admitClone(): void;
  /**
   * Accepts a client.
   *
   * @param nid the id it had before, if any.
   * @throws {Refusal} if it must come back later.
   */
  admitClient(nid: Nid | null): void;
  /** A storage was accepted, and told about the nodes. */
  storageJoined(storage: Node): void;
  /**
   * The connection of a storage was lost; it is no more identified.
   *
   * @param nid the id it had: one that was removed has none any more.
   */
  storageLost(storage: Node, nid: Nid | null): void;
  /** A client is about to be forgotten; it is no more identified. */
  clientLost(client: Node): void;
}

/** How phases end. Each call replaces the current phase, so that it must be the last thing done. */
export interface Lifecycle {
  /** The storages needed are there: transactions are verified. */
  verify(): void;
  /** All is verified: clients are served. */
  serve(): void;
  /** The cluster can't be operated any more, or must forget what follows a transaction. */
  recover(truncateTid: Tid | null): void;
  /** Another primary serves, which this master must not do. Storages are kept, with what they have. */
  giveWay(text: string): void;
  /** An operator stops the cluster. */
  stop(): void;
  /** Nothing is in progress any more: storages are told to exit, and the master ends. */
  end(): void;
  /** The master can't go on. */
  fail(error: Error): void;
  /** The current one: a phase that is over must not react to what it waited for. */
  readonly phase: Phase;
  /** Whether the master is about to end. */
  readonly ending: boolean;
}
