/** Whether two databases have the same transactions. */

import assert from "node:assert/strict";
import type { Client, TransactionRecord } from "../../client/mod.ts";

async function* contents(client: Client) {
  for await (const transaction of client.iterator()) {
    const { tid, status, user, description, extension } = transaction;
    const records = await Array.fromAsync(transaction.records());
    yield { tid, status, user, description, extension, records };
  }
}

/**
 * Compares everything: metadata to the byte, records with their data. Pointers between revisions are
 * only the same if both databases have those revisions.
 */
export async function compare(
  one: Client,
  two: Client,
  { pointers = true }: { pointers?: boolean } = {},
): Promise<void> {
  const [ones, twos] = [contents(one), contents(two)];
  for (;;) {
    const [a, b] = [await ones.next(), await twos.next()];
    assert.equal(a.done, b.done, "one has more transactions");
    if (a.done || b.done) return;
    const comparable = ({ records, ...metadata }: typeof a.value) => ({
      ...metadata,
      records: pointers ? records : records.map(({ dataTid: _, ...record }) => record),
    });
    assert.deepEqual(comparable(a.value), comparable(b.value));
  }
}

/** All transactions. */
export function transactionsOf(client: Client): Promise<TransactionRecord[]> {
  return Array.fromAsync(client.iterator());
}
