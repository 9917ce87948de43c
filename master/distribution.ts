/**
 * Dealing partitions to storage nodes.
 *
 * @module
 */

/** What may forbid to give some partitions to some node. */
export interface PlacementConstraint {
  /** Places the partitions on the node unless that is forbidden. */
  place(node: number, partitions: readonly number[]): boolean;
  /** Takes back what was placed. */
  remove(node: number, partitions: readonly number[]): void;
}

/** A list of partitions that as many nodes may get. */
export interface Choice {
  readonly partitions: readonly number[];
  readonly count: number;
  /** 1 for each partition in the list. */
  readonly includes: Uint8Array;
}

/** What a node may be given, at its turn: indexes of choices, the preferred one first. */
export interface Turn {
  readonly node: number;
  readonly candidates: readonly number[];
}

/** What a node gets. */
export interface Assignment {
  readonly node: number;
  readonly partitions: readonly number[];
}

/**
 * The optimal lists of partitions, one for each node, without saying which node gets which: loads
 * differ by one at most, and consecutive partitions involve as many nodes as possible.
 *
 * @param copies copies of each partition, at most as many as nodes.
 * @returns the distinct lists: longest first, then in the order of their partitions.
 */
export function idealChoices(partitions: number, copies: number, nodes: number): Choice[] {
  const lists: number[][] = Array.from({ length: nodes }, () => []);
  let turn = 0;
  for (let partition = 0; partition < partitions; partition++) {
    for (let copy = 0; copy < copies; copy++) lists[turn++ % nodes]?.push(partition);
  }
  const choices: { list: readonly number[]; count: number }[] = [];
  for (const list of lists.sort(compareLists)) {
    const last = choices.at(-1);
    if (last !== undefined && compareLists(last.list, list) === 0) last.count++;
    else choices.push({ list, count: 1 });
  }
  return choices.map(({ list, count }) => {
    const includes = new Uint8Array(partitions);
    for (const partition of list) includes[partition] = 1;
    return { partitions: list, count, includes };
  });
}

/** Longest first, then in the order of their partitions. */
export function compareLists(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return b.length - a.length;
  for (const [index, partition] of a.entries()) {
    const difference = partition - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Partitions placed before a search is given up: a master must not stop answering for that long. */
const MAX_PLACEMENTS = 4_000_000;

/**
 * Gives each node one of its candidates: the first assignment found by a depth-first search that the
 * constraint allows.
 *
 * @param turns all nodes, in the order in which they choose.
 * @returns the assignment in the order of turns, or `null` if there is none or it takes too long to
 * find. The constraint is then as it was.
 */
export function assign(
  choices: readonly Choice[],
  turns: readonly Turn[],
  constraint: PlacementConstraint | null = null,
): Assignment[] | null {
  const remaining = choices.map(({ count }) => count);
  const assigned: Assignment[] = [];
  let placements = 0;
  const search = (): boolean => {
    const turn = turns[assigned.length];
    if (turn === undefined) return true;
    const { node } = turn;
    for (const index of turn.candidates) {
      const { partitions = [] } = choices[index] ?? {};
      const left = remaining[index] ?? 0;
      if (left === 0) continue;
      if ((placements += partitions.length + 1) > MAX_PLACEMENTS) return false;
      if (constraint?.place(node, partitions) === false) continue;
      remaining[index] = left - 1;
      assigned.push({ node, partitions });
      if (search()) return true;
      assigned.pop();
      remaining[index] = left;
      constraint?.remove(node, partitions);
    }
    return false;
  };
  return search() ? assigned : null;
}
