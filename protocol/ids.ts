/**
 * Object ids, transaction ids and their arithmetic.
 *
 * Both are unsigned 64-bit numbers, 8 bytes big-endian on the wire and `bigint` in the program, so
 * that they are map keys and compare as numbers. The brands keep them from being mixed up.
 *
 * @module
 */

/** Identifier of an object, `0n` being the root object. Usable values are below 2^63. */
export type Oid = bigint & { readonly brand: "oid" };

/**
 * Identifier of a transaction, which is also the serial of the object revisions it wrote.
 *
 * The high 32 bits count minutes (in months of 31 days) since 1900, the low 32 bits are the position
 * inside the minute in units of 60 / 2^32 seconds. A *ttid* (temporary tid) has the same shape.
 */
export type Tid = bigint & { readonly brand: "tid" };

const U64 = 0xffff_ffff_ffff_ffffn;
const LOW = 0xffff_ffffn;

function checkU64(value: bigint | number, what: string): bigint {
  const id = BigInt(value);
  if (id < 0n || id > U64) throw new RangeError(`${what} must be between 0 and 2^64-1, not ${id}`);
  return id;
}

/**
 * Brands a number as an {@linkcode Oid}.
 *
 * @throws {RangeError} if it is not an unsigned 64-bit number.
 */
export function toOid(value: bigint | number): Oid {
  return checkU64(value, "oid") as Oid;
}

/**
 * Brands a number as a {@linkcode Tid}.
 *
 * @throws {RangeError} if it is not an unsigned 64-bit number.
 */
export function toTid(value: bigint | number): Tid {
  return checkU64(value, "tid") as Tid;
}

/** The root object. */
export const ZERO_OID: Oid = 0n as Oid;
/** "No transaction", and the serial of an object that does not exist yet. */
export const ZERO_TID: Tid = 0n as Tid;
/** The greatest usable tid: back-ends store signed 64-bit numbers. */
export const MAX_TID: Tid = 0x7fff_ffff_ffff_ffffn as Tid;
/** The greatest usable oid, for the same reason. */
export const MAX_OID: Oid = 0x7fff_ffff_ffff_ffffn as Oid;
/** Never on the wire; greater than any tid. */
export const INVALID_TID: Tid = U64 as Tid;
/** Partition number that means "all readable partitions of that node" (`AskTIDs`). */
export const INVALID_PARTITION = 0xffff_ffff;

/** Partition of an oid or a tid among `partitions`. */
export function partitionOf(id: Oid | Tid, partitions: number): number {
  return Number(id % BigInt(partitions));
}

/**
 * Plain addition, for "just after" and "just before" bounds. The result is clamped to 64 bits.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { add64, toTid } from "./ids.ts";
 * assert.equal(add64(toTid(41), 1), 42n);
 * ```
 */
export function add64<Id extends Oid | Tid>(id: Id, delta: bigint | number): Id {
  const sum = id + BigInt(delta);
  return (sum < 0n ? 0n : sum > U64 ? U64 : sum) as Id;
}

/** Sixteen lower-case hexadecimal digits. */
export function hexId(id: Oid | Tid): string {
  return id.toString(16).padStart(16, "0");
}

/** The high word of the tid of a moment: months count 31 days, so some values never occur. */
function minuteNumber(date: Date): number {
  const years = date.getUTCFullYear() - 1900;
  const days = (years * 12 + date.getUTCMonth()) * 31 + date.getUTCDate() - 1;
  return (days * 24 + date.getUTCHours()) * 60 + date.getUTCMinutes();
}

/** The first moment of a tid's minute, in milliseconds since the Unix epoch. */
function minuteTime(minutes: number): number {
  const day = Math.floor(minutes / 1440);
  const month = Math.floor(day / 31);
  return Date.UTC(
    1900 + Math.floor(month / 12),
    month % 12,
    day % 31 + 1,
    Math.floor(minutes / 60) % 24,
    minutes % 60,
  );
}

/**
 * The tid of a moment.
 *
 * @param time seconds since the Unix epoch, with a fraction.
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { hexId, tidFromTime } from "./ids.ts";
 * assert.equal(hexId(tidFromTime(1000000000)), "033f2eeaaaaaaaaa");
 * ```
 */
export function tidFromTime(time: number): Tid {
  const minute = Math.floor(time / 60);
  const high = minuteNumber(new Date(minute * 60_000));
  const low = Math.min(Math.trunc((time - minute * 60) / (60 / 2 ** 32)), 0xffff_ffff);
  return (BigInt(high) << 32n | BigInt(low)) as Tid;
}

/** A moment with a precision of a microsecond, truncated. */
export interface TidTime {
  /** Whole seconds since the Unix epoch. */
  readonly seconds: number;
  /** 0 to 999,999. */
  readonly microseconds: number;
}

/** The moment of a tid. */
export function timeOfTid(tid: Tid): TidTime {
  const start = minuteTime(Number(tid >> 32n)) / 1000;
  const q = (tid & LOW) * 60n;
  return {
    seconds: start + Number(q >> 32n),
    microseconds: Number((q & LOW) * 1_000_000n >> 32n),
  };
}

/**
 * The moment of a tid as seconds since the Unix epoch.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { tidFromTime, tidToTime } from "./ids.ts";
 * assert(Math.abs(tidToTime(tidFromTime(1700000000.125)) - 1700000000.125) <= 1e-6);
 * ```
 */
export function tidToTime(tid: Tid): number {
  const { seconds, microseconds } = timeOfTid(tid);
  return seconds + microseconds / 1e6;
}

/** The moment of a tid in UTC, as `YYYY-MM-DD HH:MM:SS[.ffffff]`, the form operators know. */
export function formatTidDate(tid: Tid): string {
  const { seconds, microseconds } = timeOfTid(tid);
  const date = new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
  return microseconds === 0 ? date : `${date}.${String(microseconds).padStart(6, "0")}`;
}

/**
 * Adds to the low word; a carry moves the high word by that many real calendar minutes, so that the
 * result is always a valid date.
 */
export function addTid(tid: Tid, delta: bigint | number): Tid {
  const low = (tid & LOW) + BigInt(delta);
  const carry = low >> 32n;
  if (carry === 0n) return (tid & ~LOW | low) as Tid;
  const time = minuteTime(Number(tid >> 32n)) + Number(carry) * 60_000;
  return (BigInt(minuteNumber(new Date(time))) << 32n | low & LOW) as Tid;
}
