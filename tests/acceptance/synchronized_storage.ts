/** Operations of a transaction that is not the one being committed, or not any more. */

import assert from "node:assert/strict";
import {
  type Client,
  StorageTransactionError,
  type Transaction,
  ZERO_OID,
} from "../../client/mod.ts";
import type { Lines, Test } from "./harness.ts";
import { bytes, dostore, valueOf } from "./operations.ts";

/** A transaction that is over, beside one that is open where there has to be "another" one. */
function refused(
  operate: (over: Transaction) => Promise<unknown>,
  withAnother: boolean,
): Test {
  return async ({ client }) => {
    const over = await client.begin();
    await over.abort();
    const another = withAnother ? await client.begin() : null;
    await assert.rejects(operate(over), StorageTransactionError);
    if (another === null) return;
    assert.equal(another.state, "open");
    await another.abort();
  };
}

async function checkCommits(client: Client, transaction: Transaction): Promise<void> {
  const oid = await client.newOid();
  await transaction.store(oid, null, bytes("kept"));
  await transaction.commit();
  assert.equal(await valueOf(client, oid), "kept");
}

export const synchronizedStorage: Lines = {
  "store when not committing": refused((over) => over.store(ZERO_OID, null, bytes("")), false),
  "store with another transaction": refused((over) => over.store(ZERO_OID, null, bytes("")), true),
  "vote when not committing": refused((over) => over.vote(), false),
  "finish when not committing": refused((over) => over.finish(), false),
  "finish with another transaction": refused((over) => over.finish(), true),
  "finish when not voted": async ({ client }) => {
    await using transaction = await client.begin();
    await assert.rejects(transaction.finish(), StorageTransactionError);
    await checkCommits(client, transaction);
  },
  "abort when not committing": async ({ client }) => {
    const transaction = await client.begin();
    const tid = await transaction.commit();
    await transaction.abort();
    assert.equal(transaction.state, "committed");
    assert.equal(client.lastTransaction, tid);
  },
  "abort with another transaction": async ({ client }) => {
    const over = await client.begin();
    await over.abort();
    await using another = await client.begin();
    await over.abort();
    await checkCommits(client, another);
  },
  "begin then abort": async ({ client }) => {
    const transaction = await client.begin();
    await transaction.abort();
    assert.equal(client.statistics.transactions, 0);
    await dostore(client);
  },
};
