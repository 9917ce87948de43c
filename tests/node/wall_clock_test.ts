import assert from "node:assert/strict";
import { wallClock } from "../../node/wall_clock.ts";

Deno.test("wallClock() tells microseconds and follows the machine's clock", () => {
  let coarse = 1_000_000;
  let fine = 50;
  const clock = wallClock(() => coarse, () => fine);
  assert.equal(clock(), 1000);
  fine += 0.25;
  assert.equal(clock(), 1000.00025);
  fine += 2;
  coarse += 3;
  assert.equal(clock(), 1000.00225);
  coarse = 500_000;
  assert.equal(clock(), 500);
  fine += 0.5;
  assert.equal(clock(), 500.0005);
});
