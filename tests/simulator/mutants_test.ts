import assert from "node:assert/strict";
import { MUTANTS } from "../../simulator/mutants.ts";
import { huntMutant } from "../../simulator/mutation.ts";
import { simulate } from "../../simulator/simulation.ts";

/** Runs that are enough for these; the others need hundreds: `deno task simulate --mutants`. */
const RUNS = 60;
const QUICK = [
  "an fsync does nothing",
  "the final tid is not saved",
  "conflicts are not noticed",
  "the verification does not finish what was locked",
  "a write lock is given to two transactions",
  "the cells of a storage that is lost are not outdated",
  "a master does not learn the last ids of its storages",
  "a client keeps in its cache what others changed",
  "invalidations get lost",
  "unlocks come in the wrong order",
];

for (const name of QUICK) {
  Deno.test(`huntMutant() notices that ${name}`, async () => {
    const mutant = MUTANTS.find((mutant) => mutant.name === name);
    assert(mutant, `there is no mutant '${name}'`);
    const { seed } = await huntMutant(mutant, 1, RUNS);
    assert.notEqual(seed, null);
  });
}

Deno.test("huntMutant() leaves the code as it was, and says who survives", async () => {
  const before = await simulate(5);
  for (const mutant of MUTANTS) await huntMutant(mutant, 1, 0);
  const survivor = await huntMutant({ name: "nothing is wrong" }, 1, 2);
  assert.deepEqual([survivor.seed, survivor.runs], [null, 2]);
  assert.equal((await simulate(5)).hash, before.hash);
});
