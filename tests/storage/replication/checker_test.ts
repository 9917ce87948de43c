/** Comparing copies and verifying data, on both sides. */

import assert from "node:assert/strict";
import { ErrorCode } from "../../../protocol/enums.ts";
import { type Tid, ZERO_OID, ZERO_TID } from "../../../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf } from "../../../protocol/messages.ts";
import type { Address } from "../../../protocol/nodes.ts";
import { client, commit, oid, quiet, type Scene, sha1, tid, until } from "../support.ts";
import { type FakeStorage, OUT_OF_DATE, UP_TO_DATE, withReplicas } from "./support.ts";

const CELLS = [UP_TO_DATE, UP_TO_DATE];
const ZERO_HASH = new Uint8Array(20);
const digest = (text: string) => sha1(new TextEncoder().encode(text));

/** Three transactions of partition 1: tids 101, 201 and 301. */
async function fill(scene: Scene): Promise<void> {
  const peer = await scene.connect(client(1));
  await commit(scene, peer, tid(101), oid(1), ZERO_TID, "a");
  await commit(scene, peer, tid(201), oid(3), ZERO_TID, "b");
  await commit(scene, peer, tid(301), oid(1), tid(101), null);
}

const TIDS: AnswerArgsOf<"AskCheckTIDRange"> = {
  count: 3,
  tidDigest: digest("101,201,301"),
  maxTid: tid(301),
};
const SERIALS: AnswerArgsOf<"AskCheckSerialRange"> = {
  count: 3,
  tidDigest: digest("101,201,301"),
  maxTid: tid(301),
  oidDigest: digest("1,3,1"),
  maxOid: oid(1),
};

function order(
  { master }: Scene,
  { address = null, ...given }: Partial<ArgsOf<"CheckPartition">> & { address?: Address | null } =
    {},
): void {
  master.notify("CheckPartition", {
    partition: 1,
    source: { upstream: "", address },
    min: ZERO_TID,
    max: tid(999),
    ...given,
  });
}

async function answerTids(storage: FakeStorage, given: Partial<typeof TIDS> = {}): Promise<void> {
  const { args, from } = await storage.asked("AskCheckTIDRange");
  assert.deepEqual(args, { partition: 1, length: 40_000, min: ZERO_TID, max: tid(999) });
  from.answer({ ...TIDS, ...given });
}

async function answerSerials(
  storage: FakeStorage,
  given: Partial<typeof SERIALS> = {},
): Promise<void> {
  const { args, from } = await storage.asked("AskCheckSerialRange");
  assert.deepEqual(args, {
    partition: 1,
    length: 40_000,
    min: ZERO_TID,
    max: tid(999),
    minOid: ZERO_OID,
  });
  from.answer({ ...SERIALS, ...given });
}

const logged = ({ log }: Scene, pattern: RegExp) =>
  until(() => log.lines.some((line) => pattern.test(line)), `${pattern} in the log`);
const reported = ({ master }: Scene) => master.all("NotifyPartitionCorrupted");

Deno.test("CheckPartition verifies data and finds that copies are the same", async () => {
  await withReplicas({ cells: CELLS, others: [2, 3] }, async (scene, ...others) => {
    await fill(scene);
    order(scene);
    await Promise.all(others.map((other) => answerTids(other)));
    await Promise.all(others.map((other) => answerSerials(other)));
    await logged(scene, /INFO partition 1: 3 records are verified, 0 corrupted/);
    await logged(scene, /INFO partition 1: S1, S2, S3 have the same/);
    assert.deepEqual(reported(scene), []);
  });
});

Deno.test("CheckPartition without source reports the minority", async () => {
  await withReplicas({ cells: CELLS, others: [2, 3] }, async (scene, other, third) => {
    await fill(scene);
    order(scene);
    await Promise.all([answerTids(other), answerTids(third, { tidDigest: ZERO_HASH })]);
    await answerSerials(other);
    await logged(scene, /ERROR partition 1: S3 differ from S1, S2/);
    await logged(scene, /INFO partition 1: S1, S2 have the same/);
    assert.deepEqual(reported(scene), [{ partition: 1, nids: [3] }]);
    assert.ok(!third.names.includes("AskCheckSerialRange"), "it is not compared any more");
  });
});

