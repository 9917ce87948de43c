/**
 * The time of day.
 *
 * @module
 */

/** Milliseconds of disagreement that mean that the clock of the machine was set. */
const TOLERANCE = 5;

/**
 * A clock that tells seconds since the Unix epoch to the microsecond, so that records of the same
 * millisecond keep their order. It follows changes of the machine's clock, which only tells milliseconds.
 */
export function wallClock(
  coarse: () => number = Date.now,
  fine: () => number = () => performance.now(),
): () => number {
  let offset = coarse() - fine();
  return () => {
    const time = offset + fine();
    const reference = coarse();
    if (Math.abs(time - reference) <= TOLERANCE) return time / 1000;
    offset += reference - time;
    return reference / 1000;
  };
}
