/** Loads: which node is asked, what races do to the cache, what failures do to callers. */

import assert from "node:assert/strict";
import {
  NEOStorageError,
  NEOStorageWrongChecksum,
  POSKeyError,
  type Revision,
} from "../../client/mod.ts";
import { CellState, ErrorCode, NodeState } from "../../protocol/enums.ts";
import { MAX_TID } from "../../protocol/ids.ts";
import { bytes, FakeCluster, oid, quiet, sha1, tid, until } from "./fakes.ts";

Deno.test("Client.load() asks for what is not later than lastTransaction when it is not cached", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const loaded = await client.load(oid(1));
  assert.deepEqual(loaded, { data: bytes("data"), serial: tid(10), next: null });
  assert.deepEqual(cluster.storage(1).all("AskObject"), [{
    oid: oid(1),
    at: null,
    before: tid(101),
  }]);
  assert.equal(await client.load(oid(1)).then(({ data }) => data), loaded.data, "from the cache");
  assert.equal(cluster.storage(1).count("AskObject"), 1);
  assert.equal((await client.loadBefore(oid(1), MAX_TID))?.data, loaded.data);
  await client.loadBefore(oid(2), MAX_TID);
  assert.equal(cluster.storage(1).all("AskObject")[1]?.before, tid(101));
});

Deno.test("Client.load() sends one request when several want the same", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.AskObject;
  const loads = [client.load(oid(1)), client.load(oid(1)), client.loadBefore(oid(1), tid(101))];
  const other = client.load(oid(2));
  const first = await storage.next("AskObject");
  const second = await storage.next("AskObject");
  assert.equal(second.args.oid, oid(2));
  second.answer(cluster.object(oid(2)));
  await other;
  first.answer(cluster.object(oid(1)));
  for (const load of loads) assert.equal((await load)?.serial, tid(10));
  assert.equal(storage.count("AskObject"), 2);
});

Deno.test("Client.load() sends 64 requests before an answer when 64 are called", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  await client.load(oid(100));
  delete storage.script.AskObject;
  const loads = Array.from({ length: 64 }, (_, i) => client.load(oid(i)));
  await until(() => storage.count("AskObject") === 65, "65 requests");
  for (let i = 0; i < 64; i++) {
    const { args, answer } = await storage.next("AskObject");
    answer(cluster.object(args.oid, bytes(`${args.oid}`)));
  }
  const texts = (await Promise.all(loads)).map(({ data }) => new TextDecoder().decode(data));
  assert.deepEqual(texts, Array.from({ length: 64 }, (_, i) => `${i}`));
});

Deno.test("Client.load() caches the right next when another client commits meanwhile", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.AskObject;
  const load = client.load(oid(1));
  const { answer } = await storage.next("AskObject");
  // Only what follows the revision counts.
  cluster.invalidate(tid(110), oid(1));
  cluster.invalidate(tid(120), oid(1), oid(2));
  await until(() => client.lastTransaction === tid(120), "the invalidation");
  cluster.serial = tid(110);
  answer(cluster.object(oid(1)));
  assert.equal((await load).next, tid(120));
  const again = await client.loadBefore(oid(1), tid(120));
  assert.equal(again?.serial, tid(110));
  assert.equal(storage.count("AskObject"), 1, "from the cache");
  const current = client.load(oid(1));
  (await storage.next("AskObject")).answer({ ...cluster.object(oid(1)), serial: tid(120) });
  assert.equal((await current).serial, tid(120));
});

Deno.test("Client.load() caches nothing when the client was reconnected meanwhile", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.AskObject;
  const load = client.load(oid(1));
  await storage.next("AskObject");
  cluster.lastTid = tid(150);
  cluster.master.disconnect();
  await cluster.wait();
  await until(() => client.lastTransaction === tid(150), "the new session");
  const second = client.load(oid(1));
  const requests = [await storage.next("AskObject"), await storage.next("AskObject")];
  assert.deepEqual(requests.map(({ args }) => args.before).sort(), [tid(101), tid(151)]);
  for (const { answer, args } of requests) {
    const serial = args.before === tid(101) ? tid(10) : tid(140);
    answer({ ...cluster.object(oid(1)), serial, nextSerial: null });
  }
  assert.equal((await load).serial, tid(10));
  assert.equal((await second).serial, tid(140));
  assert.equal((await client.load(oid(1))).serial, tid(140));
  assert.equal(storage.count("AskObject"), 3, "one before, two after the reconnection");
});

Deno.test("Client.load() asks another replica when the first one can't answer", async () => {
  for (const failure of ["close", "checksum", "not readable"] as const) {
    await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
    const client = await cluster.connect();
    let failing: number | null = null;
    for (const [nid, storage] of cluster.storages) {
      storage.script.AskObject = ({ answer, error, args, connection }) => {
        failing ??= nid;
        if (nid !== failing) answer(cluster.object(args.oid));
        else if (failure === "close") connection.close();
        else if (failure === "checksum") {
          answer({ ...cluster.object(args.oid), checksum: sha1(bytes("other")) });
        } else error(ErrorCode.NON_READABLE_CELL);
      };
    }
    assert.deepEqual((await client.load(oid(1))).data, bytes("data"), failure);
  }
});

Deno.test("Client.load() throws when all replicas have damaged data, unless that is ignored", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  for (const storage of cluster.storages.values()) {
    storage.script.AskObject = ({ answer, args }) =>
      answer({ ...cluster.object(args.oid), checksum: sha1(bytes("other")) });
  }
  const client = await cluster.connect();
  await assert.rejects(client.load(oid(1)), (error) => {
    assert.ok(error instanceof NEOStorageWrongChecksum);
    assert.equal(error.oid, oid(1));
    assert.equal(error.tid, tid(10));
    return true;
  });
  assert.ok(
    cluster.storage(1).count("AskObject") >= 1 && cluster.storage(2).count("AskObject") >= 1,
  );
  await client.close();
  const lenient = await cluster.connect({ ignoreWrongChecksum: true });
  assert.deepEqual((await lenient.load(oid(1))).data, bytes("data"));
});

