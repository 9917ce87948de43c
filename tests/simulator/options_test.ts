import assert from "node:assert/strict";
import { UsageError } from "../../node/errors.ts";
import { parseOptions } from "../../simulator/options.ts";

const parse = (...args: string[]) => parseOptions(args, () => 123);

Deno.test("parseOptions() draws a seed, or runs the one that is given", () => {
  const defaults = { story: 40, show: false, mutants: false };
  assert.deepEqual(parse(), { seed: 123, runs: 1000, ...defaults });
  assert.deepEqual(parse("--seed", "7"), { seed: 7, runs: 1, ...defaults });
  assert.deepEqual(parse("--seed=7", "--runs=9", "--story=0", "--show", "--mutants"), {
    seed: 7,
    runs: 9,
    story: 0,
    show: true,
    mutants: true,
  });
  assert.equal(parse("-h"), "help");
});

Deno.test("parseOptions() refuses what it does not understand", () => {
  for (
    const args of [["--seed", "x"], ["--seed", "-1"], ["--runs", "0"], ["--runs", "1.5"], ["x"], [
      "--seeds",
      "1",
    ], ["--story"]]
  ) assert.throws(() => parse(...args), UsageError, args.join(" "));
});
