/**
 * The cache of object revisions: an implementation of the *Multi-Queue* algorithm.
 *
 * Revisions that are used often climb to higher queues, from which they are evicted later. Those that
 * stay unused for long go back down. What was evicted is remembered for a while without its data, so
 * that it finds its place again when it comes back.
 *
 * @module
 */

import type { Oid, Tid } from "../protocol/ids.ts";

/** A revision of an object. */
export interface Revision {
  /** What was stored. */
  readonly data: Uint8Array;
  /** The transaction that stored it. */
  readonly serial: Tid;
  /** The following revision, `null` if this is the current one. */
  readonly next: Tid | null;
}

/** Options of an {@linkcode ObjectCache}. */
export interface CacheOptions {
  /** Bytes of data that are kept at most. */
  readonly maxSize: number;
  /** Number of accesses after which what was not used is demoted. */
  readonly lifeTime?: number;
  /** Number of revisions that are remembered without their data. */
  readonly maxHistory?: number;
}

/** What a cache holds and how useful it was. */
export interface CacheStatistics {
  /** Number of loads that found what they needed. */
  readonly hits: number;
  /** Number of loads that did not. */
  readonly misses: number;
  /** Number of objects with at least one revision, be it remembered without its data. */
  readonly objects: number;
  /** Bytes counted against `maxSize`. */
  readonly size: number;
  /** Bytes it may hold. */
  readonly maxSize: number;
  /** Number of hits and insertions: the clock that `lifeTime` is measured with. */
  readonly time: number;
  /** Number of revisions in each queue, the one without data first. */
  readonly queues: readonly number[];
}

/** What a revision costs besides its data, in bytes. */
export const ITEM_OVERHEAD = 200;

class Item {
  /** Neighbours in the queue. */
  older: Item | null = null;
  newer: Item | null = null;
  /** `null` before the first insertion; 0 is the history. */
  level: number | null = null;
  expire = 0;
  counter = 0;
  /** `null` in the history, where `next` is only what was known when it got there. */
  data: Uint8Array | null = null;

  constructor(readonly oid: Oid, readonly serial: Tid, public next: Tid | null) {}

  get size(): number {
    return this.data === null ? 0 : this.data.length + ITEM_OVERHEAD;
  }
}

/** A list whose head is what was added the longest time ago. */
class Queue {
  head: Item | null = null;
  tail: Item | null = null;
  length = 0;

  append(item: Item): void {
    item.older = this.tail;
    if (this.tail === null) this.head = item;
    else this.tail.newer = item;
    this.tail = item;
    this.length++;
  }

  remove(item: Item): void {
    if (item.older === null) this.head = item.newer;
    else item.older.newer = item.newer;
    if (item.newer === null) this.tail = item.older;
    else item.newer.older = item.older;
    item.older = item.newer = null;
    this.length--;
  }
}

/** Revisions of objects, limited by the size of their data. */
export class ObjectCache {
  readonly #maxSize: number;
  readonly #lifeTime: number;
  readonly #maxHistory: number;
  /** Revisions by increasing serial. Only the last one may be current. */
  #items = new Map<Oid, Item[]>();
  #queues: Queue[] = [new Queue()];
  #size = 0;
  #time = 0;
  #hits = 0;
  #misses = 0;

  constructor({ maxSize, lifeTime = 10_000, maxHistory = 100_000 }: CacheOptions) {
    this.#maxSize = maxSize;
    this.#lifeTime = lifeTime;
    this.#maxHistory = maxHistory;
  }

  /** What the cache holds and how useful it was. */
  get statistics(): CacheStatistics {
    return {
      hits: this.#hits,
      misses: this.#misses,
      objects: this.#items.size,
      size: this.#size,
      maxSize: this.#maxSize,
      time: this.#time,
      queues: this.#queues.map((queue) => queue.length),
    };
  }

  /** The revision that is the last one below a tid, or the current one if `before` is `null`. */
  load(oid: Oid, before: Tid | null): Revision | null {
    return this.#used(this.#lookup(oid, before));
  }

  /** The revision of an object with exactly this serial. */
  loadSerial(oid: Oid, serial: Tid): Revision | null {
    return this.#used(this.#exact(oid, serial));
  }

