/**
 * Records whose data is not what was stored, as disks forget.
 *
 * @module
 */

import { isIntact } from "../checksum.ts";
import { type Database, DatabaseError, MissingChunkError, type RecordId } from "../database/mod.ts";

/** When some data that nobody waits for may be read. */
export interface Spare {
  /** Resolves when it is time to go on, with the end of that time on the monotonic clock. */
  turn(): Promise<number>;
  now(): number;
}

/**
 * Finds, among some records of a cell, those whose data does not have its checksum.
 *
 * @param wanted tells whether anybody still wants to know.
 */
export async function findDamaged(
  database: Database,
  records: readonly RecordId[],
  spare: Spare,
  wanted: () => boolean,
): Promise<RecordId[]> {
  const damaged: RecordId[] = [];
  let end = -Infinity;
  for (const record of records) {
    if (spare.now() >= end) end = await spare.turn();
    if (!wanted()) break;
    if (await isDamaged(database, record)) damaged.push(record);
  }
  return damaged;
}

async function isDamaged(database: Database, { oid, tid }: RecordId): Promise<boolean> {
  try {
    const data = (await database.object(oid, tid, null))?.data ?? null;
    return data !== null && !isIntact(data);
  } catch (error) {
    // Whatever can't be made data of is damaged, unless the database has failed as a whole.
    if (error instanceof DatabaseError && !(error instanceof MissingChunkError)) throw error;
    return true;
  }
}