Deno.test("CheckPartition may find that the node itself is wrong", async () => {
  await withReplicas({ cells: CELLS, others: [2, 3] }, async (scene, ...others) => {
    await fill(scene);
    order(scene);
    await Promise.all(others.map((other) => answerTids(other, { count: 2 })));
    await Promise.all(others.map((other) => answerSerials(other)));
    await logged(scene, /ERROR partition 1: S1 differ from S2, S3/);
    await logged(scene, /INFO partition 1: S2, S3 have the same/);
    assert.deepEqual(reported(scene), [{ partition: 1, nids: [1] }]);
  });
});

Deno.test("CheckPartition accuses nobody when two copies differ", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    order(scene);
    order(scene, { partition: 0, max: tid(998) });
    await answerTids(other);
    await answerSerials(other, { oidDigest: ZERO_HASH });
    await logged(scene, /ERROR partition 1: S1, S2 differ, nobody can tell which one is right/);
    assert.deepEqual(reported(scene), [{ partition: 1, nids: [] }]);
    const next = await other.asked("AskCheckTIDRange");
    assert.equal(next.args.partition, 0, "the other checks go on");
  });
});

Deno.test("CheckPartition reports those that differ from the source", async () => {
  await withReplicas({ cells: CELLS, others: [2, 3] }, async (scene, other, third) => {
    await fill(scene);
    order(scene, { source: { upstream: "", address: third.address } });
    await Promise.all([answerTids(other), answerTids(third, { count: 5 })]);
    await logged(scene, /ERROR partition 1: S1, S2 differ from S3/);
    assert.deepEqual(reported(scene), [{ partition: 1, nids: [1, 2] }]);
  });
});

Deno.test("CheckPartition goes on without a storage that is lost, unless it is the source", async () => {
  await withReplicas({ cells: CELLS, others: [2, 3] }, async (scene, other, third) => {
    await fill(scene);
    order(scene);
    await answerTids(other);
    await third.asked("AskCheckTIDRange");
    third.connection.close();
    await answerSerials(other);
    await logged(scene, /WARNING partition 1: S3 can't be compared/);
    await logged(scene, /INFO partition 1: S1, S2 have the same/);
    await scene.clock.advance(1000);
    order(scene, { source: { upstream: "", address: third.address } });
    await third.asked("AskCheckTIDRange");
    third.connection.close();
    await answerTids(other);
    await logged(scene, /WARNING partition 1: the comparison stops: the source is lost/);
    assert.deepEqual(reported(scene), []);
  });
});

Deno.test("CheckPartition tells what prevents it", async () => {
  const cells = [UP_TO_DATE, OUT_OF_DATE];
  await withReplicas({ cells }, async (scene, other) => {
    order(scene);
    await logged(scene, /WARNING partition 1: it is not checked: no complete cell here/);
    order(scene, { partition: 77 });
    await logged(scene, /WARNING partition 77: it is not checked/);
    order(scene, { partition: 0, source: { upstream: "other", address: null } });
    await logged(scene, /WARNING partition 0: .*other clusters are not supported yet/);
    const address = { host: "127.0.0.1", port: 5 };
    order(scene, { partition: 0, source: { upstream: "", address } });
    await logged(scene, /WARNING partition 0: .*the source has no copy/);
    other.stop();
    order(scene, { partition: 0 });
    await logged(scene, /WARNING partition 0: there is nothing to compare with/);
    assert.deepEqual(reported(scene), []);
  });
});

Deno.test("CheckPartition finds data that does not have its checksum", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    const { real } = scene.held();
    const { object } = real;
    real.object = async (id, at, before) => {
      const record = await object.call(real, id, at, before);
      if (record?.data && id === 3n) record.data.data[0] = 0;
      return record;
    };
    order(scene);
    await logged(scene, /ERROR partition 1: oid 0{15}3 at 0{14}c9 is corrupted here/);
    await logged(scene, /ERROR partition 1: 3 records are verified, 1 corrupted/);
    assert.deepEqual(reported(scene), [{ partition: 1, nids: [1] }]);
    await answerTids(other);
  });
});

