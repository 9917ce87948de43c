/**
 * Node ids, addresses and node descriptions.
 *
 * @module
 */

import { NodeState, NodeType } from "./enums.ts";

/**
 * Node id, a signed 32-bit number whose high byte is the namespace of the node's type. Ids of
 * storages (positive) are persistent, the others are only valid while the primary knows the node.
 */
export type Nid = number;

/** A numeric host (never a name) and a port. */
export interface Address {
  /** IPv4 or IPv6. */
  readonly host: string;
  /** From 0 to 65535. */
  readonly port: number;
}

/** What nodes tell each other about a node. */
export interface NodeDescription {
  readonly type: NodeType;
  /** `null` for clients. */
  readonly address: Address | null;
  /** `null` for a master that is only known by its address. */
  readonly nid: Nid | null;
  readonly state: NodeState;
  /** Time of the last identification in seconds since the Unix epoch; relayed bit for bit. */
  readonly idTimestamp: number | null;
}

const NAMESPACE: Readonly<Record<NodeType, number>> = {
  [NodeType.STORAGE]: 0,
  [NodeType.MASTER]: -0x10,
  [NodeType.CLIENT]: -0x20,
  [NodeType.ADMIN]: -0x30,
};

const LETTER: Readonly<Record<NodeType, string>> = {
  [NodeType.MASTER]: "M",
  [NodeType.STORAGE]: "S",
  [NodeType.CLIENT]: "C",
  [NodeType.ADMIN]: "A",
};

/** The `n`-th id (from 1) of a type. */
export function nidOf(type: NodeType, n: number): Nid {
  return NAMESPACE[type] * 2 ** 24 + n;
}

/** The type whose namespace contains an id, `null` for an id of no namespace. */
export function nodeTypeOf(nid: Nid): NodeType | null {
  if (!Number.isInteger(nid) || nid === 0) return null;
  if (nid > 0) return nid <= 0x0fff_ffff ? NodeType.STORAGE : null;
  if (nid >= -0x0fff_ffff) return NodeType.MASTER;
  if (nid >= -0x1fff_ffff && nid <= -0x1000_0001) return NodeType.CLIENT;
  if (nid >= -0x2fff_ffff && nid <= -0x2000_0001) return NodeType.ADMIN;
  return null;
}

/**
 * The short name of a node.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { nodeName } from "./nodes.ts";
 * assert.equal(nodeName(-536870911), "C1");
 * assert.equal(nodeName(null), "None");
 * ```
 */
export function nodeName(nid: Nid | null): string {
  if (nid === null) return "None";
  const type = nodeTypeOf(nid);
  return type === null ? String(nid) : LETTER[type] + (nid & 0xffffff);
}

/** The id written as `S1`, `M2`…, or `null` if the text is not the name of a node. */
export function parseNodeName(name: string): Nid | null {
  const match = /^([SMCA])([1-9]\d{0,7})$/.exec(name);
  if (match === null) return null;
  const n = Number(match[2]);
  if (n > 0xffffff) return null;
  for (const type of [NodeType.MASTER, NodeType.STORAGE, NodeType.CLIENT, NodeType.ADMIN]) {
    if (LETTER[type] === match[1]) return nidOf(type, n);
  }
  return null;
}

/** `host:port`, or `[host]:port` for IPv6. Equal addresses have equal texts: use it as a map key. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether two addresses are the same, `null` being equal to nothing but `null`. */
export function sameAddress(a: Address | null, b: Address | null): boolean {
  return a === null || b === null ? a === b : a.host === b.host && a.port === b.port;
}
