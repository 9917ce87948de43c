/** Thousands of random transactions of 20 clients, whose recorded history is checked. */

import assert from "node:assert/strict";
import { type Database, openDatabase } from "../../storage/database/mod.ts";
import { RealCluster, type RealClusterOptions } from "../client/real_cluster.ts";
import { databaseOptions } from "../storage/database/support.ts";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { checkHistory } from "./history_checker.ts";
import { everything, Random, RandomClients } from "./random_clients.ts";
import { assertIdentical } from "./replicas.ts";

const CLIENTS = 20;
const OBJECTS = 200;
const SEED = 20;

/** Lets clients work on a cluster, and returns what is wrong with the history. */
async function problemsOf(
  options: RealClusterOptions,
  transactions: number,
  packs = true,
): Promise<{ problems: string[]; outcomes: ReadonlyMap<string, number> }> {
  const random = new Random(SEED);
  await using cluster = await RealCluster.start({
    partitions: 5,
    storages: 3,
    replicas: 1,
    // Mostly none: the order of what happens varies enough, and it takes less time.
    delay: () => random.below(4) === 0 ? random.next() : 0,
    ...options,
  });
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => cluster.connect({ cacheSize: 20_000 })),
  );
  const work = new RandomClients({ clients, objects: OBJECTS, transactions, random, packs });
  await work.run();
  const reader = await cluster.connect();
  for (const { id, approved } of await reader.packOrders()) {
    assert.equal(approved, true);
    await reader.waitForPack(id);
  }
  const { committed, reads, packs: packed, outcomes } = work;
  const problems = checkHistory({ committed, reads, packs: packed, ...await everything(reader) });
  if (problems.length === 0) await assertIdentical(cluster.databases);
  return { problems, outcomes };
}

function assertDiverse(outcomes: ReadonlyMap<string, number>): void {
  const expected = [
    "transfer: committed",
    "transfer: merged",
    "set: committed",
    "set: ConflictError",
    "delete: committed",
    "check: ReadConflictError",
    "undo: committed",
    "undo: merged",
    "undo: UndoError",
    "abort: aborted",
  ];
  const missing = expected.filter((outcome) => !outcomes.has(outcome));
  assert.deepEqual(missing, [], `what never happened, among ${[...outcomes]}`);
}

Deno.test("clients that do 5000 random transactions at once see one history on SQLite", async () => {
  const { problems, outcomes } = await problemsOf({}, 5000);
  assert.deepEqual(problems, []);
  assertDiverse(outcomes);
});

Deno.test({
  name: "clients that do 2000 random transactions at once see one history on MariaDB",
  ignore: !hasMariadb,
  async fn() {
    const server = await Mariadb.start();
    try {
      const openDatabase = async () => await open(server);
      const { problems, outcomes } = await problemsOf({ openDatabase }, 2000);
      assert.deepEqual(problems, []);
      assertDiverse(outcomes);
    } finally {
      await server.stop();
    }
  },
});

async function open(server: Mariadb): Promise<Database> {
  const address = server.address(await server.createDatabase());
  return await openDatabase("MySQL", databaseOptions(address));
}

/** What a storage does wrong, by what its database tells it. */
const BUGS: Readonly<Record<string, (database: Database) => Partial<Database>>> = {
  "conflicts are not noticed": () => ({ lastSerial: () => Promise.resolve(null) }),
  "reads are late": (database) => ({
    object: async (oid, at, before) => {
      const current = await database.object(oid, at, before);
      if (!current || before === null) return current;
      return await database.object(oid, null, current.serial) ?? current;
    },
  }),
  "a transaction loses its last object": (database) => ({
    vote: (ttid, objects, metadata, pack) =>
      database.vote(ttid, objects.slice(0, Math.max(1, objects.length - 1)), metadata, pack),
  }),
};

for (const [bug, wrong] of Object.entries(BUGS)) {
  Deno.test(`the history is found to be wrong when ${bug}`, async () => {
    const options = { openDatabase: () => openWrong(wrong), storages: 1, replicas: 0 };
    const outcome = await problemsOf(options, 500, false)
      .catch((error: unknown) => ({ problems: [String(error)] }));
    assert.notDeepEqual(outcome.problems, []);
  });
}

/** A database that does some things wrong. */
async function openWrong(wrong: (database: Database) => Partial<Database>): Promise<Database> {
  const database = await openDatabase("SQLite", databaseOptions(":memory:"));
  const overrides: Partial<Database> = wrong(database);
  return new Proxy(database, {
    get(target, property) {
      if (Object.hasOwn(overrides, property)) return Reflect.get(overrides, property);
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
