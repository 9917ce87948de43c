/** Many at once: what each of them sees is one state of the database. */

import assert from "node:assert/strict";
import { type Client, ConflictError, type Oid } from "../../client/mod.ts";
import type { Lines, Scene, Test } from "./harness.ts";
import { type Connection, ObjectDatabase } from "./object_database.ts";
import { at, bytes, dostore, text, valueOf } from "./operations.ts";

/** Two counters. All who change one keep the invariant. */
interface Model {
  readonly one: Oid;
  readonly two: Oid;
  /** Changes them in a transaction, or only one of them. */
  step(connection: Connection): Promise<void>;
  /** What is wrong, if something is. */
  check(connection: Connection): Promise<void>;
}

async function pair(client: Client): Promise<[Oid, Oid]> {
  return [(await dostore(client, { data: "0" })).oid, (await dostore(client, { data: "0" })).oid];
}

const read = async (connection: Connection, oid: Oid) => Number(await connection.load(oid));

/** Both counters are always equal. */
async function equalCounters(client: Client): Promise<Model> {
  const [one, two] = await pair(client);
  return {
    one,
    two,
    async step(connection) {
      for (const oid of [one, two]) connection.set(oid, `${await read(connection, oid) + 1}`);
      await connection.commit();
    },
    async check(connection) {
      assert.equal(await read(connection, one), await read(connection, two));
    },
  };
}

/** The first is incremented, then the second, so that the first is never behind, or two ahead. */
async function phases(client: Client): Promise<Model> {
  const [one, two] = await pair(client);
  return {
    one,
    two,
    async step(connection) {
      const [a, b] = [await read(connection, one), await read(connection, two)];
      if (a === b) {
        connection.set(one, `${a + 1}`);
        connection.readCurrent(two);
      } else {
        connection.set(two, `${b + 1}`);
        connection.readCurrent(one);
      }
      await connection.commit();
    },
    async check(connection) {
      const ahead = await read(connection, one) - await read(connection, two);
      assert.ok(ahead === 0 || ahead === 1, `${ahead} ahead`);
    },
  };
}

/** Reads with half of the objects loaded again. */
async function verify(connection: Connection, model: Model, round: number): Promise<void> {
  connection.forget(round % 2 === 0 ? model.one : model.two);
  await model.check(connection);
}

async function stepUnlessConflict(connection: Connection, model: Model): Promise<boolean> {
  try {
    await model.step(connection);
    return true;
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    return false;
  }
}

type MakeModel = (client: Client) => Promise<Model>;

/** One writes and one reads, with the same client. */
const localRace = (make: MakeModel, rounds: number): Test => async ({ client }) => {
  const model = await make(client);
  using database = new ObjectDatabase(client);
  const [writer, reader] = [database.open(), database.open()];
  const write = async () => {
    for (let i = 0; i < rounds; i++) {
      await writer.begin();
      await model.step(writer);
    }
  };
  const readAll = async () => {
    for (let i = 0; i < rounds; i++) {
      // With and without a round trip.
      if (i % 2 === 0) await reader.begin();
      else reader.poll();
      await verify(reader, model, i);
    }
  };
  await Promise.all([write(), readAll()]);
  await reader.begin();
  await verify(reader, model, 0);
};

/** Workers of which each has its own client. */
const externalRace =
  (make: MakeModel, workers: number, rounds: number): Test => async ({ client, connect }) => {
    const model = await make(client);
    let commits = 0;
    await Promise.all(Array.from({ length: workers }, async (_, worker) => {
      using database = new ObjectDatabase(await connect());
      const connection = database.open();
      for (let i = 0; i < rounds; i++) {
        await connection.begin();
        await verify(connection, model, i);
        if ((i + worker) % 4 === 0 && await stepUnlessConflict(connection, model)) commits++;
      }
    }));
    assert.ok(commits > 0);
    await checkSum(client, model, commits);
  };

/** Workers that open and close clients all the time. */
const disconnectRace = (workers: number, rounds: number): Test => async ({ client, connect }) => {
  const model = await phases(client);
  let commits = 0;
  await Promise.all(Array.from({ length: workers }, async () => {
    for (let i = 0; i < rounds; i++) {
      await using own = await connect();
      using database = new ObjectDatabase(own);
      const connection = database.open();
      await connection.begin();
      await verify(connection, model, i);
      if (await stepUnlessConflict(connection, model)) commits++;
      await connection.begin();
      await verify(connection, model, i + 1);
    }
  }));
  await checkSum(client, model, commits);
};

/** No commit is lost. */
async function checkSum(client: Client, model: Model, commits: number): Promise<void> {
  await client.sync();
  const [one, two] = [await valueOf(client, model.one), await valueOf(client, model.two)].map(
    Number,
  );
  assert.ok(one !== undefined && two !== undefined);
  assert.ok(
    one + two === commits || one === commits && two === commits,
    `${one}, ${two}, ${commits}`,
  );
}

