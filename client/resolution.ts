/**
 * Resolving conflicts: merging what two transactions made of the same revision of an object.
 *
 * @module
 */

import { type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { ConflictError, type ConflictingSerials } from "./errors.ts";
import type { Services } from "./services.ts";
import { abortable } from "./waiting.ts";

/** An object that two transactions changed. */
export interface Conflict {
  /** Which object. */
  readonly oid: Oid;
  /** The revision that both are based on, `ZERO_TID` if the object did not exist. */
  readonly oldSerial: Tid;
  /** The revision that the other transaction committed. */
  readonly committedSerial: Tid;
  /** Data of `oldSerial`; `null` if the object did not exist. */
  readonly oldData: Uint8Array | null;
  /** What this transaction wants to store. */
  readonly newData: Uint8Array;
  /** Data of `committedSerial`; `null` if the other transaction deleted the object. */
  readonly committedData: Uint8Array | null;
}

/**
 * Merges two changes of an object. Returns the data to store on top of `committedSerial`, or `null` if
 * they can't be merged. What it throws becomes the cause of a `ConflictError`.
 *
 * It may be called several times for the same object, as others may commit while it works. After some
 * times the object is locked meanwhile, so that a slow function is not overtaken for ever.
 *
 * @example Counters, whose increments add up
 * ```ts
 * import assert from "node:assert/strict";
 * import type { ConflictResolver } from "./mod.ts";
 *
 * const count = (data: Uint8Array | null) => Number(new TextDecoder().decode(data ?? undefined));
 * const addUp: ConflictResolver = ({ oldData, newData, committedData }) =>
 *   new TextEncoder().encode(`${count(committedData) + count(newData) - count(oldData)}`);
 *
 * const [oldData, newData, committedData] = ["5", "6", "8"].map((n) => new TextEncoder().encode(n));
 * const merged = await addUp({ oldData, newData, committedData } as Parameters<typeof addUp>[0]);
 * assert.equal(count(merged), 9);
 * ```
 */
export type ConflictResolver = (
  conflict: Conflict,
) => Uint8Array | null | Promise<Uint8Array | null>;

/** Data of the revisions concerned, where it is not what the database has. */
export interface KnownData {
  readonly committedData?: Uint8Array | null;
}

/**
 * What to store on top of the committed revision.
 *
 * @throws {ConflictError} if it can't be merged.
 * @throws the signal's reason.
 */
export async function resolveConflict(
  services: Services,
  resolver: ConflictResolver | null,
  oid: Oid,
  serials: ConflictingSerials,
  newData: Uint8Array | null,
  signal: AbortSignal | undefined,
  known: KnownData = {},
): Promise<Uint8Array> {
  const { view, primary, objects } = services;
  const { current, given } = serials;
  if (newData === null || resolver === null) throw new ConflictError(oid, serials, newData);
  // What was committed must be visible before it is loaded.
  if ((view.lastTid ?? ZERO_TID) < current) await primary.sync(signal);
  const dataOf = (serial: Tid) =>
    serial === ZERO_TID ? Promise.resolve(null) : objects.dataOf(oid, serial, signal);
  let merged;
  try {
    const [oldData, committedData] = await Promise.all([
      dataOf(given),
      known.committedData === undefined ? dataOf(current) : known.committedData,
    ]);
    const conflict: Conflict = {
      oid,
      oldSerial: given,
      committedSerial: current,
      oldData,
      newData,
      committedData,
    };
    merged = await abortable(Promise.resolve(resolver(conflict)), signal);
    if (merged !== null && !(merged instanceof Uint8Array)) {
      throw new TypeError("a conflict must be resolved to a Uint8Array or null");
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new ConflictError(oid, serials, newData, { cause: error });
  }
  if (merged === null) throw new ConflictError(oid, serials, newData);
  return merged;
}
