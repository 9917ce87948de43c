/** Operators order the start on both sides of a broken network: two primaries serve. */

import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { type Reign, yields } from "../../master/election.ts";
import { ClusterState, NodeType } from "../../protocol/enums.ts";
import { type Tid, toTid } from "../../protocol/ids.ts";
import { masterAddress, Masters } from "./masters.ts";
import { answerOf, begin, errorOf, finishArgs, type Peer, settle } from "./support.ts";

const { ADMIN } = NodeType;
const host = (n: number) => masterAddress(n).host;
const TABLE = { ptid: 5, rows: "UU|UU", replicas: 1 };

interface Split {
  readonly scene: Masters;
  readonly admins: readonly [Peer, Peer];
  readonly storages: readonly [Peer, Peer];
  readonly clients: readonly [Peer, Peer];
}

async function order(admin: Peer): Promise<void> {
  admin.command("SetClusterState", { state: ClusterState.VERIFYING });
  await settle();
}

async function commit(client: Peer, oid: bigint): Promise<Tid> {
  const finish = client.ask("AskFinishTransaction", finishArgs(await begin(client), oid));
  await settle();
  return answerOf(finish).tid;
}

/** Both masters serve, each with one of the storages. */
async function split(scene: Masters): Promise<Split> {
  await scene.cut(1, 2);
  await scene.start(1, 2);
  const admins = [await scene.peer(ADMIN, 1), await scene.peer(ADMIN, 2)] as const;
  const storages = [
    await scene.storage(1, TABLE, { nid: 1 }),
    await scene.storage(2, TABLE, { nid: 2 }),
  ] as const;
  await scene.pass(2000);
  for (const admin of admins) await order(admin);
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", "primary RUNNING"]);
  return { scene, admins, storages, clients: [await scene.client(1), await scene.client(2)] };
}

function masters(): Masters {
  return new Masters({ masters: [masterAddress(1), masterAddress(2)] });
}

const errors = (scene: Masters, pattern: RegExp) =>
  scene.warnings.filter((text) => text.startsWith("ERROR") && pattern.test(text)).length;

Deno.test("One of two primaries that serve gives way as soon as they can meet", async () => {
  await using scene = masters();
  const { admins, storages, clients } = await split(scene);
  const tid = await commit(clients[0], 1n);
  await scene.pass(60_000);
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", "primary RUNNING"], "nobody can know");
  assert((await commit(clients[1], 2n)) > tid);

  scene.heal();
  await scene.pass(25_000);
  // Their tables changed as often. The second one committed last.
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", "primary RUNNING"]);
  assert(clients[0].closed && !clients[1].closed);
  assert.equal(errors(scene, /10\.0\.1\.2:10000 serves the same cluster.* gives way.* S1 /), 1);
  // Its storage is not let go, and nothing starts again by itself.
  await scene.pass(60_000);
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", "primary RUNNING"]);
  assert(!storages[0].closed && !storages[1].closed);
  assert.equal(await scene.state(admins[0]), ClusterState.RECOVERING);
  const client = await scene.client(1);
  await scene.pass(1500);
  assert.match(errorOf(client.identification), /NOT_READY/);
});

Deno.test("A primary that has given way keeps its storages, and takes nobody else's", async () => {
  await using scene = masters();
  const { storages } = await split(scene);
  scene.heal();
  await scene.pass(25_000);
  assert.equal(scene.roles(1, 2).filter((role) => role === "primary RECOVERING").length, 1);
  const loser = scene.role(1) === "primary RECOVERING" ? 1 : 2;
  await storages[loser - 1]?.kill();
  const back = await scene.storage(loser, { ...TABLE, ptid: 6 }, { nid: loser });
  assert.equal(back.nid, loser);
  const other = await scene.storage(loser, { ...TABLE, ptid: 6 }, { nid: 3 - loser });
  assert.match(errorOf(other.identification), /NOT_READY .* given way/);
  const master = await scene.rival(loser, 3, { idTimestamp: 1 });
  assert.match(errorOf(master.identification), /NOT_READY .* given way/);
});

Deno.test("A primary that was replaced while it was frozen does not count as one that serves", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(1000);
  const old = [await scene.storage(1), await scene.storage(1)];
  const thaw = scene.freeze(1);
  await scene.pass(20_000);
  const storages = [];
  for (const nid of [1, 2]) storages.push(await scene.storage(2, { ...TABLE, ptid: 1 }, { nid }));
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", "primary RUNNING"]);
  await scene.pass(20_000);
  await thaw();
  // It has not noticed yet that its storages are gone.
  await scene.pass(100);
  assert.equal(scene.role(1), "primary RUNNING");
  for (const storage of old) await storage.kill();
  await scene.pass(20_000);
  assert.deepEqual(scene.roles(1, 2), [`secondary of ${host(2)}`, "primary RUNNING"]);
  assert.equal(errors(scene, /./), 0);
  assert(storages.every(({ closed }) => !closed));
});

