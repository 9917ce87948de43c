/** How far to read ahead. */
export interface ReadAheadOptions<Item, Result> {
  /** Begins what takes time for an item. */
  readonly prepare: (item: Item) => Promise<Result>;
  readonly size: (item: Item) => number;
  /** Total size from which nothing more is taken in advance. */
  readonly limit: number;
}

/** Takes and prepares the next items of a sequence before somebody asks for them. */
export class ReadAhead<Item, Result> implements AsyncIterable<Result> {
  readonly #items: AsyncIterator<Item>;
  readonly #options: ReadAheadOptions<Item, Result>;
  readonly #queue: { readonly result: Promise<Result>; readonly size: number }[] = [];
  #total = 0;
  #ended = false;

  constructor(items: AsyncIterable<Item>, options: ReadAheadOptions<Item, Result>) {
    this.#items = items[Symbol.asyncIterator]();
    this.#options = options;
  }

  /** Takes items until the limit is reached, or none is left. */
  async fill(): Promise<void> {
    const { prepare, size: sizeOf, limit } = this.#options;
    while (!this.#ended && this.#total < limit) {
      const { done, value } = await this.#items.next();
      if (done) {
        this.#ended = true;
        return;
      }
      const result = prepare(value);
      // Its failure is for the one who gets there.
      result.catch(() => {});
      const size = sizeOf(value);
      this.#queue.push({ result, size });
      this.#total += size;
    }
  }

  /** All the results, once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Result> {
    try {
      for (;;) {
        await this.fill();
        const first = this.#queue.shift();
        if (first === undefined) return;
        this.#total -= first.size;
        yield await first.result;
      }
    } finally {
      await this.close();
    }
  }

  /** Gives up what was not taken. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#items.return?.();
  }
}
