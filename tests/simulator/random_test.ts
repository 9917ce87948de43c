import assert from "node:assert/strict";
import { Random } from "../../simulator/random.ts";

const draw = (random: Random, count: number) => Array.from({ length: count }, () => random.float());

Deno.test("Random gives the same numbers for the same seed, others for another one", () => {
  for (const seed of [0, 1, 2 ** 31, 2 ** 32, 2 ** 40 + 7]) {
    assert.deepEqual(draw(new Random(seed), 20), draw(new Random(seed), 20));
    assert.notDeepEqual(draw(new Random(seed), 20), draw(new Random(seed + 1), 20));
  }
  // Both have the same lower half.
  assert.notDeepEqual(draw(new Random(5), 20), draw(new Random(5 + 2 ** 32), 20));
});

Deno.test("Random.float() is spread evenly", () => {
  const buckets = Array<number>(10).fill(0);
  for (const value of draw(new Random(3), 20_000)) {
    assert(value >= 0 && value < 1);
    const bucket = Math.floor(value * 10);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  for (const count of buckets) assert(count > 1800 && count < 2200, `${buckets}`);
});

Deno.test("Random draws within bounds", () => {
  const random = new Random(4);
  const ints = new Set<number>();
  for (let i = 0; i < 1000; i++) {
    ints.add(random.int(-1, 2));
    const between = random.between(5, 6);
    assert(between >= 5 && between < 6);
    const magnitude = random.magnitude(0.1, 1000);
    assert(magnitude >= 0.1 && magnitude < 1000);
    assert(random.exponential(3) >= 0);
  }
  assert.deepEqual([...ints].sort((a, b) => a - b), [-1, 0, 1, 2]);
  assert.deepEqual(random.sample([1, 2, 3], 5).sort(), [1, 2, 3]);
  assert.equal(new Set(random.sample([1, 2, 3, 4], 2)).size, 2);
  assert.throws(() => random.pick([]), RangeError);
});

Deno.test("Random.fork() is independent of what is drawn later", () => {
  const [one, other] = [new Random(6), new Random(6)];
  const [fork, same] = [one.fork(), other.fork()];
  draw(one, 5);
  assert.deepEqual(draw(fork, 10), draw(same, 10));
});
