/**
 * What nodes tell about themselves when they introduce themselves, besides their ids.
 *
 * @module
 */

import { ProtocolError } from "../protocol/errors.ts";
import type { Anything } from "../protocol/types.ts";
import type { DevicePath } from "./topology.ts";

/** The known keys; others are ignored. */
export interface Extra {
  /** Where a storage is. */
  readonly devpath: DevicePath;
  /** Partitions of a storage that asks for a new id for the copy of another one's database. */
  readonly newNid: readonly number[];
  /** Name of the backup cluster that a client copies for, or names that an admin monitors. */
  readonly backup: readonly string[];
  /** `null` if the client did not say. */
  readonly readOnly: boolean | null;
}

/** Nothing told. */
export const NO_EXTRA: Extra = { devpath: [], newNid: [], backup: [], readOnly: null };

/** Lists longer than this are nonsense. */
const MAX_ITEMS = 1 << 20;

function textOf(key: string, value: Anything): string {
  if (!(value instanceof Uint8Array)) throw new ProtocolError(`extra ${key}: expected text`);
  return new TextDecoder().decode(value);
}

function listOf<T>(key: string, value: Anything, item: (value: Anything) => T): T[] {
  if (!Array.isArray(value) || value.length > MAX_ITEMS) {
    throw new ProtocolError(`extra ${key}: expected a list`);
  }
  return value.map(item);
}

function partitionNumber(value: Anything): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw new ProtocolError("extra new_nid: expected partition numbers");
  }
  return value;
}

/**
 * Reads the last argument of `RequestIdentification`.
 *
 * @throws {ProtocolError} if a known key has a value of the wrong type.
 */
export function parseExtra(extra: ReadonlyMap<string, Anything>): Extra {
  const backup = extra.get("backup");
  const readOnly = extra.get("read_only");
  if (readOnly !== undefined && typeof readOnly !== "boolean") {
    throw new ProtocolError("extra read_only: expected a boolean");
  }
  return {
    devpath: listOf("devpath", extra.get("devpath") ?? [], (item) => textOf("devpath", item)),
    newNid: listOf("new_nid", extra.get("new_nid") ?? [], partitionNumber),
    backup: backup === undefined
      ? []
      : backup instanceof Uint8Array
      ? [textOf("backup", backup)]
      : listOf("backup", backup, (item) => textOf("backup", item)),
    readOnly: readOnly ?? null,
  };
}
