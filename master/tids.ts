/**
 * Allocation of transaction ids.
 *
 * @module
 */

import { addTid, partitionOf, type Tid, ZERO_TID } from "../protocol/ids.ts";

/**
 * The next transaction id.
 *
 * A final tid has the partition of the ttid, because storages keep the metadata of the transaction
 * there, and is as near as possible to the present, preferably not after it. With a late clock tids
 * advance as little as possible, and the ttid itself is used if nothing was allocated since.
 *
 * @param now tid of the current time.
 * @param last the greatest tid or ttid allocated so far.
 * @param ttid of the transaction that gets its final tid; `null` to begin one.
 * @returns a tid greater than `last`, except that it is `ttid` if that one equals `last`.
 */
export function nextTid(now: Tid, last: Tid, ttid: Tid | null, partitions: number): Tid {
  if (now <= last && ttid === last) return ttid;
  const tid = now > last ? now : addTid(last, 1);
  if (ttid === null) return tid;
  const partition = partitionOf(ttid, partitions);
  let aligned = align(tid, partition, partitions);
  while (aligned <= last) aligned = align(addTid(aligned, partitions), partition, partitions);
  return aligned;
}

/**
 * What the first ttid that a master gives has to follow.
 *
 * Nobody remembers all the ttids that earlier masters gave, and their clients may still ask what became
 * of them. Where the clock is late, a random part of the next minute is left out.
 *
 * @param random a number in [0, 1).
 */
export function afterEarlierMasters(now: Tid, last: Tid, random: number): Tid {
  if (now > last || last === ZERO_TID) return last;
  return addTid(last, Math.floor(random * 2 ** 32));
}

/** A tid of the partition, at less than `partitions` from the given one. */
function align(tid: Tid, partition: number, partitions: number): Tid {
  let aligned = addTid(tid, partition - partitionOf(tid, partitions));
  // Months have no 31st day in the calendar of tids when they have none in ours: going from a minute
  // to the next one may jump over days, which changes the partition.
  for (;;) {
    const difference = partition - partitionOf(aligned, partitions);
    if (difference === 0) return aligned;
    aligned = addTid(aligned, difference < 0 ? difference + partitions : difference);
  }
}
