/** The cache of revisions. */

import assert from "node:assert/strict";
import { type CacheOptions, ITEM_OVERHEAD, ObjectCache } from "../../client/cache.ts";
import { oid, tid } from "./fakes.ts";

/** Data of a revision that counts for 1000 bytes. */
const unit = () => new Uint8Array(1000 - ITEM_OVERHEAD);

/** A cache of so many units. */
function cacheOf(units: number, options: Partial<CacheOptions> = {}) {
  const cache = new ObjectCache({ maxSize: units * 1000, ...options });
  return {
    cache,
    store: (o: number, serial: number, next: number | null = null) =>
      cache.store(oid(o), {
        data: unit(),
        serial: tid(serial),
        next: next === null ? null : tid(next),
      }),
    load: (o: number, before: number | null = null) =>
      cache.load(oid(o), before === null ? null : tid(before))?.serial ?? null,
    /** Lengths of the queues. */
    queues: () => cache.statistics.queues,
  };
}

Deno.test("ObjectCache.load() answers for the tids a revision covers when bounds are given", () => {
  const { store, load } = cacheOf(10);
  store(1, 10, 20);
  store(1, 30);
  const found = [10, 11, 20, 21, 30, 31, 1000].map((before) => load(1, before));
  assert.deepEqual(found, [null, tid(10), tid(10), null, null, tid(30), tid(30)]);
  assert.equal(load(1), tid(30));
  assert.equal(load(2), null);
});

Deno.test("ObjectCache.load() finds no current revision when the last one is old", () => {
  const { store, load } = cacheOf(10);
  store(1, 10, 20);
  assert.equal(load(1), null);
  assert.equal(load(1, 20), tid(10));
});

Deno.test("ObjectCache.loadSerial() finds the revision of exactly that serial", () => {
  const { cache, store } = cacheOf(10);
  store(1, 10, 20);
  store(1, 20);
  assert.equal(cache.loadSerial(oid(1), tid(10))?.next, tid(20));
  assert.equal(cache.loadSerial(oid(1), tid(20))?.next, null);
  for (const other of [9, 11, 21]) assert.equal(cache.loadSerial(oid(1), tid(other)), null);
});

Deno.test("ObjectCache.store() keeps revisions in order whatever the order of the calls", () => {
  const { store, load } = cacheOf(10);
  store(1, 50, 60);
  store(1, 10, 20);
  store(1, 60);
  store(1, 30, 40);
  const found = [15, 25, 35, 45, 55, 65].map((before) => load(1, before));
  assert.deepEqual(found, [tid(10), null, tid(30), null, tid(50), tid(60)]);
});

Deno.test("ObjectCache.store() changes nothing when the same was stored by a concurrent load", () => {
  const { cache, store } = cacheOf(10);
  store(1, 10);
  const { size, time } = cache.statistics;
  store(1, 10);
  assert.deepEqual([cache.statistics.size, cache.statistics.time], [size, time]);
});

Deno.test("ObjectCache.store() throws when two different revisions would be current", () => {
  const { store } = cacheOf(10);
  store(1, 10);
  assert.throws(() => store(1, 20), /overlap/);
  assert.throws(() => store(1, 12, 14), /overlap/);
});

Deno.test("ObjectCache.store() ignores what is as big as the cache", () => {
  const cache = new ObjectCache({ maxSize: 100 });
  cache.store(oid(1), { data: new Uint8Array(100), serial: tid(1), next: null });
  assert.equal(cache.statistics.size, 0);
  const none = new ObjectCache({ maxSize: 0 });
  none.store(oid(1), { data: new Uint8Array(0), serial: tid(1), next: null });
  assert.equal(none.load(oid(1), null), null);
});

Deno.test("ObjectCache.store() drops nothing for what does not fit with its overhead", () => {
  const { cache, store, load } = cacheOf(10);
  store(1, 10);
  cache.store(oid(2), { data: new Uint8Array(9_900), serial: tid(10), next: null });
  assert.deepEqual([load(1), load(2)], [tid(10), null]);
});

Deno.test("ObjectCache.invalidate() gives the current revision an end, and keeps it", () => {
  const { cache, store, load } = cacheOf(10);
  store(1, 10);
  cache.invalidate(oid(1), tid(20));
  assert.equal(load(1), null);
  assert.equal(load(1, 20), tid(10));
  assert.equal(load(1, 21), null);
  cache.invalidate(oid(2), tid(20));
  // A storage node told it before the master did.
  store(2, 10, 15);
  cache.invalidate(oid(2), tid(15));
  cache.invalidate(oid(2), tid(30));
  assert.equal(load(2, 15), tid(10));
  assert.throws(() => cache.invalidate(oid(2), tid(12)), /invalidates/);
});

