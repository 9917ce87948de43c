/** What the database must be after a crash at each step of a commit. */

import { deepEqual, equal } from "node:assert/strict";
import type { Database } from "../../../storage/database/mod.ts";
import {
  metadata,
  objectData,
  oid,
  type Place,
  read,
  store,
  text,
  tid,
  withDatabase,
  withInitialized,
} from "./support.ts";

/** Steps at which the crash happens, in order. */
export const STEPS = ["stored", "voted", "locked", "unlocked", "committed"] as const;
export type Step = (typeof STEPS)[number];

/** Goes on until a step, then waits for nothing more. */
export async function commitUntil(db: Database, step: Step): Promise<void> {
  const objects = [await store(db, 3, "data")];
  await db.loadData(objects[0]?.dataId ?? -1n); // The row is really there.
  if (step === "stored") return;
  await db.vote(tid(10), objects, metadata([3]), { oids: null, tid: tid(5) });
  if (step === "voted") return;
  await db.lock(tid(10), tid(13), true);
  if (step === "locked") return;
  db.unlock(tid(10), tid(13), objects, true);
  if (step === "committed") await db.flush();
}

/**
 * Registers a test for each step.
 *
 * @param crash executes `commitUntil` on the database of a place, and crashes.
 */
export function testCrashes(
  name: string,
  withPlace: (test: (place: Place) => Promise<void>) => Promise<void>,
  crash: (place: Place, step: Step) => Promise<void>,
): void {
  for (const step of STEPS) {
    Deno.test(`${name}: a crash when a transaction is ${step} leaves what recovery needs`, () =>
      withPlace(async (place) => {
        await withInitialized(place, () => Promise.resolve());
        await crash(place, step);
        await withDatabase(place, (db) => checkRecovery(db, step));
      }));
  }
}

async function checkRecovery(db: Database, step: Step): Promise<void> {
  const locked = await db.lockedTransactions();
  switch (step) {
    case "stored":
      deepEqual(locked, new Map());
      equal(await db.storeData(oid(3), objectData("other")), 0n, "it was an orphan");
      return;
    case "voted":
      deepEqual(locked, new Map([[tid(10), null]]));
      await db.dropUnfinished();
      deepEqual(await db.lockedTransactions(), new Map());
      deepEqual(await db.packOrders(tid(0)), []);
      equal(await db.lastSerial(oid(3)), null);
      return;
    case "locked":
    case "unlocked":
      // The unlock may have been committed already, without fsync.
      if (step === "unlocked" && locked.size === 0) break;
      deepEqual(locked, new Map([[tid(10), tid(13)]]));
      equal(await db.finalTid(tid(10)), null);
      await db.validate(tid(10), tid(13));
      break;
    case "committed":
      deepEqual(locked, new Map());
  }
  equal(await db.finalTid(tid(10)), 13n);
  equal(await read(db, 3), "data");
  equal(text((await db.transaction(tid(13)))?.description ?? new Uint8Array()), "description");
  deepEqual((await db.packOrders(tid(0))).map(({ id, approved }) => [id, approved]), [[13n, true]]);
}
