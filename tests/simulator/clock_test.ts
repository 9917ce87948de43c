import assert from "node:assert/strict";
import { TooLate, VirtualClock } from "../../simulator/clock.ts";
import { Random } from "../../simulator/random.ts";

Deno.test("VirtualClock calls back in the order of time, then of the calls", async () => {
  const clock = new VirtualClock();
  const random = new Random(1);
  const seen: { time: number; order: number }[] = [];
  for (let order = 0; order < 500; order++) {
    const time = random.int(0, 50);
    clock.after(time, () => seen.push({ time: clock.now, order }));
  }
  await clock.run(clock.delay(50), 50, "all");
  const sorted = seen.toSorted((a, b) => a.time - b.time || a.order - b.order);
  assert.equal(seen.length, 500);
  assert.deepEqual(seen, sorted);
  assert.equal(clock.pending, 0);
});

Deno.test("VirtualClock does not call back what was cancelled", async () => {
  const clock = new VirtualClock();
  const seen: number[] = [];
  const cancels = [1, 2, 3].map((time) => clock.after(time, () => seen.push(time)));
  cancels[1]?.();
  cancels[1]?.();
  assert.equal(clock.pending, 2);
  await clock.run(clock.delay(5), 5, "all");
  assert.deepEqual(seen, [1, 3]);
});

Deno.test("VirtualClock.run() lets all microtasks run before time passes", async () => {
  const clock = new VirtualClock();
  const times: number[] = [];
  const long = async () => {
    for (let i = 0; i < 1000; i++) await null;
    times.push(clock.now);
    await clock.delay(10);
    for (let i = 0; i < 1000; i++) await null;
    times.push(clock.now);
  };
  clock.after(10.5, () => {});
  await clock.run(long(), 100, "all");
  assert.deepEqual(times, [0, 10]);
});

Deno.test("VirtualClock.run() gives up when it takes too long or nothing happens", async () => {
  const clock = new VirtualClock();
  const never = new Promise(() => {});
  const tick = () => clock.after(10, tick);
  const cancel = clock.after(1, () => {});
  await assert.rejects(clock.run(never, 100, "it"), new TooLate("it: nothing happens any more"));
  cancel();
  tick();
  await assert.rejects(clock.run(never, 3000, "it"), new TooLate("it: not within 3 s"));
  assert(clock.now <= 3001);
});
