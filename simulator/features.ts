/**
 * What nodes can do, and runs thus make them do.
 *
 * @module
 */

/** Numbers of masters to choose from. */
export const MASTERS: readonly number[] = [1, 1, 2, 3];
/** How many of the runs have an operator. */
export const OPERATED: number = 0.4;
/** Whether cells that missed something are replicated. */
export const REPLICATION: boolean = true;
/**
 * Whether clients pack. A cell that was away while the others packed keeps the old revisions that it
 * had, so that copies differ: the master has forgotten the order when the cell is replicated.
 */
export const PACKING: boolean = true;
