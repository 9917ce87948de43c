/**
 * Records whose data is not what was stored, as disks forget.
 *
 * @module
 */

import { isIntact } from "../checksum.ts";
import { type Database, MissingChunkError, type RecordId } from "../database/mod.ts";

/** Records of which the data is verified before clients come first. */
const PART = 100;

/**
 * Finds, among some records of a cell, those whose data does not have its checksum.
 *
 * @param turn resolves when it is time to go on.
 * @param wanted tells whether anybody still wants to know.
 */
export async function findDamaged(
  database: Database,
  records: readonly RecordId[],
  turn: () => Promise<unknown>,
  wanted: () => boolean,
): Promise<RecordId[]> {
  const damaged: RecordId[] = [];
  for (const [i, record] of records.entries()) {
    if (i % PART === 0) await turn();
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
    if (error instanceof MissingChunkError) return true;
    throw error;
  }
}
