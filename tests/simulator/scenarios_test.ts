import assert from "node:assert/strict";
import { runScenario } from "../../simulator/scenario.ts";
import { listScenarios } from "../../simulator/scenarios.ts";

// What is expected is in the files: `deno task scenarios` writes what really happens into them.
const FOLDER = new URL("../scenarios/", import.meta.url);

for (const name of listScenarios(FOLDER)) {
  Deno.test(`Scenario ${name} happens as it is written`, async () => {
    const text = await Deno.readTextFile(new URL(name, FOLDER));
    assert.equal(await runScenario(text), text);
  });
}

Deno.test("runScenario() refuses commands that it does not know", async () => {
  const text = "cluster partitions=1 replicas=0 storages=1\n\nc1 dances\n";
  await assert.rejects(runScenario(text), /unknown command 'c1 dances'/);
  await assert.rejects(runScenario("client c1\n"), /a scenario begins with 'cluster'/);
});
