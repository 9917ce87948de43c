/**
 * Doing several things ahead of the one who consumes the results.
 *
 * @module
 */

/** Results in the order of the items, `ahead` of them being prepared while one is used. */
export async function* pipelined<A, B>(
  items: Iterable<A> | AsyncIterable<A>,
  ahead: number,
  prepare: (item: A) => Promise<B>,
): AsyncGenerator<B> {
  const queue: Promise<B>[] = [];
  for await (const item of items) {
    const result = prepare(item);
    // Its failure is for the one who gets there.
    result.catch(() => {});
    queue.push(result);
    const first = queue.length > ahead ? queue.shift() : undefined;
    if (first !== undefined) yield await first;
  }
  for (const result of queue) yield await result;
}