  #used(item: Item | null): Revision | null {
    if (item === null || item.data === null) {
      this.#misses++;
      return null;
    }
    this.#hits++;
    this.#fetched(item);
    return { data: item.data, serial: item.serial, next: item.next };
  }

  /** Adds a revision, unless it does not fit in the cache even alone. */
  store(oid: Oid, { data, serial, next }: Revision): void {
    if (data.length + ITEM_OVERHEAD > this.#maxSize) return;
    const known = this.#exact(oid, serial);
    if (known !== null && known.level !== 0) return; // Stored by a concurrent load.
    const overlapping = this.#lookup(oid, next);
    // What the history remembers of an object may be out of date, other queues never are.
    if (overlapping !== null && overlapping.level !== 0) {
      throw new Error(`two revisions of object ${oid} overlap: ${overlapping.serial}, ${serial}`);
    }
    const item = known ?? this.#insert(oid, serial, next);
    item.next = next;
    item.data = data;
    this.#size += item.size;
    this.#fetched(item);
    this.#evict();
  }

  /** The current revision of an object, if it is known, is followed by another one. */
  invalidate(oid: Oid, tid: Tid): void {
    const last = this.#items.get(oid)?.at(-1);
    if (last === undefined || last.serial >= tid) return;
    if (last.next === null) last.next = tid;
    else if (last.next > tid && last.level !== 0) {
      throw new Error(`object ${oid}: ${tid} invalidates what ${last.next} replaced already`);
    }
  }

  /** Drops a revision that was believed to be current. */
  dropCurrent(oid: Oid): void {
    const last = this.#items.get(oid)?.at(-1);
    if (last !== undefined && last.next === null && last.level !== 0) this.#forgetData(last);
  }

  /**
   * Drops all current revisions, because it is not known which ones still are. Old revisions never
   * change and are kept, and so is the popularity of the others.
   */
  clearCurrent(): void {
    for (const items of [...this.#items.values()]) {
      const last = items.at(-1);
      if (last !== undefined && last.next === null && last.level !== 0) this.#forgetData(last);
    }
  }

  /** Drops what a pack has removed from the database; `oids` are all that were packed. */
  forgetPacked(tid: Tid, oids: readonly Oid[] | null): void {
    for (const oid of oids ?? [...this.#items.keys()]) {
      for (const item of [...this.#items.get(oid) ?? []]) {
        if (item.next !== null && item.next <= tid) this.#remove(item);
      }
    }
  }

  /** Drops everything. */
  clear(): void {
    this.#items = new Map();
    this.#queues = [new Queue()];
    this.#size = 0;
    this.#time = 0;
    this.#hits = 0;
    this.#misses = 0;
  }

  #lookup(oid: Oid, before: Tid | null): Item | null {
    const items = this.#items.get(oid);
    if (items === undefined) return null;
    if (before === null) {
      const last = items.at(-1);
      return last !== undefined && last.next === null ? last : null;
    }
    const item = items[lastBelow(items, before, false)];
    return item === undefined || (item.next !== null && item.next < before) ? null : item;
  }

  #exact(oid: Oid, serial: Tid): Item | null {
    const items = this.#items.get(oid);
    const item = items?.[lastBelow(items, serial, true)];
    return item?.serial === serial ? item : null;
  }

  #insert(oid: Oid, serial: Tid, next: Tid | null): Item {
    const item = new Item(oid, serial, next);
    const previous = next === null ? this.#items.get(oid)?.at(-1) : undefined;
    if (previous !== undefined) this.#succeed(item, previous);
    const items = this.#items.get(oid);
    if (items === undefined) this.#items.set(oid, [item]);
    else items.splice(lastBelow(items, serial, true) + 1, 0, item);
    return item;
  }

  /** A new current revision inherits the popularity of the previous one. */
  #succeed(item: Item, previous: Item): void {
    item.counter = previous.counter;
    if (previous.level === 0) return this.#remove(previous);
    previous.counter = 0;
    if (previous.level !== null && previous.level > 1) this.#fetched(previous);
  }

  #queue(level: number): Queue {
    let queue = this.#queues[level];
    while (queue === undefined) {
      this.#queues.push(new Queue());
      queue = this.#queues[level];
    }
    return queue;
  }

  #unlink(item: Item): void {
    if (item.level !== null) this.#queue(item.level).remove(item);
  }

  #append(item: Item, level: number): void {
    item.level = level;
    item.expire = this.#time + this.#lifeTime;
    this.#queue(level).append(item);
  }

  /** Counts an access: the item goes up, and at most one that was not used for long goes down. */
  #fetched(item: Item): void {
    this.#unlink(item);
    item.counter++;
    this.#append(item, 32 - Math.clz32(item.counter));
    this.#time++;
    for (let level = 1; level < this.#queues.length; level++) {
      const head = this.#queue(level).head;
      if (head === null || head.expire >= this.#time) continue;
      if (level === 1) this.#forgetData(head);
      else {
        this.#unlink(head);
        this.#append(head, level - 1);
      }
      return;
    }
  }

  #evict(): void {
    for (let level = 1; level < this.#queues.length; level++) {
      const queue = this.#queue(level);
      while (queue.head !== null) {
        if (this.#size <= this.#maxSize) return;
        this.#forgetData(queue.head);
      }
    }
  }

  /** Moves an item to the history if it was popular, else drops it. */
  #forgetData(item: Item): void {
    if (item.counter === 0) return this.#remove(item);
    this.#unlink(item);
    this.#size -= item.size;
    item.data = null;
    item.level = 0;
    const history = this.#queue(0);
    history.append(item);
    if (history.length > this.#maxHistory && history.head !== null) this.#remove(history.head);
  }

  #remove(item: Item): void {
    this.#unlink(item);
    this.#size -= item.size;
    const items = this.#items.get(item.oid);
    if (items === undefined) return;
    const index = lastBelow(items, item.serial, true);
    if (items[index] === item) items.splice(index, 1);
    if (items.length === 0) this.#items.delete(item.oid);
  }
}

/** Index of the last revision below a tid (or at it, if `included`), -1 if there is none. */
function lastBelow(items: readonly Item[], tid: Tid, included: boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const serial = items[middle]?.serial ?? tid;
    if (serial < tid || (included && serial === tid)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
