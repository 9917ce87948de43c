import { deepEqual, equal, rejects } from "node:assert/strict";
import { DatabaseError } from "../../../storage/database/mod.ts";
import { type Engine, type Write, write } from "../../../storage/database/sql.ts";
import { openSqlDatabase } from "../../../storage/database/sql_database.ts";
import { openSqlite } from "../../../storage/database/sqlite.ts";
import { sqliteDialect } from "../../../storage/database/sqlite_dialect.ts";
import { WriteQueue } from "../../../storage/database/write_queue.ts";
import { databaseOptions, initialize, metadata, tid } from "./support.ts";

/** An engine of which the test decides when commits end. */
class ManualEngine implements Engine {
  readonly dialect = sqliteDialect;
  onLost = () => {};
  /** What was committed, `!` for durably. */
  readonly log: string[] = [];
  #running: PromiseWithResolvers<void> | null = null;

  constructor(readonly eager: boolean) {}

  read() {
    return Promise.resolve([]);
  }

  commit(writes: readonly Write[], durable: boolean): Promise<void> {
    this.log.push(writes.map(({ sql }) => sql).join("+") + (durable ? "!" : ""));
    this.#running = Promise.withResolvers();
    return this.#running.promise;
  }

  /** Ends the commit that is running, and lets what follows happen. */
  async end(error?: Error): Promise<void> {
    await turn();
    if (error === undefined) this.#running?.resolve();
    else this.#running?.reject(error);
    await turn();
  }

  devicePath() {
    return Promise.resolve([]);
  }

  close() {
    return Promise.resolve();
  }
}

/** Milliseconds after which what nobody waits for is committed. */
const MAX_DELAY = 1000;

/** Lets all that is ready happen. */
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

function setup({ eager = false } = {}) {
  const engine = new ManualEngine(eager);
  const events: string[] = [];
  const timers = new Map<() => void, number>();
  const clock = { now: 0 };
  const queue = new WriteQueue(engine, {
    now: () => clock.now,
    setTimer: (callback, milliseconds) => {
      const run = () => {
        timers.delete(run);
        callback();
      };
      timers.set(run, milliseconds);
      return () => timers.delete(run);
    },
    onCommitted: (position) => events.push(`committed ${position}`),
    onFailed: ({ message }) => events.push(`failed: ${message}`),
  });
  const note = (name: string, promise: Promise<void>) =>
    promise.then(() => events.push(name), ({ message }) => events.push(`${name}: ${message}`));
  /** Ends the rest of the background, if it rests. Returns how many milliseconds it was to take. */
  const endRest = () => {
    for (const [run, milliseconds] of timers) {
      if (milliseconds === MAX_DELAY) continue;
      run();
      return milliseconds;
    }
    return null;
  };
  return { engine, queue, events, timers, clock, note, endRest };
}

Deno.test("WriteQueue.write() commits at once when the engine is eager and idle", async () => {
  const { engine, queue, events, note } = setup({ eager: true });
  queue.write(write("a"));
  await turn();
  deepEqual(engine.log, ["a"]);
  queue.write(write("b"));
  queue.write(write("c"));
  note("d", queue.commit(write("d")));
  await turn();
  deepEqual(engine.log, ["a"], "one commit at a time");
  await engine.end();
  deepEqual(engine.log, ["a", "b+c+d!"], "what waits shares the next one");
  queue.write(write("e"));
  await engine.end();
  deepEqual(engine.log, ["a", "b+c+d!", "e"]);
  deepEqual(events, ["committed 1", "committed 4", "d"]);
  await engine.end();
  queue.stop(new DatabaseError("end"));
});

Deno.test("WriteQueue.commit() shares a commit among what waits", async () => {
  const { engine, queue, events, note } = setup();
  note("a", queue.commit(write("a")));
  note("b", queue.commit(write("b")));
  await turn();
  note("c", queue.commit(write("c")));
  queue.write(write("lazy"));
  note("d", queue.commit(write("d")));
  deepEqual(engine.log, ["a+b!"]);
  await engine.end();
  deepEqual(events, ["committed 2", "a", "b"]);
  deepEqual(engine.log, ["a+b!", "c+lazy+d!"]);
  await engine.end();
  deepEqual(events.slice(3), ["committed 5", "c", "d"]);
});

Deno.test("WriteQueue.write() waits until somebody needs it", async () => {
  const { engine, queue, events, note } = setup();
  const position = queue.write(write("a"));
  await turn();
  deepEqual(engine.log, []);
  note("visible", queue.visible(position));
  await turn();
  queue.write(write("b"));
  deepEqual(engine.log, ["a"], "without fsync");
  await engine.end();
  deepEqual(events, ["committed 1", "visible"]);
  deepEqual(engine.log, ["a"], "b is not needed");
  await queue.visible(position);
  note("durable", queue.flush());
  await engine.end();
  deepEqual(engine.log, ["a", "b!"]);
  equal(events.at(-1), "durable");
});

Deno.test("WriteQueue.flush() makes durable what was only committed", async () => {
  const { engine, queue } = setup();
  queue.write(write("a"));
  queue.visible();
  await engine.end();
  const flushed = queue.flush();
  await engine.end();
  await flushed;
  deepEqual(engine.log, ["a", "!"]);
  await queue.flush();
  equal(engine.log.length, 2, "nothing is left to do");
});

Deno.test("WriteQueue.write() is durable after a delay", async () => {
  const { engine, queue, timers } = setup();
  queue.write(write("a"));
  queue.write(write("b"));
  equal(timers.size, 1);
  for (const run of timers.keys()) run();
  await engine.end();
  deepEqual(engine.log, ["a+b!"]);
  equal(timers.size, 0);
  const committed = queue.commit(write("c"));
  equal(timers.size, 1);
  await engine.end();
  await committed;
  equal(timers.size, 0, "the delay ends with the commit");
});