Deno.test("Client.load() gives up when no replica can be reached twice", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1]] });
  const client = await cluster.connect();
  cluster.storage(1).stop();
  const failed = assert.rejects(client.load(oid(1)), NEOStorageError);
  await cluster.wait();
  await failed;
});

Deno.test("Client.load() asks a failed node again when the master says that it is back", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect({ cacheSize: 0 });
  cluster.storage(1).stop();
  for (let i = 0; i < 20; i++) await client.load(oid(1));
  assert.equal(cluster.storage(1).count("AskObject"), 0);
  await cluster.storage(1).listen();
  cluster.setState(1, NodeState.DOWN);
  cluster.setState(1, NodeState.RUNNING);
  await client.sync();
  await client.load(oid(1));
  assert.equal(cluster.storage(1).count("AskObject"), 1);
  for (const storage of cluster.storages.values()) delete storage.script.AskObject;
  // Busy nodes are avoided.
  const loads = Array.from({ length: 20 }, (_, i) => client.load(oid(i)));
  await quiet();
  assert.equal(cluster.storage(1).count("AskObject"), 11);
  for (const storage of cluster.storages.values()) {
    for (let i = 0; i < 10; i++) {
      const { answer, args } = await storage.next("AskObject");
      answer(cluster.object(args.oid));
    }
  }
  await Promise.all(loads);
});

Deno.test("Client.load() waits when the primary master is lost", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.master.stop();
  await quiet();
  const load = client.load(oid(1));
  let done = false;
  load.then(() => done = true);
  await cluster.wait(5000);
  assert.equal(done, false);
  await cluster.master.listen();
  await cluster.wait();
  assert.deepEqual((await load).data, bytes("data"));
});

Deno.test("Client.load() uses an up-to-date cell only", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  cluster.rows[0]?.splice(0, 1, { nid: 1, state: CellState.OUT_OF_DATE });
  const client = await cluster.connect({ cacheSize: 0 });
  for (let i = 0; i < 10; i++) await client.load(oid(1));
  assert.equal(cluster.storage(1).count("AskObject"), 0);
});

Deno.test("Client.load() translates errors when there is no such object", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const { script } = cluster.storage(1);
  script.AskObject = ({ error }) => error(ErrorCode.OID_DOES_NOT_EXIST, "01");
  await assert.rejects(client.load(oid(1)), POSKeyError);
  await assert.rejects(client.loadBefore(oid(1), tid(50)), POSKeyError);
  await assert.rejects(client.loadSerial(oid(1), tid(50)), POSKeyError);
  script.AskObject = ({ error }) => error(ErrorCode.OID_NOT_FOUND, "01");
  await assert.rejects(client.load(oid(1)), POSKeyError);
  assert.equal(await client.loadBefore(oid(1), tid(50)), null);
  await assert.rejects(client.loadSerial(oid(1), tid(50)), POSKeyError);
  script.AskObject = ({ answer, args }) =>
    answer({
      ...cluster.object(args.oid),
      compression: null,
      checksum: new Uint8Array(20),
      data: new Uint8Array(0),
    });
  await assert.rejects(client.load(oid(1)), POSKeyError);
  await assert.rejects(client.loadBefore(oid(1), tid(50)), POSKeyError);
  script.AskObject = ({ answer, args }) => answer(cluster.object(args.oid, new Uint8Array(0)));
  assert.equal((await client.load(oid(1))).data.length, 0, "an empty record is a record");
});

Deno.test("Client.loadSerial() finds nothing when another revision covers that tid", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  await client.load(oid(1));
  cluster.storage(1).script.AskObject = ({ error }) => error(ErrorCode.OID_NOT_FOUND, "01");
  await assert.rejects(client.loadSerial(oid(1), tid(50)), POSKeyError);
  assert.equal((await client.loadSerial(oid(1), tid(10))).serial, tid(10));
});

Deno.test("Client.loadSerial() caches nothing that is later than lastTransaction", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.serial = tid(110);
  assert.equal((await client.loadSerial(oid(1), tid(110))).serial, tid(110));
  cluster.serial = tid(10);
  assert.equal((await client.load(oid(1))).serial, tid(10));
  cluster.invalidate(tid(110), oid(1));
  await client.sync();
  assert.equal((await client.loadBefore(oid(1), tid(110)))?.next, tid(110));
});

Deno.test("Client.load() refuses oids that back-ends can't store", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  await assert.rejects(client.load(oid(2 ** 63)), RangeError);
  await assert.rejects(client.loadSerial(oid(1), tid(2 ** 63)), RangeError);
});

Deno.test("Client.load() stops waiting when its signal aborts, and nobody else does", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.AskObject;
  const controller = new AbortController();
  const stopped = client.load(oid(1), { signal: controller.signal });
  const patient = client.load(oid(1), { signal: new AbortController().signal });
  const { answer } = await storage.next("AskObject");
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(stopped, reason);
  answer(cluster.object(oid(1)));
  assert.equal((await patient).serial, tid(10));
  await assert.rejects(client.load(oid(2), { signal: controller.signal }), reason);
});

Deno.test("Client.load() does not keep the buffers of the network in the cache", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const { data }: Revision = await client.load(oid(1));
  assert.ok(data.buffer.byteLength <= 2 * data.length);
});
