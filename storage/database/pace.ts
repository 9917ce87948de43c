/**
 * How much to do at once in the background.
 *
 * @module
 */

/** Records of the first slice. */
const FIRST_ROWS = 50;
/** Fewer hardly make a commit shorter: much of what it takes does not depend on them. */
const MIN_ROWS = 50;
const MAX_ROWS = 1000;
/** What a slice may add to a commit, as a part of its duration. */
const SHARE = 0.5;
/** Milliseconds that it may add at least, and at most. */
const MIN_TIME = 1;
const MAX_TIME = 10;
/** How fast slices grow or shrink. */
const STEP = 1.1;

/**
 * Finds the length of slices for which a commit that has one in it, or waits for one, hardly takes
 * longer than others. Steps depend on whether a slice took too long, and not on how long it took: it
 * is the typical commit that matters, and that of a disk that hesitates says nothing about slices.
 */
export class Pace {
  #rows = FIRST_ROWS;

  /** Records that the next slice should have. */
  get rows(): number {
    return Math.round(this.#rows);
  }

  /**
   * A slice was committed, or there was nothing to commit, in some milliseconds.
   *
   * @param commitTime that of the commits of others, `null` if it is unknown.
   */
  took(milliseconds: number, commitTime: number | null): void {
    const share = commitTime === null ? MAX_TIME : commitTime * SHARE;
    const allowed = (commitTime ?? 0) + Math.min(Math.max(share, MIN_TIME), MAX_TIME);
    const rows = milliseconds < allowed ? this.#rows * STEP : this.#rows / STEP;
    this.#rows = Math.min(Math.max(rows, MIN_ROWS), MAX_ROWS);
  }
}
