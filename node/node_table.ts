/**
 * The nodes that a node knows.
 *
 * @module
 */

import { NodeState, NodeType } from "../protocol/enums.ts";
import { ProtocolError } from "../protocol/errors.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import {
  type Address,
  formatAddress,
  type Nid,
  type NodeDescription,
  nodeName,
} from "../protocol/nodes.ts";
import type { Connection } from "../network/connection.ts";

/** A known node. Its ids change only through the table that indexes them. */
export class Node {
  state: NodeState = NodeState.DOWN;
  idTimestamp: number | null = null;
  /** The identified connection with it. */
  connection: Connection | null = null;
  #address: Address | null = null;
  #nid: Nid | null = null;

  constructor(readonly type: NodeType) {}

  get address(): Address | null {
    return this.#address;
  }

  get nid(): Nid | null {
    return this.#nid;
  }

  /** What others are told. */
  describe(): NodeDescription {
    const { type, address, nid, state, idTimestamp } = this;
    return { type, address, nid, state, idTimestamp };
  }

  /** `S1 (127.0.0.1:20000)`, for logs. */
  toString(): string {
    const address = this.#address === null ? "" : ` (${formatAddress(this.#address)})`;
    return nodeName(this.#nid) + address;
  }

  /** For {@linkcode NodeTable} only. */
  setIds(nid: Nid | null, address: Address | null): void {
    this.#nid = nid;
    this.#address = address;
  }
}

/** A change of the table made by a notification of the primary master. */
export interface NodeChange {
  /** Its state is `UNKNOWN` if it was removed. */
  readonly node: Node;
  /** `null` if it was not known. */
  readonly previous: NodeState | null;
}

/** Known nodes, indexed by id and by address. */
export class NodeTable {
  readonly #nodes = new Set<Node>();
  readonly #byNid = new Map<Nid, Node>();
  readonly #byAddress = new Map<string, Node>();
  #timestamp = 0;
  #complete = false;

  /** The timestamp of the last notification applied, 0 if there is none. */
  get timestamp(): number {
    return this.#timestamp;
  }

  /** The node of an id. */
  get(nid: Nid): Node | undefined {
    return this.#byNid.get(nid);
  }

  /** The node that listens to an address. */
  at(address: Address): Node | undefined {
    return this.#byAddress.get(formatAddress(address));
  }

  /** All nodes, or those of a type. */
  *list(type?: NodeType): IterableIterator<Node> {
    for (const node of this.#nodes) if (type === undefined || node.type === type) yield node;
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** Adds a node. */
  create(type: NodeType, nid: Nid | null, address: Address | null): Node {
    const node = new Node(type);
    this.#nodes.add(node);
    this.setIds(node, nid, address);
    return node;
  }

  /** The node of an address, created as a master that is down if it is not known. */
  ensureMaster(address: Address): Node {
    return this.at(address) ?? this.create(NodeType.MASTER, null, address);
  }

  /** The node of an id, created as a storage that is down if it is not known. */
  ensureStorage(nid: Nid): Node {
    return this.get(nid) ?? this.create(NodeType.STORAGE, nid, null);
  }

  /** Forgets a node. */
  remove(node: Node): void {
    this.setIds(node, null, null);
    this.#nodes.delete(node);
  }

  /** Gives a node other ids. Another node that had one of them loses it. */
  setIds(node: Node, nid: Nid | null, address: Address | null): void {
    if (node.nid !== null && this.#byNid.get(node.nid) === node) this.#byNid.delete(node.nid);
    if (node.address !== null) {
      const key = formatAddress(node.address);
      if (this.#byAddress.get(key) === node) this.#byAddress.delete(key);
    }
    node.setIds(nid, address);
    if (nid !== null) {
      const other = this.#byNid.get(nid);
      if (other !== undefined) other.setIds(null, other.address);
      this.#byNid.set(nid, node);
    }
    if (address !== null) {
      const key = formatAddress(address);
      const other = this.#byAddress.get(key);
      if (other !== undefined) other.setIds(other.nid, null);
      this.#byAddress.set(key, node);
    }
  }

  /** Expects a complete list: the next notification is the first one of a session. */
  beginSession(): void {
    this.#timestamp = 0;
    this.#complete = false;
  }

  /**
   * Applies a notification of the primary master.
   *
   * The first one of a session is complete: nodes that it does not mention are forgotten, unless
   * `keep` wants them (storages in the partition table).
   *
   * @returns what changed, in the order of the notification; forgotten nodes last.
   * @throws {ProtocolError} if the timestamp did not increase.
   */
  update(
    { timestamp, nodes }: ArgsOf<"NotifyNodeInformation">,
    keep: (node: Node) => boolean,
  ): NodeChange[] {
    if (timestamp <= this.#timestamp) {
      throw new ProtocolError(`node information is older than the previous one: ${timestamp}`);
    }
    this.#timestamp = timestamp;
    const changes: NodeChange[] = [];
    const mentioned = new Set<Node>();
    for (const description of nodes) {
      const change = this.#apply(description);
      if (change === null) continue;
      changes.push(change);
      mentioned.add(change.node);
    }
    if (!this.#complete) {
      this.#complete = true;
      for (const node of [...this.#nodes]) {
        if (mentioned.has(node) || keep(node)) continue;
        changes.push(this.#forget(node));
      }
    }
    return changes;
  }

  #apply({ type, address, nid, state, idTimestamp }: NodeDescription): NodeChange | null {
    const byAddress = address === null ? undefined : this.at(address);
    const byNid = nid === null ? undefined : this.get(nid);
    // Two nodes match: the one at that address is the node, the other one lost its id to it.
    let node = byAddress ?? byNid;
    if (node !== undefined && node.type !== type) {
      this.remove(node);
      node = undefined;
    }
    if (state === NodeState.UNKNOWN) return node === undefined ? null : this.#forget(node);
    const previous = node?.state ?? null;
    node ??= this.create(type, nid, address);
    this.setIds(node, nid, address ?? (node.type === NodeType.STORAGE ? node.address : null));
    node.state = state;
    node.idTimestamp = idTimestamp;
    return { node, previous };
  }

  #forget(node: Node): NodeChange {
    const previous = node.state;
    this.#nodes.delete(node);
    if (node.nid !== null && this.#byNid.get(node.nid) === node) this.#byNid.delete(node.nid);
    if (node.address !== null) this.#byAddress.delete(formatAddress(node.address));
    node.state = NodeState.UNKNOWN;
    return { node, previous };
  }
}
