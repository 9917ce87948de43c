/**
 * Undo: which revision of an object has the wanted data, and whether the current one may simply be
 * replaced by it.
 *
 * @module
 */

import type { Tid } from "../protocol/ids.ts";

/** The revisions of an object around the transaction to undo, which wrote one of them. */
export interface UndoHistory {
  /** Revision before the one to undo. */
  readonly previous: Tid | null;
  /**
   * Revisions after it, ascending, at least undos, for which `dataSerial` is set, and the last one that
   * the client may see.
   */
  readonly later: readonly { readonly tid: Tid; readonly dataSerial: Tid | null }[];
}

/** What a client needs in order to undo. */
export interface UndoSerials {
  /** The revision on top of which it is done. */
  readonly current: Tid;
  /** A revision with the wanted data, `null` if the object did not exist. */
  readonly undo: Tid | null;
  /** Whether the current revision has the data to undo; else there is a conflict to resolve. */
  readonly isCurrent: boolean;
}

/**
 * Answers for one object, or `null` if it has no revision that the client may undo.
 *
 * Among revisions that have the same data through undo, the greatest is given. Undo links form a
 * simple chain then, which packing never has to rewrite.
 *
 * @param snapshot the first tid that the client may not see.
 * @param ownChange what the undoing transaction itself made of the object before, if it did.
 */
export function undoSerials(
  { previous, later }: UndoHistory,
  undone: Tid,
  snapshot: Tid,
  ownChange: Tid | null,
): UndoSerials | null {
  let current = ownChange;
  if (current === null) {
    if (snapshot <= undone) return null;
    current = undone;
    for (const { tid } of later) if (tid < snapshot) current = tid;
  }
  let wanted = previous;
  let unwanted = undone;
  let isCurrent = current === undone;
  for (const { tid, dataSerial } of later) {
    if (dataSerial === null) continue;
    if (dataSerial === wanted) wanted = tid;
    else if (dataSerial === unwanted) {
      if (tid === current) isCurrent = true;
      else unwanted = tid;
    }
  }
  return { current, undo: wanted, isCurrent };
}
