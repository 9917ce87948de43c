/**
 * The tids of several partitions in one descending list, of which only a part is in memory.
 *
 * @module
 */

import type { Tid } from "../../protocol/ids.ts";

/** Tids read at once from a partition. */
const WINDOW = 256;

/** Reads up to `length` tids of a partition below `before`, descending; all of them without bound. */
export type ReadTids = (
  partition: number,
  before: Tid | null,
  length: number,
) => Promise<readonly Tid[]>;

/** The tids of one partition that are still to come. */
class Stream {
  #window: readonly Tid[] = [];
  #next = 0;
  #ended = false;

  constructor(readonly partition: number, readonly read: ReadTids) {}

  /** The greatest one, `null` at the end. */
  get head(): Tid | null {
    return this.#window[this.#next] ?? null;
  }

  /** Whether the next window must be read before `head` can be trusted. */
  get empty(): boolean {
    return this.#next === this.#window.length && !this.#ended;
  }

  skip(): void {
    this.#next++;
  }

  async fill(): Promise<void> {
    const before = this.#window.at(-1) ?? null;
    this.#window = await this.read(this.partition, before, WINDOW);
    this.#next = 0;
    this.#ended = this.#window.length < WINDOW;
  }
}

/** Positions `first` (included) to `last` (excluded) of the list of all tids, descending. */
export async function mergeTids(
  partitions: readonly number[],
  first: number,
  last: number,
  read: ReadTids,
): Promise<Tid[]> {
  const streams = partitions.map((partition) => new Stream(partition, read));
  const tids: Tid[] = [];
  for (let position = 0; position < last; position++) {
    let greatest: Stream | null = null;
    for (const stream of streams) {
      if (stream.empty) await stream.fill();
      const { head } = stream;
      if (head === null) continue;
      if (greatest === null || greatest.head === null || head > greatest.head) greatest = stream;
    }
    if (greatest === null || greatest.head === null) break;
    if (position >= first) tids.push(greatest.head);
    greatest.skip();
  }
  return tids;
}