Deno.test("ObjectCache.invalidate() changes nothing when the revision is later", () => {
  const { cache, store, load } = cacheOf(10);
  store(1, 30);
  cache.invalidate(oid(1), tid(30));
  cache.invalidate(oid(1), tid(20));
  assert.equal(load(1), tid(30));
});

Deno.test("ObjectCache raises a revision with the logarithm of its accesses", () => {
  const { store, load, queues } = cacheOf(10);
  store(1, 10);
  const levels = [queues().indexOf(1)];
  for (let i = 2; i <= 16; i++) {
    load(1);
    levels.push(queues().indexOf(1));
  }
  assert.deepEqual(levels, [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5]);
});

Deno.test("ObjectCache evicts from the lowest queue, the longest unused first", () => {
  const { store, load } = cacheOf(3);
  store(1, 10);
  store(2, 10);
  store(3, 10);
  load(1);
  store(4, 10);
  assert.deepEqual([load(1), load(2), load(3), load(4)], [tid(10), null, tid(10), tid(10)]);
  store(5, 10);
  // 1 has been used thrice, 3 and 4 twice: they are not in the lowest queue. 5 is, alone.
  assert.deepEqual([load(1), load(3), load(4), load(5)], [tid(10), tid(10), tid(10), null]);
});

Deno.test("ObjectCache remembers the popularity of what it evicted", () => {
  const { store, load, queues, cache } = cacheOf(2);
  store(1, 10);
  for (let i = 0; i < 3; i++) load(1);
  store(2, 10);
  for (let i = 0; i < 7; i++) load(2);
  store(3, 10); // Evicts itself: it is the only one in the lowest queue.
  assert.deepEqual(queues(), [1, 0, 0, 1, 1]);
  store(4, 10);
  assert.equal(cache.statistics.size, 2000);
  store(3, 10); // Its second access.
  assert.deepEqual(queues(), [2, 0, 0, 1, 1], "still the lowest");
  store(3, 10);
  store(3, 10);
  assert.equal(load(3), tid(10), "popular enough to replace another one");
  assert.equal(load(1), null);
});

Deno.test("ObjectCache.store() corrects the end of a revision that comes back from the history", () => {
  const { cache, store, load } = cacheOf(1);
  store(1, 10);
  store(2, 10);
  assert.equal(load(1), null);
  cache.invalidate(oid(1), tid(50));
  store(1, 10, 30);
  assert.equal(load(1, 30), tid(10));
  assert.equal(load(1, 31), null);
});

Deno.test("ObjectCache gives the popularity of a revision to the one that follows", () => {
  const { cache, store, load, queues } = cacheOf(10);
  store(1, 10);
  for (let i = 0; i < 7; i++) load(1);
  assert.deepEqual(queues(), [0, 0, 0, 0, 1]);
  cache.invalidate(oid(1), tid(20));
  store(1, 20);
  assert.deepEqual(queues(), [0, 1, 0, 0, 1], "the old one starts again");
  assert.equal(load(1, 20), tid(10));
});

Deno.test("ObjectCache gives the popularity of an evicted revision to the one that follows", () => {
  const { cache, store, load, queues } = cacheOf(2);
  store(1, 10);
  load(1);
  store(2, 10);
  for (let i = 0; i < 3; i++) load(2);
  store(3, 10);
  for (const o of [3, 3, 3]) store(o, 10); // Evicts 1.
  assert.equal(load(1), null);
  cache.invalidate(oid(1), tid(20));
  const objects = cache.statistics.objects;
  store(1, 20);
  assert.equal(cache.statistics.objects, objects);
  const [history] = queues();
  assert.ok(history !== undefined && history <= 2);
});

Deno.test("ObjectCache demotes one revision per access when it was not used for long", () => {
  const { store, load, queues } = cacheOf(10, { lifeTime: 2 });
  store(1, 10);
  load(1);
  assert.deepEqual(queues(), [0, 0, 1]);
  store(2, 10);
  assert.deepEqual(queues(), [0, 1, 1], "not yet");
  load(2);
  assert.deepEqual(queues(), [0, 1, 1], "1 went down when 2 went up");
  load(2);
  load(2);
  assert.deepEqual(queues(), [0, 1, 0, 1], "one step at a time");
  load(2);
  assert.equal(queues()[0], 1, "and down to the history");
  assert.equal(load(1), null);
});

