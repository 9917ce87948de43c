/**
 * Whether a destination holds what a source starts with.
 *
 * @module
 */

import { add64, formatTidDate, hexId, type Tid } from "../protocol/ids.ts";
import type { TransactionDestination, TransactionSource } from "./endpoints.ts";
import { CopyError } from "./errors.ts";
import { withDistinctOids } from "./repeated_oids.ts";
import { compareTransactions, formatDifference } from "./verify.ts";

/** How many of the last transactions are compared. */
const COMPARED_TRANSACTIONS = 10;

/**
 * Checks that a destination whose last transaction is `lastTid` can be continued from a source.
 *
 * Its last transactions are compared with the source: two histories with the same tids and the same
 * data at their end are the same history.
 *
 * @param from where the copy should start: nothing before it may be missing.
 * @throws {CopyError} if it can not.
 */
export async function checkPrefix(
  source: TransactionSource,
  destination: TransactionDestination,
  lastTid: Tid,
  from: Tid,
): Promise<void> {
  const last = await destination.lastTransactions(COMPARED_TRANSACTIONS);
  const start = last[0]?.tid ?? lastTid;
  const { losses } = destination;
  const distinct = losses.has("repeated oids") && source.repeatsOids;
  const expected = source.transactions(start, lastTid);
  const comparison = await compareTransactions(
    distinct ? withDistinctOids(expected) : expected,
    ReadableStream.from(last),
    // Whether data is shared is up to the destination, and hints may have been dropped.
    { ignoreDataTid: true, ignoreOrder: true, ignoreStatus: losses.has("packed status") },
  );
  const [difference] = comparison.first;
  if (difference !== undefined) {
    throw new CopyError(
      `${destination.describe()} is not empty, and is not the beginning of ${source.describe()}: ` +
        `${formatDifference(difference)} (left: ${source.describe()})`,
    );
  }
  if (from > lastTid) await checkNoGap(source, destination, lastTid, from);
}

async function checkNoGap(
  source: TransactionSource,
  destination: TransactionDestination,
  lastTid: Tid,
  from: Tid,
): Promise<void> {
  for await (const { tid } of source.transactions(add64(lastTid, 1), add64(from, -1))) {
    throw new CopyError(
      `${destination.describe()} ends with transaction ${hexId(lastTid)} ` +
        `(${formatTidDate(lastTid)}): starting from ${hexId(from)} would leave out ${hexId(tid)}`,
    );
  }
}
