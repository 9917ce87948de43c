/**
 * Chance, all of it drawn from one seed.
 *
 * @module
 */

/** Where {@linkcode Random} gets its state from, as numbers below 2^32. */
function* splitmix(seed: number): Generator<number, never> {
  for (let state = seed | 0;;) {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    yield (mixed ^ (mixed >>> 15)) >>> 0;
  }
}

/** A sequence of numbers determined by its seed (sfc32). */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    const numbers = splitmix(seed);
    // The part of the seed above 2^32 counts too.
    const high = splitmix(Math.floor(seed / 0x1_0000_0000)).next().value;
    this.#a = numbers.next().value;
    this.#b = numbers.next().value ^ high;
    this.#c = numbers.next().value;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** A whole number in [0, 2^32). */
  uint32(): number {
    const result = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result | 0;
    return result >>> 0;
  }

  /** A number in [0, 1). */
  readonly float = (): number => this.uint32() / 0x1_0000_0000;

  /** A whole number from one bound to the other, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.float() * (max - min + 1));
  }

  /** A number between two bounds. */
  between(min: number, max: number): number {
    return min + this.float() * (max - min);
  }

  /** A number between two bounds, each order of magnitude being as likely as the others. */
  magnitude(min: number, max: number): number {
    return min * (max / min) ** this.float();
  }

  /** A delay between events that are independent of each other. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.float());
  }

  /** True with a probability. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.float() * items.length)];
    if (item === undefined) throw new RangeError("nothing to choose from");
    return item;
  }

  /** Some of the items, in any order. */
  sample<T>(items: readonly T[], count: number): T[] {
    const rest = [...items];
    const sample: T[] = [];
    while (sample.length < count && rest.length > 0) {
      sample.push(...rest.splice(Math.floor(this.float() * rest.length), 1));
    }
    return sample;
  }

  /** An independent sequence: what is drawn from one changes nothing for the other. */
  fork(): Random {
    return new Random(this.uint32());
  }
}