Deno.test("ObjectCache limits the number of revisions it remembers without data", () => {
  const { cache, store, queues } = cacheOf(1, { maxHistory: 3 });
  for (let o = 1; o <= 10; o++) store(o, 10);
  assert.deepEqual(queues(), [3, 1]);
  assert.equal(cache.statistics.objects, 4);
});

Deno.test("ObjectCache.clearCurrent() keeps old revisions, and the popularity of others", () => {
  const { cache, store, load, queues } = cacheOf(10);
  store(1, 10, 20);
  store(1, 20);
  for (let i = 0; i < 7; i++) load(1);
  store(2, 10);
  cache.clearCurrent();
  assert.deepEqual([load(1), load(2)], [null, null]);
  assert.equal(load(1, 20), tid(10));
  assert.equal(cache.statistics.size, 1000);
  // Object 1 was not changed, object 2 was.
  store(1, 20);
  assert.equal(queues()[4], 1, "as popular as before");
  store(2, 15);
  assert.deepEqual([load(1), load(2)], [tid(20), tid(15)]);
});

Deno.test("ObjectCache.clearCurrent() does not make the history lie about old revisions", () => {
  const { cache, store, load } = cacheOf(10);
  store(1, 10);
  cache.clearCurrent();
  // It was followed by 15 while nobody listened.
  cache.invalidate(oid(1), tid(30));
  store(1, 15, 30);
  store(1, 30);
  const found = [12, 16, 30, 31].map((before) => load(1, before));
  assert.deepEqual(found, [null, tid(15), tid(15), tid(30)]);
  store(1, 10, 15);
  assert.deepEqual([load(1, 12), load(1, 15), load(1, 16)], [tid(10), tid(10), tid(15)]);
});

Deno.test("ObjectCache.clear() forgets everything", () => {
  const { cache, store, load } = cacheOf(10);
  store(1, 10);
  load(1);
  cache.clear();
  assert.deepEqual(cache.statistics, {
    hits: 0,
    misses: 0,
    objects: 0,
    size: 0,
    maxSize: 10_000,
    time: 0,
    queues: [0],
  });
});

Deno.test("ObjectCache counts hits and misses", () => {
  const { cache, store, load } = cacheOf(10);
  store(1, 10);
  load(1);
  load(1);
  load(2);
  const { hits, misses, objects, size } = cache.statistics;
  assert.deepEqual([hits, misses, objects, size], [2, 1, 1, 1000]);
});

Deno.test("ObjectCache tells the truth and keeps its limits when used at random", () => {
  let seed = 1;
  const random = (n: number) => {
    seed = Math.imul(seed, 1103515245) + 12345 & 0x7fffffff;
    return (seed >> 8) % n;
  };
  const cache = new ObjectCache({ maxSize: 20_000, lifeTime: 50, maxHistory: 20 });
  /** Serials by object; data tells which revision it is. */
  const truth = Array.from({ length: 30 }, () => [1]);
  let last = 1;
  for (let step = 0; step < 20_000; step++) {
    const o = random(truth.length);
    const serials = truth[o] ?? [];
    switch (random(8)) {
      case 0:
        serials.push(++last);
        cache.invalidate(oid(o), tid(last));
        break;
      case 1:
        if (random(50) === 0) cache.clearCurrent();
        break;
      default: {
        const before = random(3) === 0 ? 1 + random(last) + 1 : last + 1;
        const index = serials.findLastIndex((serial) => serial < before);
        const serial = serials[index];
        if (serial === undefined) break;
        const next = serials[index + 1];
        const expected = {
          data: Uint8Array.of(o, serial & 255, ...new Uint8Array(random(3000))),
          serial: tid(serial),
          next: next === undefined ? null : tid(next),
        };
        const found = cache.load(oid(o), before > last ? null : tid(before));
        if (found === null) cache.store(oid(o), expected);
        else {
          assert.deepEqual([found.serial, found.next], [expected.serial, expected.next]);
          assert.deepEqual([...found.data.subarray(0, 2)], [o, serial & 255]);
        }
      }
    }
    const { size, queues } = cache.statistics;
    assert.ok(size <= 20_000 && size >= 0);
    assert.ok((queues[0] ?? 0) <= 20);
  }
  const { hits, misses } = cache.statistics;
  assert.ok(hits > 1000 && misses > 1000, `${hits} ${misses}`);
});
