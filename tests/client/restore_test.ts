/** Storing what another database has. */

import assert from "node:assert/strict";
import {
  ConflictError,
  type DataRecord,
  StorageTransactionError,
  type TransactionRecord,
} from "../../client/mod.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import type { Tid } from "../../protocol/ids.ts";
import { bytes, FakeCluster, oid, tid } from "./fakes.ts";

/** Another database. */
function source(transactions: Readonly<Record<number, readonly Partial<DataRecord>[]>>) {
  return {
    async *iterator(): AsyncGenerator<TransactionRecord> {
      for (const [n, records] of Object.entries(transactions)) {
        await Promise.resolve();
        const id = tid(Number(n));
        yield {
          tid: id,
          status: id === 110n ? "p" : " ",
          user: bytes("u"),
          description: bytes(`at ${n}`),
          extension: bytes("not even a pickle"),
          async *records() {
            for (const record of records) {
              await Promise.resolve();
              yield { oid: oid(1), tid: id, data: bytes(n), dataTid: null, ...record };
            }
          },
        };
      }
    },
  };
}

/** A cluster where only object 7 exists, and transactions get the tids that they impose. */
async function destination() {
  const cluster = await FakeCluster.start();
  const { script } = cluster.storage(1);
  script.AskObjectHistory = ({ args, answer, error }) => {
    if (args.oid !== 7n) return error(ErrorCode.OID_NOT_FOUND);
    answer({ oid: args.oid, history: [{ tid: tid(40), size: 0 }] });
  };
  script.AskObject = ({ args, answer, error }) => {
    // Of those before, only these are here.
    const known: readonly (Tid | null)[] = [tid(40), tid(110)];
    if (!known.includes(args.at)) return error(ErrorCode.OID_NOT_FOUND);
    const serial = args.at ?? tid(1);
    answer({ ...cluster.object(args.oid), serial, nextSerial: tid(Number(serial) + 1) });
  };
  cluster.master.script.AskFinishTransaction = ({ args, answer }) => {
    cluster.lastTid = args.ttid;
    answer({ ttid: args.ttid, tid: args.ttid });
  };
  return cluster;
}

Deno.test("Client.copyTransactionsFrom() stores everything with its tids, on top of each other", async () => {
  await using cluster = await destination();
  const client = await cluster.connect();
  const copied: Tid[] = [];
  const summary = await client.copyTransactionsFrom(
    source({
      110: [{}, { oid: oid(7) }],
      120: [{ data: null }],
      130: [{ dataTid: tid(110) }, { oid: oid(7), dataTid: tid(5) }],
      140: [{ data: null, dataTid: tid(40) }],
      150: [],
    }),
    { onCopied: ({ tid }) => copied.push(tid) },
  );
  assert.deepEqual(copied, [110, 120, 130, 140, 150].map(tid));
  assert.deepEqual(summary, { transactions: 5, records: 6, lostPackedStatus: 1 });
  const stored = cluster.storage(1).all("AskStoreObject");
  assert.deepEqual(
    stored.map(({ ttid, oid, serial, dataSerial, data }) =>
      [ttid, oid, serial, dataSerial, data.length].map(Number)
    ),
    [
      [110, 1, 0, 0, 3],
      [110, 7, 40, 0, 3],
      [120, 1, 110, 0, 0],
      [130, 1, 120, 110, 3],
      // Where the pointer leads to is not here.
      [130, 7, 110, 0, 3],
      [140, 1, 130, 40, 0],
    ],
  );
  const metadata = cluster.storage(1).all("AskStoreTransaction");
  assert.deepEqual(metadata.map(({ ttid }) => ttid), copied);
  assert.deepEqual(metadata[0]?.extension, bytes("not even a pickle"));
  assert.equal(client.lastTransaction, tid(150));
});

