/**
 * What the objects of the workload hold.
 *
 * @module
 */

/** An amount, and who changed it. */
export interface Value {
  readonly balance: number;
  /** Transactions that this is made of: several if conflicting changes were merged. */
  readonly by: readonly string[];
}

/** A value as it is stored. */
export function encodeValue(value: Value): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** What was stored. */
export function decodeValue(data: Uint8Array): Value {
  return JSON.parse(new TextDecoder().decode(data));
}

/** Two changes of the same value in one. */
export function merge(old: Value, committed: Value, mine: Value): Value {
  return {
    balance: committed.balance + mine.balance - old.balance,
    by: [...committed.by.slice(-1), ...mine.by],
  };
}
