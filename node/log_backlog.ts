/**
 * A queue that forgets its oldest items when it gets too big.
 *
 * @module
 */

/** Items in the order they came, whose sizes never add up to more than a capacity. */
export class LogBacklog<Item> implements Iterable<Item> {
  readonly capacity: number;
  #items: ({ readonly item: Item; readonly size: number } | undefined)[] = [];
  /** Items before this one are forgotten. */
  #first = 0;
  #size = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get length(): number {
    return this.#items.length - this.#first;
  }

  /** Adds an item, making room for it. One that is too big for the queue empties it. */
  push(item: Item, size: number): void {
    this.#items.push({ item, size });
    this.#size += size;
    while (this.#size > this.capacity) {
      this.#size -= this.#items[this.#first]?.size ?? 0;
      this.#items[this.#first] = undefined;
      this.#first++;
    }
    // Moving the others only now and then keeps a push at constant time on average.
    if (this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
  }

  clear(): void {
    this.#items = [];
    this.#first = 0;
    this.#size = 0;
  }

  *[Symbol.iterator](): Iterator<Item> {
    for (let i = this.#first; i < this.#items.length; i++) {
      const entry = this.#items[i];
      if (entry !== undefined) yield entry.item;
    }
  }
}