/** Workers with their own connections that each commit ten changes to a mapping in the root. */
async function sharedRoot({ client, connect }: Scene, workers: number): Promise<void> {
  const root = await dostore(client, { data: "{}" });
  const add = async (name: string) => {
    using database = new ObjectDatabase(await connect());
    const connection = database.open();
    const retrying = async (change: () => Promise<void>) => {
      for (;;) {
        await connection.begin();
        await change();
        try {
          return void await connection.commit();
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
        }
      }
    };
    const mapping = await database.client.newOid();
    await retrying(async () => {
      const names = JSON.parse(await connection.load(root.oid));
      connection.set(mapping, "{}");
      connection.set(root.oid, JSON.stringify({ ...names, [name]: `${mapping}` }));
    });
    for (let i = 0; i < 10; i++) {
      await retrying(async () => {
        const known = JSON.parse(await connection.load(mapping));
        connection.set(mapping, JSON.stringify({ ...known, [`key ${i}`]: i }));
      });
    }
    return mapping;
  };
  const names = Array.from({ length: workers }, (_, i) => `worker ${i}`);
  const mappings = await Promise.all(names.map(add));
  await client.sync();
  const expected = Object.fromEntries(names.map((name, i) => [name, `${mappings[i]}`]));
  assert.deepEqual(JSON.parse(await valueOf(client, root.oid)), expected);
  for (const mapping of mappings) {
    assert.equal(Object.keys(JSON.parse(await valueOf(client, mapping))).length, 10);
  }
}

/** Transactions of which the phases are mixed. */
async function interleaved({ client, connect }: Scene, workers: number): Promise<void> {
  const stored = await Promise.all(Array.from({ length: workers }, async (_, worker) => {
    const own = worker % 2 === 0 ? client : await connect();
    const objects: { oid: Oid; data: string }[] = [];
    for (let i = 0; i < 10; i++) {
      await using transaction = await own.begin();
      for (const data of [`${worker}, ${i}, a`, `${worker}, ${i}, b`]) {
        const oid = await own.newOid();
        await transaction.store(oid, null, bytes(data));
        objects.push({ oid, data });
      }
      await own.sync();
      await transaction.vote();
      await own.sync();
      const tid = await transaction.finish();
      for (const { oid, data } of objects.slice(-2)) {
        assert.deepEqual(await own.load(oid), { data: bytes(data), serial: tid, next: null });
      }
    }
    return objects;
  }));
  const all = stored.flat();
  assert.equal(new Set(all.map(({ oid }) => oid)).size, 20 * workers);
  const other = await connect();
  for (const { oid, data } of all) assert.equal(await valueOf(other, oid), data);
}

/** Readers of all kinds, while somebody writes. */
const mixedReads: Test = async ({ client, connect }) => {
  const stored: { oid: Oid; tid: bigint }[] = [];
  for (let i = 0; i < 20; i++) {
    stored.push(await dostore(client, { data: `${i}`, description: "x" }));
  }
  const readers = [
    async (own: Client, i: number) => {
      const { oid, tid } = at(stored, i % stored.length);
      assert.deepEqual((await own.load(oid)).serial, tid);
    },
    async (own: Client, i: number) => {
      const { oid } = at(stored, i % stored.length);
      const { serial } = await own.load(oid);
      assert.equal(text((await own.loadSerial(oid, serial)).data), `${i % stored.length}`);
    },
    async (own: Client) => {
      const tids = (await own.undoLog({ last: -5 })).map(({ tid }) => tid);
      assert.equal(tids.length, 5);
      assert.deepEqual(tids, tids.toSorted((a, b) => (a < b ? 1 : -1)));
    },
    async (own: Client) => {
      let last = 0n;
      for await (const { tid } of own.iterator()) {
        assert.ok(tid > last);
        last = tid;
      }
    },
  ];
  const reading = readers.map(async (reader, i) => {
    const own = i % 2 === 0 ? client : await connect();
    for (let round = 0; round < 30; round++) await reader(own, round);
  });
  const writing = (async () => {
    for (let i = 0; i < 20; i++) await dostore(client);
  })();
  await Promise.all([...reading, writing]);
};

export const races: Lines = {
  "load/open vs local invalidation, equal counters": localRace(equalCounters, 250),
  "load/open vs local invalidation, phases": localRace(phases, 250),
  "load vs external invalidation, equal counters": externalRace(equalCounters, 8, 50),
  "load vs external invalidation, phases": externalRace(phases, 8, 50),
  "external invalidation vs disconnect": disconnectRace(64, 3),
};

export const concurrency: Lines = {
  "2 threads with their own connections": (scene) => sharedRoot(scene, 2),
  "7 threads with their own connections": (scene) => sharedRoot(scene, 7),
  "2 threads on the storage": (scene) => interleaved(scene, 2),
  "7 threads on the storage": (scene) => interleaved(scene, 7),
  "4 threads that read in different ways": mixedReads,
};
