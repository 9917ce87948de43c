/** The comparison of databases at the end of a chaos run. */

import assert from "node:assert/strict";
import { CellState } from "../../protocol/enums.ts";
import { openDatabase } from "../../storage/database/mod.ts";
import {
  commit,
  databaseOptions,
  initialize,
  metadata,
  store,
  tid,
} from "../storage/database/support.ts";
import { compareCopies, type Contents, type Location } from "./chaos/copies.ts";

interface Copy {
  readonly data?: string;
  readonly state?: CellState;
  /** Whether a later transaction is voted and no more. */
  readonly unfinished?: boolean;
}

/** Compares two databases with one object. */
async function compare(...copies: readonly [Copy, Copy]): Promise<Contents> {
  const folder = await Deno.makeTempDir();
  try {
    const locations: Location[] = [];
    for (const [index, { data = "same", state, unfinished = false }] of copies.entries()) {
      const location: Location = { adapter: "SQLite", database: `${folder}/${index}.sqlite` };
      locations.push(location);
      const db = await openDatabase("SQLite", databaseOptions(location.database));
      await initialize(db, state);
      await commit(db, 13, { 3: data });
      if (unfinished) await db.vote(tid(20), [await store(db, 3, "later")], metadata([3]), null);
      await db.close();
    }
    return await compareCopies(locations, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("compareCopies() counts what copies hold that are the same", async () => {
  assert.deepEqual(await compare({}, {}), { transactions: 1, records: 1 });
});

Deno.test("compareCopies() fails when data differs", async () => {
  await assert.rejects(compare({}, { data: "lost" }), /copies of partition 0 differ/);
});

Deno.test("compareCopies() fails when a cell is not readable", async () => {
  await assert.rejects(compare({}, { state: CellState.OUT_OF_DATE }), /readable cells/);
});

Deno.test("compareCopies() fails when a transaction did not end", async () => {
  await assert.rejects(compare({}, { unfinished: true }), /storage 2 that did not end/);
});