Deno.test("Client.copyTransactionsFrom() stops where the source is not later, or others commit", async () => {
  await using cluster = await destination();
  const client = await cluster.connect();
  const early = client.copyTransactionsFrom(source({ 90: [{}] }));
  await assert.rejects(early, StorageTransactionError);
  assert.equal(cluster.master.count("AskBeginTransaction"), 0);
  cluster.storage(1).script.AskStoreObject = ({ answer }) => answer({ conflict: tid(105) });
  await assert.rejects(client.copyTransactionsFrom(source({ 110: [{}] })), ConflictError);
  assert.equal(client.statistics.transactions, 0);
  // Another one may begin.
  cluster.storage(1).script.AskStoreObject = ({ answer }) => answer({ conflict: null });
  await client.copyTransactionsFrom(source({ 110: [{}] }));
});

Deno.test("Client.copyTransactionsFrom() aborts when the source fails or the signal aborts", async () => {
  await using cluster = await destination();
  const client = await cluster.connect();
  const failure = new Error("unreadable");
  const broken: AsyncIterable<DataRecord> = {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }),
  };
  const failing = {
    async *iterator() {
      for await (const transaction of source({ 110: [] }).iterator()) {
        yield { ...transaction, records: () => broken };
      }
    },
  };
  await assert.rejects(client.copyTransactionsFrom(failing), failure);
  assert.equal(client.statistics.transactions, 0);
  const controller = new AbortController();
  delete cluster.storage(1).script.AskStoreTransaction;
  const { signal } = controller;
  const copying = client.copyTransactionsFrom(source({ 110: [{}] }), { signal });
  await cluster.storage(1).next("AskStoreTransaction");
  controller.abort(failure);
  await assert.rejects(copying, failure);
  assert.equal(client.statistics.transactions, 0);
  assert.equal(cluster.master.count("AskFinishTransaction"), 0);
});

Deno.test("Transaction.restore() stores on top of what is there, deletions included", async () => {
  await using cluster = await destination();
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await transaction.restore({ oid: oid(1), data: bytes("new"), dataTid: null });
  await transaction.restore({ oid: oid(7), data: bytes("same"), dataTid: tid(110) });
  await transaction.restore({ oid: oid(8), data: null, dataTid: tid(109) });
  await transaction.commit();
  const stored = cluster.storage(1).all("AskStoreObject");
  assert.deepEqual(
    stored.map(({ oid, serial, dataSerial, data }) =>
      [oid, serial, dataSerial, data.length].map(Number)
    ),
    [[1, 0, 0, 3], [7, 40, 110, 4], [8, 0, 0, 0]],
  );
  await assert.rejects(
    transaction.restore({ oid: oid(1), data: bytes("x"), dataTid: null }),
    StorageTransactionError,
  );
});

Deno.test("Transaction.restore() need not be awaited", async () => {
  await using cluster = await destination();
  const client = await cluster.connect();
  await using transaction = await client.begin({ tid: tid(900) });
  for (const n of [7, 8, 9]) transaction.restore({ oid: oid(n), data: bytes("x"), dataTid: null });
  transaction.store(oid(9), null, bytes("later"));
  await transaction.commit();
  const stored = cluster.storage(1).all("AskStoreObject");
  assert.deepEqual(stored.map(({ oid }) => Number(oid)), [7, 8, 9, 9]);
  assert.deepEqual(stored.at(-1)?.data, bytes("later"));
});

Deno.test("Transaction.restore() that fails is a failure of the transaction", async () => {
  await using cluster = await destination();
  const client = await cluster.connect();
  await using transaction = await client.begin({ tid: tid(900) });
  cluster.storage(1).script.AskObjectHistory = ({ error }) => error(ErrorCode.CHECKING_ERROR, "no");
  transaction.restore({ oid: oid(7), data: bytes("x"), dataTid: null });
  await assert.rejects(transaction.commit());
});

Deno.test("Client.copyTransactionsFrom() copies several records of an object in one transaction", async () => {
  await using cluster = await destination();
  const client = await cluster.connect();
  await client.copyTransactionsFrom(source({
    900: [{ oid: oid(7), dataTid: tid(40) }, { oid: oid(7), dataTid: tid(40) }, { oid: oid(7) }],
    910: [{ oid: oid(7) }],
  }));
  const serials = cluster.storage(1).all("AskStoreObject").map(({ serial }) => Number(serial));
  assert.deepEqual(serials, [40, 40, 40, 900]);
});
