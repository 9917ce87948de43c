import assert from "node:assert/strict";
import { UsageError } from "../../node/errors.ts";
import { parseOptions } from "./chaos/options.ts";

const parse = (...args: string[]) => parseOptions(args, () => 123);

Deno.test("parseOptions() draws a seed when none is given, and has defaults", () => {
  assert.deepEqual(parse(), { minutes: 1, seed: 123, database: "sqlite" });
  assert.deepEqual(parse("--minutes", "0.5", "--seed=7", "--database", "mariadb"), {
    minutes: 0.5,
    seed: 7,
    database: "mariadb",
  });
  assert.equal(parse("--help"), "help");
});

Deno.test("parseOptions() refuses what makes no sense", () => {
  for (
    const args of [
      ["--minutes", "0"],
      ["--minutes", "x"],
      ["--minutes=-1"],
      ["--seed", "1.5"],
      [
        "--database",
        "postgres",
      ],
      ["--seeds", "1"],
      ["more"],
    ]
  ) assert.throws(() => parse(...args), UsageError, args.join(" "));
});