Deno.test("WriteQueue.write() starts a commit when much is queued", async () => {
  const { engine, queue } = setup();
  queue.write(write("a", new Uint8Array(1024 * 1024 + 1)));
  await engine.end();
  deepEqual(engine.log, ["a"]);
});

Deno.test("WriteQueue rejects everything after a failure", async () => {
  const { engine, queue, events, timers, note } = setup();
  note("a", queue.commit(write("a")));
  await turn();
  note("b", queue.commit(write("b")));
  note("c", queue.visible());
  await engine.end(new Error("no space"));
  deepEqual(events.toSorted(), ["a: no space", "b: no space", "c: no space", "failed: no space"]);
  await rejects(queue.commit(write("d")), DatabaseError);
  await rejects(queue.flush(), DatabaseError);
  await rejects(queue.visible(), DatabaseError);
  deepEqual(engine.log, ["a!"]);
  equal(timers.size, 0);
});

Deno.test("votes called together share commits", async () => {
  const options = databaseOptions(":memory:");
  const engine = await openSqlite(options);
  const db = await openSqlDatabase(engine, options);
  await initialize(db);
  const commit = engine.commit.bind(engine);
  let durable = 0;
  engine.commit = async (writes, wanted) => {
    if (wanted) durable++;
    await turn(); // The time of an fsync.
    await commit(writes, wanted);
  };
  const vote = (i: number) => db.vote(tid(i), [], metadata(), null);
  await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    await vote(i);
    await vote(100 + i);
  }));
  equal((await db.lockedTransactions()).size, 32);
  equal(durable, 2);
  await db.close();
});

Deno.test("WriteQueue.inBackground() commits alone and without fsync when nobody waits", async () => {
  const { engine, queue, clock } = setup();
  const time = queue.inBackground(() => queue.write(write("a")));
  await turn();
  deepEqual(engine.log, ["a"]);
  clock.now = 7;
  await engine.end();
  equal(await time, 7);
  equal(queue.commitTime, null, "that says nothing about commits of others");
  equal(await queue.inBackground(() => {}), 0, "there may be nothing to do");
  deepEqual(engine.log, ["a"]);
});

Deno.test("WriteQueue.inBackground() rides with what is waited for, but not twice in a row", async () => {
  const { engine, queue, events, clock, note, endRest } = setup();
  note("a", queue.commit(write("a")));
  await turn();
  const first = queue.inBackground(() => queue.write(write("x")));
  note("b", queue.commit(write("b")));
  clock.now = 4;
  await engine.end();
  equal(queue.commitTime, 4);
  deepEqual(engine.log, ["a!", "b+x!"]);
  clock.now = 10;
  await engine.end();
  equal(await first, 6);
  note("c", queue.commit(write("c")));
  const second = queue.inBackground(() => queue.write(write("y")));
  await turn();
  deepEqual(engine.log, ["a!", "b+x!", "c!"], "what is waited for goes first");
  endRest();
  await engine.end();
  deepEqual(engine.log, ["a!", "b+x!", "c!", "y!"]);
  await engine.end();
  await second;
  deepEqual(events.filter((event) => /^[abc]$/.test(event)), ["a", "b", "c"]);
});

Deno.test("WriteQueue.inBackground() rests between commits while others commit", async () => {
  const { engine, queue, clock, endRest } = setup();
  const commit = queue.commit(write("a"));
  await engine.end();
  await commit;
  clock.now = 50;
  const first = queue.inBackground(() => queue.write(write("x")));
  await turn();
  deepEqual(engine.log, ["a!", "x!"], "the next commit is not to pay for it");
  clock.now = 54;
  await engine.end();
  equal(await first, 4);
  const second = queue.inBackground(() => queue.write(write("y")));
  await turn();
  deepEqual(engine.log, ["a!", "x!"]);
  const other = queue.commit(write("b"));
  await engine.end();
  await other;
  deepEqual(engine.log, ["a!", "x!", "b!"], "others do not wait for the rest");
  equal(endRest(), 8);
  await turn();
  deepEqual(engine.log, ["a!", "x!", "b!", "y!"]);
  await engine.end();
  await second;
  endRest();
  clock.now = 1000;
  const third = queue.inBackground(() => queue.write(write("z")));
  await turn();
  equal(engine.log.at(-1), "z", "nobody has committed for long");
  await engine.end();
  await third;
  const fourth = queue.inBackground(() => queue.write(write("z")));
  await engine.end();
  await fourth;
  equal(queue.commitTime, 0);
  const burdened = queue.commit(write("c"));
  clock.now = 1100;
  await engine.end();
  await burdened;
  equal(queue.commitTime, 0, "it made what was done in the background durable too");
});

Deno.test("WriteQueue.inBackground() rejects when its commit fails, its work throws or the queue stops", async () => {
  const { engine, queue } = setup();
  const bug = queue.inBackground(() => {
    throw new Error("a bug");
  });
  await rejects(bug, /a bug/);
  const failing = queue.inBackground(() => queue.write(write("a")));
  const failed = rejects(failing, DatabaseError);
  await engine.end(new Error("disk full"));
  await failed;
  await rejects(queue.inBackground(() => queue.write(write("b"))), /disk full/);
  const other = setup();
  const waiting = other.queue.inBackground(() => other.queue.write(write("a")));
  other.queue.stop(new DatabaseError("closed"));
  await rejects(waiting, /closed/);
});