Deno.test("AskCheckTIDRange and AskCheckSerialRange answer digests of ranges", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await fill(scene);
    await other.dial();
    const range = { partition: 1, length: 40_000, min: ZERO_TID, max: tid(999) };
    const tids = (given: object) => other.ask("AskCheckTIDRange", { ...range, ...given }).got();
    const serials = (given: object) =>
      other.ask("AskCheckSerialRange", { ...range, minOid: ZERO_OID, ...given }).got();
    assert.deepEqual(await tids({}), TIDS);
    assert.deepEqual(await serials({}), SERIALS);
    assert.deepEqual(await tids({ length: 2 }), {
      count: 2,
      tidDigest: digest("101,201"),
      maxTid: tid(201),
    });
    assert.deepEqual(await serials({ min: tid(101), minOid: oid(2), length: 1 }), {
      count: 1,
      tidDigest: digest("201"),
      maxTid: tid(201),
      oidDigest: digest("3"),
      maxOid: oid(3),
    });
    const nothing = { count: 0, tidDigest: ZERO_HASH, maxTid: ZERO_TID };
    assert.deepEqual(await tids({ max: tid(100) }), nothing);
    assert.deepEqual(await serials({ max: tid(100) }), {
      ...nothing,
      oidDigest: ZERO_HASH,
      maxOid: ZERO_OID,
    });
  });
});

Deno.test("AskCheckTIDRange reads long ranges in parts", async () => {
  await withReplicas({ cells: CELLS }, async (scene, other) => {
    await other.dial();
    const { database } = scene.held();
    const tids = Array.from({ length: 1200 }, (_, n) => tid(1 + 2 * n));
    const nothing = new Uint8Array(0);
    const metadata = { user: nothing, description: nothing, extension: nothing, oids: [] };
    database.cells.addTransactions(
      tids.map((id) => ({ ...metadata, tid: id, ttid: id, packed: false, pack: null })),
    );
    await database.flush();
    const ask = (max: Tid) =>
      other.ask("AskCheckTIDRange", { partition: 1, length: 40_000, min: ZERO_TID, max });
    assert.deepEqual(await ask(tid(99_999)).got(), {
      count: 1200,
      tidDigest: digest(tids.join()),
      maxTid: tids.at(-1),
    });
    assert.ok(scene.held().calls("tidsFrom") >= 3);
  });
});

Deno.test("AskCheckTIDRange is refused when the cell is incomplete, and waits for commits", async () => {
  await withReplicas({ cells: [UP_TO_DATE, OUT_OF_DATE] }, async (scene, other) => {
    await other.dial();
    const range = { length: 40_000, min: ZERO_TID, max: tid(999) };
    await other.ask("AskCheckTIDRange", { ...range, partition: 1 })
      .refused(ErrorCode.CHECKING_ERROR, /partition 1 not readable/);
    await other.ask("AskCheckSerialRange", { ...range, partition: 1, minOid: ZERO_OID })
      .refused(ErrorCode.CHECKING_ERROR, /partition 1 not readable/);
    const peer = await scene.connect(client(1));
    await peer.store(tid(102), oid(2), ZERO_TID, "a").got();
    await peer.vote(tid(102), [oid(2)]).got();
    await scene.master.lock(tid(102), tid(104));
    const asked = other.ask("AskCheckTIDRange", { ...range, partition: 0 });
    await quiet();
    assert.ok(asked.pending);
    scene.master.unlock(tid(102));
    assert.equal((await asked.got()).count, 1);
  });
});