Deno.test("The side that gave way serves again when an operator stops the other one", async () => {
  await using scene = masters();
  const { admins, clients } = await split(scene);
  await commit(clients[1], 2n);
  scene.heal();
  await scene.pass(25_000);
  assert.deepEqual(scene.roles(1, 2), ["primary RECOVERING", "primary RUNNING"]);
  await order(admins[0]);
  assert.equal(scene.role(1), "primary RUNNING");
  await scene.pass(6_000);
  assert.equal(scene.role(1), "primary RECOVERING", "not as long as the other one serves");
  assert.equal(errors(scene, / gives way/), 2);
  await scene.kill(2);
  await order(admins[0]);
  await scene.pass(60_000);
  assert.equal(scene.role(1), "primary RUNNING");
});

Deno.test("A storage that served under another master since it was left behind can't join", async () => {
  await using scene = masters();
  const { admins } = await split(scene);
  await scene.kill(2);
  // As its master said when it started without the first one.
  const elsewhere = { ptid: 6, rows: "OU|OU", replicas: 1 };
  for (let i = 0; i < 3; i++) {
    const storage = await scene.storage(1, elsewhere, { nid: 2 });
    assert(storage.closed);
    assert.equal(storage.count("SendPartitionTable"), 0);
  }
  const refusals = /S2 was left behind with partition table 5, and comes back with 6/;
  assert.equal(errors(scene, refusals), 1, "told once");
  assert.equal(await scene.state(admins[0]), ClusterState.RUNNING);
  // One that was nowhere else since replicates what it lacks.
  const storage = await scene.storage(1, TABLE, { nid: 2 });
  assert.equal(storage.count("StartOperation"), 1);
  assert.equal(storage.last("SendPartitionTable").ptid, 6);
});

Deno.test("A storage that served under another master does not decide what is recovered", async () => {
  await using scene = new Masters({ masters: [] });
  const { admins, storages } = await split(scene);
  await scene.kill(2);
  await storages[0].kill();
  assert.equal(await scene.state(admins[0]), ClusterState.RECOVERING);
  const other = await scene.storage(1, { ptid: 9, rows: "OU|OU", replicas: 1 }, { nid: 2 });
  assert(other.closed);
  await scene.storage(1, { ptid: 6, rows: "UO|UO", replicas: 1 }, { nid: 1 });
  assert.equal(await scene.state(admins[0]), ClusterState.RUNNING);
});

Deno.test("A primary only looks for masters that are not its secondaries, and disturbs nobody", async () => {
  await using scene = await new Masters().start(1, 2);
  await scene.pass(1000);
  for (let i = 0; i < 2; i++) await scene.storage(1);
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", `secondary of ${host(1)}`]);
  const links = scene.masterLinks();
  await scene.pass(60_000);
  assert.deepEqual(scene.masterLinks(), links);
  // A candidate that was cut off becomes a secondary.
  await scene.cut(1, 2);
  await scene.pass(20_000);
  assert.equal(scene.role(2), "primary RECOVERING");
  scene.heal();
  await scene.pass(20_000);
  assert.deepEqual(scene.roles(1, 2), ["primary RUNNING", `secondary of ${host(1)}`]);
  assert.deepEqual(scene.masterLinks(), links);
});

Deno.test("yields() is a strict total order, so that one of two gives way", () => {
  const reign: fc.Arbitrary<Reign> = fc.record({
    ptid: fc.integer({ min: 1, max: 3 }),
    lastTid: fc.integer({ min: 1, max: 2 }).map((tid) => toTid(BigInt(tid))),
    address: fc.record({ host: fc.constantFrom("a", "b"), port: fc.constantFrom(1, 2) }),
  });
  const key = ({ ptid, lastTid, address }: Reign) =>
    `${ptid} ${lastTid} ${address.host} ${address.port}`;
  fc.assert(fc.property(reign, reign, reign, (a, b, c) => {
    assert.equal(yields(a, b) || yields(b, a), key(a) !== key(b));
    assert(!(yields(a, b) && yields(b, a)));
    if (yields(a, b) && yields(b, c)) assert(yields(a, c));
  }));
});
