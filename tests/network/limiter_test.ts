import assert from "node:assert/strict";
import { ConnectionLimiter, FIRST_RETRY_DELAY } from "../../network/limiter.ts";
import { FakeClock, world } from "./support.ts";

const ONE = { host: "10.0.0.1", port: 1 };
const TWO = { host: "10.0.0.1", port: 2 };

/** The times of attempts to an address, as long as some time passes. */
async function attempts(limiter: ConnectionLimiter, clock: FakeClock, time: number) {
  const times: number[] = [];
  const stop = new AbortController();
  const trying = (async () => {
    for (;;) {
      await limiter.turn(ONE, stop.signal);
      times.push(clock.monotonic());
    }
  })();
  await clock.advance(time);
  stop.abort(new Error("enough"));
  await assert.rejects(trying, /enough/);
  return times;
}

Deno.test("ConnectionLimiter.turn() allows an attempt per second to an address", async () => {
  const { env, clock } = world();
  const limiter = new ConnectionLimiter(env);
  assert.deepEqual(await attempts(limiter, clock, 3500), [0, 1000, 2000, 3000]);
  await limiter.turn(TWO);
  assert.equal(limiter.wait(TWO), 1000);
});

Deno.test("ConnectionLimiter.turn() is eager at first if wanted, then as patient as others", async () => {
  const { env, clock } = world();
  const limiter = new ConnectionLimiter(env, FIRST_RETRY_DELAY);
  const times = await attempts(limiter, clock, 4500);
  assert.deepEqual(times, [0, 20, 60, 140, 300, 620, 1260, 2260, 3260, 4260]);
});

Deno.test("ConnectionLimiter.waive() allows an attempt at once", async () => {
  const { env } = world();
  const limiter = new ConnectionLimiter(env);
  await limiter.turn(ONE);
  assert.equal(limiter.wait(ONE), 1000);
  limiter.waive(ONE);
  assert.equal(limiter.wait(ONE), 0);
  await limiter.turn(ONE);
});

Deno.test("ConnectionLimiter.postpone() leaves a second to who is not ready", async () => {
  const { env } = world();
  const limiter = new ConnectionLimiter(env, FIRST_RETRY_DELAY);
  await limiter.turn(ONE);
  assert.equal(limiter.wait(ONE), 20);
  limiter.postpone(ONE);
  assert.equal(limiter.wait(ONE), 1000);
});

Deno.test("ConnectionLimiter.restart() is for connections that lasted", async () => {
  const { env, clock } = world();
  const limiter = new ConnectionLimiter(env, FIRST_RETRY_DELAY);
  await attempts(limiter, clock, 3000);
  const accepted = clock.monotonic();
  await clock.advance(100);
  limiter.restart(accepted);
  assert(limiter.wait(ONE) > 0);
  await clock.advance(900);
  limiter.restart(accepted);
  assert.deepEqual(await attempts(limiter, clock, 50), [4000, 4020]);
});
