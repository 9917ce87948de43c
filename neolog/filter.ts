/**
 * Which records are shown.
 *
 * @module
 */

import { codecOfCode } from "../protocol/codec.ts";
import type { NeologOptions } from "./options.ts";
import type { LogRecord } from "./records.ts";
import { containsId, decodeArguments } from "./values.ts";

/** What `-n` is given to hide the column of nodes. */
export const NO_NODE_COLUMN = "-";

/** The name of a message by its code. */
export function messageName(code: number): string {
  return codecOfCode(code)?.name ?? `UnknownPacket[${code}]`;
}

/** Tells whether a record is to be shown. */
export function recordFilter(
  { node, message, tid, oid }: Pick<NeologOptions, "node" | "message" | "tid" | "oid">,
): (record: LogRecord) => boolean {
  const nodes = new Set(node.filter((name) => name !== NO_NODE_COLUMN));
  const patterns = message.map((pattern) =>
    new RegExp(`^${pattern.split("*").map(RegExp.escape).join(".*")}$`)
  );
  const ids = [tid, oid].filter((id) => id !== null);
  return (record) => {
    if (nodes.size > 0 && !nodes.has(record.node)) return false;
    if (patterns.length > 0) {
      if (record.kind === "text") return false;
      const name = messageName(record.code);
      if (!patterns.some((pattern) => pattern.test(name))) return false;
    }
    return ids.every((id) => mentions(record, id));
  };
}

function mentions(record: LogRecord, id: bigint): boolean {
  if (record.kind === "text") {
    const digits = id.toString(16);
    const hexadecimal = new RegExp(
      `(0x0*${digits}|(?<![0-9a-f])${digits.padStart(16, "0")})(?![0-9a-f])`,
      "i",
    );
    return hexadecimal.test(record.message);
  }
  if (record.body === null) return false;
  try {
    return containsId(decodeArguments(record.body), id);
  } catch {
    return false;
  }
}
