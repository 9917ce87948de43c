/**
 * Ids of storages while the partition table is not known.
 *
 * An id that was given may turn out to belong to a storage of the table that was not there yet. The
 * newcomer then has to give it back, which it can only do by identifying again. The same goes for a
 * storage that asks for an id without having a table: it may have been given by a master that had
 * nothing to do with the cluster, and which gave the same id to others.
 *
 * @module
 */

import type { Node } from "../node/node_table.ts";
import { type Address, formatAddress } from "../protocol/nodes.ts";

/** Remembers which ids may have to be given back, and who has to get another one. */
export class TemporaryIds {
  readonly #issued = new Set<Node>();
  readonly #unproven = new Set<Node>();
  readonly #displaced = new Set<string>();

  /** The node did not ask for its id. */
  issue(node: Node): void {
    this.#issued.add(node);
  }

  /** No table shows that the id of the node is its own. */
  doubt(node: Node): void {
    this.#unproven.add(node);
  }

  /** The node has shown that its id is its own. */
  believe(node: Node): void {
    this.#unproven.delete(node);
  }

  /** Whether a node has to leave its id to another one that asks for it. */
  isContestable(node: Node): boolean {
    return this.#issued.has(node) || this.#unproven.has(node);
  }

  /** Whether the id of a node was given to it while the table was not known. */
  has(node: Node): boolean {
    return this.#issued.has(node);
  }

  /** Takes the id from the node, which is disconnected. */
  displace(node: Node): void {
    this.#issued.delete(node);
    this.#unproven.delete(node);
    if (node.address !== null) this.#displaced.add(formatAddress(node.address));
    node.connection?.close();
  }

  /** Whether the storage at this address must get a new id, whatever it asks for. Says so once. */
  takeDisplaced(address: Address): boolean {
    return this.#displaced.delete(formatAddress(address));
  }

  /** The table is known, and with it the ids that are in use. */
  confirm(): void {
    this.#issued.clear();
    this.#unproven.clear();
  }
}
