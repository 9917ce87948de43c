/**
 * Keeping the copies of a partition apart: storage nodes tell where they are (room, machine, disk…)
 * and copies go to places that fail independently.
 *
 * @module
 */

import type { PlacementConstraint } from "./distribution.ts";

/** Where a node is, from the most general to the most specific place. */
export type DevicePath = readonly string[];

/** How the copies of a partition may spread over the places of one level. */
interface Limit {
  /** Copies in one place, at most. */
  readonly copies: number;
  /** How many places of a same parent may have that many. */
  readonly places: number;
}

/** The limits of each level to take into account, `null` if no resilient placement is known. */
function limitsOf(paths: readonly DevicePath[], copies: number): Limit[] | null {
  const nodes = paths.length;
  const maxDepth = Math.min(...paths.map((path) => path.length));
  const limits: Limit[] = [];
  for (let depth = 1; depth <= maxDepth; depth++) {
    const sizes = new Map<string, number>();
    for (const path of paths) {
      const place = placeOf(path, depth);
      sizes.set(place, (sizes.get(place) ?? 0) + 1);
    }
    const largest = Math.max(...sizes.values());
    const equal = largest === Math.min(...sizes.values());
    if (!equal && largest * copies > nodes) return null;
    const quotient = Math.floor(copies / sizes.size);
    const rest = copies % sizes.size;
    limits.push(
      rest > 0 ? { copies: quotient + 1, places: rest } : { copies: quotient, places: sizes.size },
    );
    if (sizes.size >= copies) return limits;
  }
  return null;
}

function placeOf(path: DevicePath, depth: number): string {
  return JSON.stringify(path.slice(0, depth));
}

/** Counts the copies of each partition in each place. */
export class TopologyConstraint implements PlacementConstraint {
  readonly #limits: readonly Limit[];
  /** For each node the places it is in, from the most general one; 0 is the parent of those. */
  readonly #places: readonly (readonly number[])[];
  readonly #size: number;
  /** Copies of a partition in a place. */
  readonly #copies: Uint32Array;
  /** How many places inside of a place have as many copies of a partition as allowed. */
  readonly #full: Uint32Array;

  private constructor(paths: readonly DevicePath[], partitions: number, limits: readonly Limit[]) {
    this.#limits = limits;
    const ids = new Map<string, number>();
    this.#places = paths.map((path) =>
      limits.map((_, level) => {
        const place = placeOf(path, level + 1);
        const id = ids.get(place) ?? ids.size + 1;
        ids.set(place, id);
        return id;
      })
    );
    this.#size = ids.size + 1;
    this.#copies = new Uint32Array(partitions * this.#size);
    this.#full = new Uint32Array(partitions * this.#size);
  }

  /**
   * The constraint for nodes at these places.
   *
   * @returns `null` if the places can't make the cluster more resilient.
   */
  static of(
    paths: readonly DevicePath[],
    partitions: number,
    copies: number,
  ): TopologyConstraint | null {
    const limits = limitsOf(paths, copies);
    return limits === null ? null : new TopologyConstraint(paths, partitions, limits);
  }

  place(node: number, partitions: readonly number[]): boolean {
    for (const [index, partition] of partitions.entries()) {
      if (this.#fits(node, partition)) this.#count(node, partition, 1);
      else {
        this.remove(node, partitions.slice(0, index));
        return false;
      }
    }
    return true;
  }

  remove(node: number, partitions: readonly number[]): void {
    for (const partition of partitions) this.#count(node, partition, -1);
  }

  #fits(node: number, partition: number): boolean {
    let parent = 0;
    const base = partition * this.#size;
    for (const [level, place] of this.#placesOf(node).entries()) {
      const limit = this.#limit(level);
      const copies = (this.#copies[base + place] ?? 0) + 1;
      if (copies > limit.copies) return false;
      if (copies === limit.copies && (this.#full[base + parent] ?? 0) >= limit.places) return false;
      parent = place;
    }
    return true;
  }

  #count(node: number, partition: number, change: 1 | -1): void {
    let parent = 0;
    const base = partition * this.#size;
    for (const [level, place] of this.#placesOf(node).entries()) {
      const before = this.#copies[base + place] ?? 0;
      const after = before + change;
      const { copies } = this.#limit(level);
      if (Math.max(before, after) === copies) {
        this.#full[base + parent] = (this.#full[base + parent] ?? 0) + change;
      }
      this.#copies[base + place] = after;
      parent = place;
    }
  }

  #placesOf(node: number): readonly number[] {
    const places = this.#places[node];
    if (places === undefined) throw new RangeError(`no node ${node}`);
    return places;
  }

  #limit(level: number): Limit {
    const limit = this.#limits[level];
    if (limit === undefined) throw new RangeError(`no level ${level}`);
    return limit;
  }
}
