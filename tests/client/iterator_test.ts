/** Walking through transactions and objects. */

import assert from "node:assert/strict";
import { NEOStorageError, NEOStorageNotFoundError, POSKeyError } from "../../client/mod.ts";
import { pipelined } from "../../client/pipeline.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import type { Tid } from "../../protocol/ids.ts";
import { bytes, FakeCluster, oid, quiet, tid, until } from "./fakes.ts";

/** Storages that have transactions 1 to `count`, each with two objects. */
async function filled(count: number, partitions: number) {
  const rows = Array.from({ length: partitions }, (_, i) => [1 + i % 2]);
  const cluster = await FakeCluster.start({ rows, lastTid: tid(count) });
  for (const storage of cluster.storages.values()) {
    storage.script.AskTIDsFrom = ({ args: { min, max, length, partition }, answer }) => {
      const tids: Tid[] = [];
      for (let n = 1; n <= count + 5 && tids.length < length; n++) {
        if (n % partitions === partition && n >= min && n <= max) tids.push(tid(n));
      }
      answer({ tids });
    };
    storage.script.AskTransactionInformation = ({ args, answer }) =>
      answer({
        tid: args.tid,
        user: bytes("u"),
        description: bytes(`${args.tid}`),
        extension: bytes("e"),
        packed: args.tid === 2n,
        oids: [oid(1), oid(2)],
      });
    storage.script.AskObject = ({ args, answer }) =>
      answer({ ...cluster.object(args.oid), serial: args.at ?? tid(1) });
  }
  return cluster;
}

Deno.test("Client.iterator() merges the transactions of all partitions in order", async () => {
  for (const [count, partitions] of [[0, 3], [7, 3], [2000, 5], [700, 200]] as const) {
    await using cluster = await filled(count, partitions);
    const client = await cluster.connect();
    const found: Tid[] = [];
    for await (const transaction of client.iterator()) found.push(transaction.tid);
    assert.deepEqual(found, Array.from({ length: count }, (_, i) => tid(i + 1)));
  }
});

Deno.test("Client.iterator() keeps to its bounds, fixed when it is called", async () => {
  await using cluster = await filled(50, 3);
  const client = await cluster.connect();
  const iterator = client.iterator({ start: tid(10) });
  cluster.invalidate(tid(52), oid(1));
  await client.sync();
  const all = await Array.fromAsync(iterator, ({ tid }) => tid);
  assert.deepEqual([all[0], all.at(-1)], [tid(10), tid(50)]);
  const some = await Array.fromAsync(
    client.iterator({ start: tid(10), stop: tid(12) }),
    ({ tid }) => tid,
  );
  assert.deepEqual(some, [tid(10), tid(11), tid(12)]);
  assert.deepEqual(await Array.fromAsync(client.iterator({ start: tid(60) })), []);
});

Deno.test("Client.iterator() gives metadata as it is, and records any number of times", async () => {
  await using cluster = await filled(2, 1);
  const client = await cluster.connect();
  const [first, second] = await Array.fromAsync(client.iterator());
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual([first.status, second.status], [" ", "p"]);
  assert.deepEqual([first.user, first.description, first.extension], [
    bytes("u"),
    bytes("1"),
    bytes("e"),
  ]);
  const { script } = cluster.storage(1);
  script.AskObject = ({ args, answer, error }) => {
    if (args.oid === 1n) error(ErrorCode.OID_NOT_FOUND, "packed");
    else {
      const none = { checksum: new Uint8Array(20), data: new Uint8Array(0), compression: null };
      answer({ ...cluster.object(args.oid), ...none, dataSerial: tid(1) });
    }
  };
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await Array.fromAsync(second.records()), [
      { oid: oid(2), tid: tid(2), data: null, dataTid: tid(1) },
    ]);
  }
  assert.equal(cluster.storage(1).all("AskObject")[0]?.at, tid(2));
});

Deno.test("Client.iterator() asks all partitions at once, and metadata in advance", async () => {
  await using cluster = await filled(100, 4);
  const client = await cluster.connect();
  const [one, two] = [cluster.storage(1), cluster.storage(2)];
  const { AskTIDsFrom } = one.script;
  for (const storage of [one, two]) delete storage.script.AskTIDsFrom;
  for (const storage of [one, two]) delete storage.script.AskTransactionInformation;
  const first = client.iterator().next();
  await until(() => one.count("AskTIDsFrom") + two.count("AskTIDsFrom") === 4, "4 requests");
  assert.ok(AskTIDsFrom !== undefined);
  for (const storage of [one, one, two, two]) AskTIDsFrom(await storage.next("AskTIDsFrom"));
  await quiet();
  const ahead = one.count("AskTransactionInformation") + two.count("AskTransactionInformation");
  assert.ok(ahead >= 64 && ahead < 100, `${ahead}`);
  first.catch(() => {});
});

Deno.test("Client.iterator() stops when its signal aborts", async () => {
  await using cluster = await filled(100, 2);
  const client = await cluster.connect();
  const controller = new AbortController();
  const reason = new Error("enough");
  const iterating = (async () => {
    for await (const { tid } of client.iterator({ signal: controller.signal })) {
      if (tid === 5n) {
        for (const { script } of cluster.storages.values()) delete script.AskTransactionInformation;
        controller.abort(reason);
      }
    }
  })();
  await assert.rejects(iterating, reason);
});

