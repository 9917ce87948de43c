/**
 * Values as operators write them in the arguments of commands.
 *
 * @module
 */

import { InvalidValueError } from "../node/errors.ts";
import { ClusterState, NodeType } from "../protocol/enums.ts";
import { MAX_TID, type Tid, tidFromTime, toTid } from "../protocol/ids.ts";
import { type Nid, parseNodeName } from "../protocol/nodes.ts";

/** The end of the year 9999: what comes later is no date but a tid without its prefix. */
const MAX_TIME = 253_402_300_800;

/** The syntax of tids, for the help. */
export const TID_SYNTAX = `\
A TID is 'tid:' followed by an integer (0x… in hexadecimal, 0o… in octal, 0b… in binary, or decimal),
or a date as a UNIX timestamp (UTC) that may have a fraction: tid:0x3937af2eeeeeeee,
tid:257684787499560686 and 1325421296 are the same. A NODE is a letter and a number: S1, M2.`;

/**
 * Reads a tid: `tid:` and an integer, or a UNIX timestamp.
 *
 * @throws {InvalidValueError} if it is neither.
 * @example
 * ```ts
 * import { parseTid } from "./values.ts";
 * parseTid("1325421296") === parseTid("tid:0x3937af2eeeeeeee"); // true
 * ```
 */
export function parseTid(text: string): Tid {
  const prefixed = /^tid:(.*)$/is.exec(text);
  if (prefixed !== null) return parseInteger(text, prefixed[1] ?? "");
  if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) {
    throw new InvalidValueError(
      `'${text}' is not a TID: expected tid: and an integer, or a UNIX timestamp`,
    );
  }
  const time = Number(text);
  if (time >= MAX_TIME) {
    throw new InvalidValueError(
      `'${text}' is too late for a UNIX timestamp: write tid:${text} if it is a TID`,
    );
  }
  return tidFromTime(time);
}

function parseInteger(text: string, digits: string): Tid {
  // Zeros in front would hide a hexadecimal number whose prefix was forgotten.
  if (!/^(0x[\da-f]+|0o[0-7]+|0b[01]+|0|[1-9]\d*)$/i.test(digits)) {
    throw new InvalidValueError(
      `'${text}' is not a TID: expected an integer after tid:, with 0x in front if hexadecimal`,
    );
  }
  const value = BigInt(digits.toLowerCase());
  if (value > MAX_TID) throw new InvalidValueError(`'${text}' is too large for a TID`);
  return toTid(value);
}

/** Reads the name of a node. @throws {InvalidValueError} if it is not one. */
export function parseNode(text: string): Nid {
  const nid = parseNodeName(text);
  if (nid !== null) return nid;
  throw new InvalidValueError(
    `'${text}' is not a node: expected S, M, C or A and a number, as in S1`,
  );
}

/** Reads the name of a type of nodes, in any case. @throws {InvalidValueError} if it is not one. */
export function parseNodeType(text: string): NodeType {
  return parseMember(NodeType, "type of nodes", text);
}

/** Reads the name of a cluster state, in any case. @throws {InvalidValueError} if it is not one. */
export function parseClusterState(text: string): ClusterState {
  return parseMember(ClusterState, "cluster state", text);
}

function parseMember<Member extends number>(
  members: Readonly<Record<string, string | Member>>,
  what: string,
  text: string,
): Member {
  // Numeric enumerations also map numbers to names.
  const member = members[text.toUpperCase()];
  if (typeof member === "number") return member;
  const names = Object.values(members).filter((name) => typeof name === "string");
  throw new InvalidValueError(
    `'${text}' is not a ${what}: expected ${names.map((name) => name.toLowerCase()).join(", ")}`,
  );
}

/** Reads the number of a partition. @throws {InvalidValueError} if it is not one. */
export function parsePartition(text: string): number {
  const partition = /^\d{1,10}$/.test(text) ? Number(text) : Infinity;
  if (partition <= 0xffff_ffff) return partition;
  throw new InvalidValueError(`'${text}' is not a partition: expected a decimal number`);
}
