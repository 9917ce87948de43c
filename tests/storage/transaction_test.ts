import assert from "node:assert/strict";
import type { Connection } from "../../network/connection.ts";
import { toOid, toTid } from "../../protocol/ids.ts";
import { MAX_OBJECTS, Transaction, type TransactionOwner } from "../../storage/transaction.ts";

const entry = { base: toTid(0), checked: true, store: null, deadlock: false, conflicts: 0 };

Deno.test("Transaction.set() refuses new objects when its client has too many", () => {
  const client: TransactionOwner = {
    nid: -536870911,
    connection: {} as Connection,
    transactions: new Set(),
    objects: MAX_OBJECTS - 2,
  };
  const [first, second] = [new Transaction(toTid(1), client), new Transaction(toTid(2), client)];
  client.transactions.add(first).add(second);
  assert(first.set(toOid(1), entry));
  assert(first.set(toOid(1), entry), "replacing takes no room");
  assert(second.set(toOid(2), entry));
  assert(!second.set(toOid(3), entry));
  assert(!second.objects.has(toOid(3)));
  first.remove(toOid(1));
  first.remove(toOid(1));
  assert(second.set(toOid(3), entry));
  second.leaveClient();
  second.leaveClient();
  assert.equal(client.objects, MAX_OBJECTS - 2);
});
