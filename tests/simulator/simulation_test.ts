import assert from "node:assert/strict";
import { drawPlan, FAULTS } from "../../simulator/plan.ts";
import { failureText } from "../../simulator/report.ts";
import { simulate } from "../../simulator/simulation.ts";

/** Seeds that run with the tests, besides those that once found something. */
const SEEDS = { first: 1, count: 200 };
/** How long a story is shown when a seed fails. */
const STORY = 60;

async function runSeed(seed: number): Promise<void> {
  const outcome = await simulate(seed);
  assert(outcome.violations.length === 0, failureText(outcome, STORY));
}

Deno.test("simulate() repeats a run exactly when it gets the same seed", async () => {
  for (const seed of [11, 12, 13]) {
    const [one, other] = [await simulate(seed), await simulate(seed)];
    assert.deepEqual([...one.story()], [...other.story()]);
    assert.equal(one.hash, other.hash);
    assert(one.transactions.committed > 0);
  }
});

Deno.test("simulate() does something else for each seed", async () => {
  const hashes = new Set<number>();
  for (let seed = 21; seed < 26; seed++) hashes.add((await simulate(seed)).hash);
  assert.equal(hashes.size, 5);
});

Deno.test("drawPlan() draws all kinds of faults", () => {
  const kinds = new Set<string>();
  for (let seed = 0; seed < 200; seed++) for (const kind of drawPlan(seed).faults) kinds.add(kind);
  assert.deepEqual([...kinds].sort(), [...FAULTS].sort());
});

Deno.test("simulate() finds nothing wrong", async () => {
  for (let i = 0; i < SEEDS.count; i++) await runSeed(SEEDS.first + i);
});

Deno.test("simulate() finds nothing wrong where it once did", async () => {
  const text = await Deno.readTextFile(new URL("./seeds.txt", import.meta.url));
  const seeds = text.split("\n").filter((line) => /^\d/.test(line)).map((line) => parseInt(line));
  for (const seed of seeds) await runSeed(seed);
});
