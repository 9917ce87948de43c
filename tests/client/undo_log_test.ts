/** The undo log: slices of what partitions list, whatever happens meanwhile. */

import assert from "node:assert/strict";
import { encodeExtension, type UndoLogEntry, type UndoLogOptions } from "../../client/mod.ts";
import type { AnswerArgsOf } from "../../protocol/messages.ts";
import type { Tid } from "../../protocol/ids.ts";
import { bytes, FakeCluster, type Heard, oid, tid, until } from "./fakes.ts";

type Orders = AnswerArgsOf<"AskPackOrders">["orders"];

/** A cluster of transactions 1 to `count`; more of them may be added. */
async function logged(count: number, partitions: number, orders: Orders = []) {
  const rows = Array.from({ length: partitions }, (_, i) => [1 + i % 2]);
  const cluster = await FakeCluster.start({ rows, lastTid: tid(count) });
  const tids = Array.from({ length: count }, (_, i) => tid(i + 1));
  cluster.master.script.AskPackOrders = ({ answer }) => answer({ orders });
  for (const { script } of cluster.storages.values()) {
    script.AskTIDs = ({ args: { first, last, partition }, answer }) => {
      const own = tids.filter((one) => Number(one) % partitions === partition).reverse();
      answer({ tids: own.slice(first, last) });
    };
    script.AskTransactionInformation = ({ args, answer }) =>
      answer({
        tid: args.tid,
        user: bytes("u"),
        description: bytes(`${args.tid}`),
        extension: encodeExtension({ third: args.tid % 3n === 0n }),
        packed: false,
        oids: orders.some(({ id }) => id === args.tid) ? [] : [oid(1)],
      });
  }
  return { cluster, tids };
}

/** Numbers from one down to another. */
const down = (from: number, to: number) =>
  Array.from({ length: Math.max(from - to + 1, 0) }, (_, i) => tid(from - i));

const tidsOf = (entries: readonly UndoLogEntry[]) => entries.map(({ tid }) => tid);

Deno.test("Client.undoLog() gives slices of what all partitions have, newest first", async () => {
  for (const [count, partitions] of [[0, 3], [7, 5], [200, 1], [200, 5], [50, 40]] as const) {
    const { cluster } = await logged(count, partitions);
    await using _cluster = cluster;
    const client = await cluster.connect();
    const all = down(count, 1);
    const slices: [UndoLogOptions, Tid[]][] = [
      [{}, all.slice(0, 20)],
      [{ last: 1000 }, all],
      [{ first: 3, last: 8 }, all.slice(3, 8)],
      [{ first: 100, last: -50 }, all.slice(100, 150)],
      [{ first: 8, last: 8 }, []],
      [{ first: 0, last: 0 }, []],
    ];
    for (const [options, expected] of slices) {
      assert.deepEqual(tidsOf(await client.undoLog(options)), expected);
    }
  }
});

Deno.test("Client.undoLog() counts only what the filter accepts, which sees the extension", async () => {
  const { cluster } = await logged(100, 4);
  await using _cluster = cluster;
  const client = await cluster.connect();
  const thirds = down(100, 1).filter((one) => one % 3n === 0n);
  const filter = ({ items }: UndoLogEntry) => items.third === true;
  assert.deepEqual(
    tidsOf(await client.undoLog({ first: 2, last: 30, filter })),
    thirds.slice(2, 30),
  );
  const items = { third: true };
  assert.deepEqual(tidsOf(await client.undoInfo({ items })), thirds.slice(0, 20));
  const one = await client.undoInfo({ user: "u", description: "33", items }, { last: 5 });
  assert.deepEqual(tidsOf(one), [tid(33)]);
  assert.deepEqual(await client.undoInfo({ description: "33", items: { third: false } }), []);
});

Deno.test("Client.undoLog() ignores what is committed meanwhile, and skips nothing for it", async () => {
  const { cluster, tids } = await logged(200, 2);
  await using _cluster = cluster;
  const client = await cluster.connect();
  for (const storage of cluster.storages.values()) {
    const list = storage.script.AskTIDs;
    storage.script.AskTIDs = (heard: Heard<"AskTIDs">) => {
      // What is there is shifted by each request.
      for (let i = 0; i < 3; i++) tids.push(tid(tids.length + 1));
      list?.(heard);
    };
  }
  const filter = ({ tid }: UndoLogEntry) => tid <= 10n || tid > 195n;
  const expected = [...down(200, 196), ...down(10, 1)];
  assert.deepEqual(tidsOf(await client.undoLog({ last: -15, filter })), expected);
  assert.ok(tids.length > 206, "several requests");
});

Deno.test("Client.undoLog() leaves out what was packed, and packs", async () => {
  const order = { approved: true, partial: false, oids: null, tid: tid(20) };
  const orders: Orders = [
    { ...order, id: tid(25) },
    { ...order, id: tid(26), tid: tid(24), approved: false },
    { ...order, id: tid(27), tid: tid(24), partial: true, oids: [oid(1)] },
  ];
  const { cluster } = await logged(30, 3, orders);
  await using _cluster = cluster;
  const client = await cluster.connect();
  const packs = [25, 26, 27].map(tid);
  const expected = down(30, 21).filter((one) => !packs.includes(one));
  assert.deepEqual(tidsOf(await client.undoLog()), expected);
  // No transaction is looked at for nothing.
  const asked = [1, 2].map((nid) => cluster.storage(nid).all("AskTransactionInformation")).flat();
  assert.ok(asked.every(({ tid }) => tid > 20n));
});

Deno.test("Client.undoLog() asks all partitions at once, and stops when its signal aborts", async () => {
  const { cluster } = await logged(100, 4);
  await using _cluster = cluster;
  const client = await cluster.connect();
  const [one, two] = [cluster.storage(1), cluster.storage(2)];
  for (const { script } of [one, two]) delete script.AskTIDs;
  const controller = new AbortController();
  const reason = new Error("enough");
  const listing = client.undoLog({ signal: controller.signal });
  await until(() => one.count("AskTIDs") + two.count("AskTIDs") === 4, "4 requests");
  controller.abort(reason);
  await assert.rejects(listing, reason);
  for (const wrong of [{ first: -1 }, { first: 0.5 }, { last: NaN }]) {
    await assert.rejects(client.undoLog(wrong), RangeError);
  }
});