Deno.test("Client.transactionInformation() asks another replica about what it knows committed", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect();
  const answer = {
    tid: tid(50),
    user: bytes("u"),
    description: bytes(""),
    extension: bytes(""),
    packed: false,
    oids: [oid(1)],
  };
  for (const storage of cluster.storages.values()) {
    storage.script.AskTransactionInformation = ({ error }) => error(ErrorCode.TID_NOT_FOUND, "50");
  }
  await assert.rejects(client.transactionInformation(tid(50)), NEOStorageNotFoundError);
  cluster.storage(2).script.AskTransactionInformation = (heard) => heard.answer(answer);
  const { oids, user } = await client.transactionInformation(tid(50));
  assert.deepEqual([oids, user], [[oid(1)], bytes("u")]);
});

Deno.test("Client.oids() merges the objects of all partitions in order", async () => {
  const count = 5000;
  const partitions = 3;
  await using cluster = await FakeCluster.start({ rows: [[1], [2], [1]] });
  for (const storage of cluster.storages.values()) {
    storage.script.AskOIDsFrom = ({ args: { min, length, partition, tid: at }, answer }) => {
      assert.equal(at, tid(100));
      const examined: number[] = [];
      let n = Number(min);
      while (n % partitions !== partition) n++;
      for (; n < count && examined.length < length; n += partitions) examined.push(n);
      // Deleted objects are counted, not given.
      const oids = examined.filter((n) => n % 7 !== 0 && (n < 1000 || n > 3990)).map(oid);
      answer({ next: n < count ? oid(n) : null, oids });
    };
  }
  const client = await cluster.connect();
  const expected = Array.from({ length: count }, (_, n) => n)
    .filter((n) => n % 7 !== 0 && (n < 1000 || n > 3990)).map(oid);
  assert.deepEqual(await Array.fromAsync(client.oids()), expected);
  const some = await Array.fromAsync(client.oids({ min: oid(4), max: oid(9) }));
  assert.deepEqual(some, [4, 5, 6, 8, 9].map(oid));
});

Deno.test("Client.history() gives the last revisions with their metadata", async () => {
  await using cluster = await filled(10, 1);
  const client = await cluster.connect();
  const { script } = cluster.storage(1);
  script.AskObjectHistory = ({ args, answer }) => {
    const history = [{ tid: tid(9), size: 5 }, { tid: tid(4), size: 0 }];
    answer({ oid: args.oid, history: history.slice(args.first, args.last) });
  };
  assert.deepEqual(await client.history(oid(1), 0), []);
  const entries = await client.history(oid(1), 5);
  assert.deepEqual(entries.map(({ tid, size }) => [tid, size]), [[tid(9), 5], [tid(4), 0]]);
  assert.deepEqual(entries[1]?.description, bytes("4"));
  assert.equal((await client.history(oid(1))).length, 1);
  await assert.rejects(client.history(oid(1), -1), RangeError);
  assert.equal(await client.getTid(oid(1)), tid(9));
  assert.equal(cluster.storage(1).count("AskObject"), 0, "without its data");
  script.AskObjectHistory = ({ args, answer }) => {
    const history = [12, 11, 8, 7].map((n) => ({ tid: tid(n), size: 5 }));
    answer({ oid: args.oid, history: history.slice(args.first, args.last) });
  };
  assert.equal(await client.getTid(oid(1)), tid(8), "not what is not visible yet");
  const visible = await client.history(oid(1), 2);
  assert.deepEqual(visible.map((entry) => entry.tid), [tid(8), tid(7)]);
  // Each time it is asked, another revision was committed.
  const moving = [12, 11, 8, 7, 6];
  script.AskObjectHistory = ({ args, answer }) => {
    const history = moving.map((n) => ({ tid: tid(n), size: 5 }));
    answer({ oid: args.oid, history: history.slice(args.first, args.last) });
    if (args.first < 3) moving.unshift((moving[0] ?? 0) + 1);
  };
  assert.equal(await client.getTid(oid(1)), tid(8));
  script.AskObjectHistory = ({ args, answer }) =>
    answer({ oid: args.oid, history: [{ tid: tid(12), size: 5 }] });
  await assert.rejects(client.getTid(oid(1)), NEOStorageError, "endless");
  script.AskObjectHistory = ({ error }) => error(ErrorCode.OID_NOT_FOUND, "01");
  await assert.rejects(client.history(oid(1)), POSKeyError);
  await assert.rejects(client.getTid(oid(1)), POSKeyError);
});

Deno.test("pipelined() prepares some items ahead, and throws a failure in its place", async () => {
  const started: number[] = [];
  const results = pipelined([1, 2, 3, 4, 5], 2, async (item) => {
    started.push(item);
    await Promise.resolve();
    if (item === 2) throw new Error("two");
    return item * 10;
  });
  assert.deepEqual(await results.next(), { value: 10, done: false });
  assert.deepEqual(started, [1, 2, 3]);
  await assert.rejects(results.next(), /two/);
});
