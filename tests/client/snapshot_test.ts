/** Snapshots: one state, whatever is committed meanwhile. */

import assert from "node:assert/strict";
import { POSKeyError } from "../../client/mod.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import type { Oid } from "../../protocol/ids.ts";
import { bytes, FakeCluster, oid, tid, until } from "./fakes.ts";

/** Objects 1 to 5, of which the third is deleted; two revisions of each, the later one at 90. */
async function filled() {
  const cluster = await FakeCluster.start({ rows: [[1], [1]] });
  const { script } = cluster.storage(1);
  script.AskObject = ({ args: { oid, before }, answer, error }) => {
    if (oid > 5n) return error(ErrorCode.OID_DOES_NOT_EXIST);
    if (before !== null && before <= 10n) return error(ErrorCode.OID_NOT_FOUND);
    const late = before === null || before > 90n;
    if (oid === 3n && late) {
      const none = { checksum: new Uint8Array(20), data: new Uint8Array(0), compression: null };
      return answer({ ...cluster.object(oid), ...none, serial: tid(90) });
    }
    const next = oid === 1n && cluster.lastTid > 100n ? cluster.lastTid : null;
    const revision = late ? { serial: tid(90), nextSerial: next } : { nextSerial: tid(90) };
    answer({ ...cluster.object(oid, bytes(`${oid} ${late ? "new" : "old"}`)), ...revision });
  };
  script.AskOIDsFrom = ({ args: { partition, min, tid }, answer }) => {
    const oids = [1, 2, 3, 4, 5].filter((n) => n % 2 === partition && n >= min).map(oid);
    answer({ next: null, oids: oids.filter((one) => one !== 3n || tid < 90n) });
  };
  return cluster;
}

Deno.test("Snapshot.load() reads the state when it was made, whatever is committed", async () => {
  await using cluster = await filled();
  const client = await cluster.connect();
  const snapshot = client.snapshot();
  assert.equal(snapshot.tid, tid(100));
  cluster.invalidate(tid(110), oid(1));
  await until(() => client.lastTransaction === tid(110), "the invalidation");
  assert.deepEqual((await snapshot.load(oid(1))).data, bytes("1 new"));
  await client.load(oid(1));
  const asked = cluster.storage(1).all("AskObject");
  assert.deepEqual(asked.map(({ before }) => before), [tid(101), tid(111)]);
  const old = client.at(tid(89));
  assert.deepEqual(await old.load(oid(1)), {
    data: bytes("1 old"),
    serial: tid(10),
    next: tid(90),
  });
  assert.deepEqual((await client.at(tid(90)).load(oid(1))).data, bytes("1 new"));
});

Deno.test("Snapshot.load() throws POSKeyError for what did not exist then", async () => {
  await using cluster = await filled();
  const client = await cluster.connect();
  await assert.rejects(client.at(tid(9)).load(oid(1)), POSKeyError);
  await assert.rejects(client.snapshot().load(oid(6)), POSKeyError);
  await assert.rejects(client.snapshot().load(oid(3)), POSKeyError);
  assert.deepEqual((await client.at(tid(80)).load(oid(3))).data, bytes("3 old"));
  await assert.rejects(client.snapshot().load(oid(2 ** 63)), RangeError);
});

Deno.test("Client.at() refuses a state that may still change", async () => {
  await using cluster = await filled();
  const client = await cluster.connect();
  assert.throws(() => client.at(tid(101)), RangeError);
  assert.equal(client.at(tid(100)).tid, tid(100));
  assert.throws(() => client.at(tid(2 ** 63)), RangeError);
});

Deno.test("Snapshot.records() gives all objects in order, within bounds", async () => {
  await using cluster = await filled();
  const client = await cluster.connect();
  const read = async (at: number, range = {}) => {
    const records = await Array.fromAsync(client.at(tid(at)).records(range));
    return records.map(({ oid, data }) => [oid, new TextDecoder().decode(data)]);
  };
  assert.deepEqual(await read(100), [1, 2, 4, 5].map((n) => [oid(n), `${n} new`]));
  assert.deepEqual(await read(50), [1, 2, 3, 4, 5].map((n) => [oid(n), `${n} old`]));
  assert.deepEqual(await read(50, { min: oid(2), max: oid(3) }), [
    [oid(2), "2 old"],
    [oid(3), "3 old"],
  ]);
  const oids: Oid[] = await Array.fromAsync(client.snapshot().oids({ min: oid(3) }));
  assert.deepEqual(oids, [oid(4), oid(5)]);
});

Deno.test("Snapshot.prefetch() loads many at once, and leaves out what does not exist", async () => {
  await using cluster = await filled();
  const client = await cluster.connect();
  const { script } = cluster.storage(1);
  const { AskObject } = script;
  await client.load(oid(5)); // Connected.
  delete script.AskObject;
  const snapshot = client.snapshot();
  const prefetching = snapshot.prefetch([1, 2, 3, 4, 6].map(oid));
  await until(() => cluster.storage(1).count("AskObject") === 6, "5 requests");
  for (let i = 0; i < 5; i++) AskObject?.(await cluster.storage(1).next("AskObject"));
  await prefetching;
  for (const n of [1, 2, 4]) {
    assert.deepEqual((await snapshot.load(oid(n))).data, bytes(`${n} new`));
  }
  assert.equal(cluster.storage(1).count("AskObject"), 6, "from the cache");
});

Deno.test("Snapshot.prefetch() stops when its signal aborts, and throws other failures", async () => {
  await using cluster = await filled();
  const client = await cluster.connect();
  const { script } = cluster.storage(1);
  delete script.AskObject;
  const controller = new AbortController();
  const reason = new Error("enough");
  const prefetching = client.prefetch([oid(1), oid(2)], { signal: controller.signal });
  await cluster.storage(1).next("AskObject");
  controller.abort(reason);
  await assert.rejects(prefetching, reason);
  script.AskObject = ({ error }) => error(ErrorCode.PROTOCOL_ERROR, "no");
  await assert.rejects(client.prefetch([oid(4)]), /protocol error: no/);
});
