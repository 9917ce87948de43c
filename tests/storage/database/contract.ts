/** The tests that every back-end passes. */

import { testCellContents } from "./contract/cell_contents.ts";
import { testCommit } from "./contract/commit.ts";
import { testConfiguration } from "./contract/configuration.ts";
import { testData } from "./contract/data.ts";
import { testPacking } from "./contract/packing.ts";
import { testPartitionTable } from "./contract/partition_table.ts";
import { testReads } from "./contract/reads.ts";
import { testRecovery } from "./contract/recovery.ts";
import { checkModel } from "./model.ts";
import { checkPackModel } from "./pack_model.ts";
import type { Backend, Place } from "./support.ts";

/** Registers all the tests of the contract for a back-end. */
export function testContract(backend: Backend): void {
  const test = (name: string, body: (place: Place) => Promise<void>) =>
    Deno.test(`${backend.name}: ${name}`, () => backend.withPlace(body));
  testConfiguration(test);
  testPartitionTable(test);
  testCommit(test);
  testData(test);
  testRecovery(test);
  testPacking(test);
  testReads(test);
  testCellContents(test);
  test("random histories give what a model gives", (place) => checkModel(place, 20));
  test("random packs give what a model gives", (place) => checkPackModel(place, 8));
}
