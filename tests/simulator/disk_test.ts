import assert from "node:assert/strict";
import { VirtualClock } from "../../simulator/clock.ts";
import { Disk, type DiskOptions } from "../../simulator/disk.ts";
import { Random } from "../../simulator/random.ts";
import { DatabaseError } from "../../storage/database/database.ts";
import { type Engine, write } from "../../storage/database/sql.ts";

function newDisk(seed = 1, options: Partial<DiskOptions> = {}) {
  const clock = new VirtualClock();
  const disk = new Disk("s1", clock, new Random(seed), {
    fsync: 10,
    read: 0,
    eager: true,
    ...options,
  });
  const run = <T>(promise: Promise<T>) => clock.run(promise, 10_000, "the disk");
  const open = () => run(disk.open());
  return { clock, disk, run, open };
}

const CREATE = [write("CREATE TABLE t (n INTEGER)")];
const insert = (n: number) => [write("INSERT INTO t VALUES (?)", n)];

async function numbers(engine: Engine): Promise<number[]> {
  return (await engine.read("SELECT n FROM t ORDER BY n", [])).map(([n]) => Number(n));
}

Deno.test("Disk keeps what is durable when the power fails, and a beginning of the rest", async () => {
  const kept = new Set<number>();
  for (let seed = 1; seed < 60; seed++) {
    const { disk, run, open } = newDisk(seed);
    const engine = await open();
    await run(engine.commit(CREATE, false));
    for (let n = 1; n <= 6; n++) await run(engine.commit(insert(n), n === 3));
    disk.crash(true);
    const found = await numbers(await open());
    assert.deepEqual(found, [1, 2, 3, 4, 5, 6].slice(0, found.length));
    kept.add(found.length);
    disk.discard();
  }
  assert.deepEqual([...kept].sort(), [3, 4, 5, 6]);
});

Deno.test("Disk keeps all that is committed when only the process is killed", async () => {
  const found = new Set<string>();
  for (let seed = 1; seed < 30; seed++) {
    const { clock, disk, run, open } = newDisk(seed);
    const engine = await open();
    await run(engine.commit(CREATE, false));
    await run(engine.commit(insert(1), false));
    let settled = false;
    engine.commit(insert(2), true).finally(() => settled = true);
    disk.crash(false);
    await run(clock.delay(1000));
    assert.equal(settled, false);
    found.add(String(await numbers(await open())));
    disk.discard();
  }
  // Nobody knows about the one that was running.
  assert.deepEqual([...found].sort(), ["1", "1,2"]);
});

Deno.test("Disk shows a commit when it is done, not before", async () => {
  const { run, open, clock } = newDisk();
  const engine = await open();
  await run(engine.commit(CREATE, true));
  const committed = engine.commit(insert(1), true);
  assert.deepEqual(await numbers(engine), []);
  const before = clock.now;
  await run(committed);
  assert(clock.now > before);
  assert.deepEqual(await numbers(engine), [1]);
  engine.commit(insert(2), true);
  assert.throws(() => engine.commit(insert(3), true), /a commit is running already/);
});

Deno.test("Disk takes time to read if it is that of a server", async () => {
  const { run, open, clock } = newDisk(1, { read: 5 });
  const engine = await open();
  const before = clock.now;
  await run(engine.read("SELECT 1", []));
  assert(clock.now > before);
});

Deno.test("Disk.broken makes everything fail, for ever once the engine is lost", async () => {
  const { disk, run, open } = newDisk();
  const engine = await open();
  await run(engine.commit(CREATE, true));
  disk.broken = true;
  await assert.rejects(run(engine.commit(insert(1), true)), DatabaseError);
  await assert.rejects(run(disk.open()), DatabaseError);
  disk.broken = false;
  await assert.rejects(run(engine.commit(insert(2), true)), DatabaseError);
  await assert.rejects(numbers(engine), DatabaseError);
  await engine.close();
  assert.deepEqual((await numbers(await open())).filter((n) => n !== 1), []);
});

Deno.test("Disk.open() refuses a second process, until the first one is gone", async () => {
  const { disk, run, open } = newDisk();
  const engine = await open();
  await assert.rejects(open(), /the database is locked/);
  await engine.close();
  await open();
  const waiting = disk.open();
  disk.crash(false);
  let settled = false;
  waiting.finally(() => settled = true).catch(() => {});
  await run(disk.clock.delay(1000));
  assert.equal(settled, false);
  await open();
});
