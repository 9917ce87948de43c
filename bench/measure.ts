/**
 * Repeats something for a while and tells how long it takes.
 *
 * @module
 */

/** Seconds that one measure lasts. */
const DURATION = 2;

/** Mean microseconds of one call, after a warm-up. */
export async function mean(action: (n: number) => unknown): Promise<number> {
  let n = 0;
  const run = async (seconds: number) => {
    const start = performance.now();
    const first = n;
    while (performance.now() - start < seconds * 1000) {
      // Looking at the clock each time would be part of the figure.
      for (let i = 0; i < 20; i++) await action(n++);
    }
    return (performance.now() - start) * 1000 / (n - first);
  };
  await run(DURATION / 4);
  return await run(DURATION);
}

/** Median microseconds of one call, after a warm-up. */
export async function median(action: (n: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  const warmUp = 50;
  const end = performance.now() + DURATION * 1000;
  for (let n = 0; performance.now() < end || n < 2 * warmUp; n++) {
    const start = performance.now();
    await action(n);
    if (n >= warmUp) times.push((performance.now() - start) * 1000);
  }
  times.sort((a, b) => a - b);
  return times[times.length >> 1] ?? NaN;
}

/** Calls per second with several callers at once, after a warm-up. */
export async function rate(
  callers: number,
  action: (caller: number, n: number) => Promise<unknown>,
): Promise<number> {
  let done = 0;
  let n = 0;
  let counting = false;
  let stop = false;
  const caller = async (index: number) => {
    while (!stop) {
      await action(index, n++);
      if (counting) done++;
    }
  };
  const callersDone = Promise.all(Array.from({ length: callers }, (_, index) => caller(index)));
  await new Promise((resolve) => setTimeout(resolve, DURATION * 250));
  counting = true;
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, DURATION * 1000));
  const seconds = (performance.now() - start) / 1000;
  const result = done / seconds;
  stop = true;
  await callersDone;
  return result;
}
