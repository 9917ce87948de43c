/**
 * Runs seeds with nodes that are wrong until it is noticed.
 *
 * @module
 */

import type { Mutant } from "./mutants.ts";
import { simulate } from "./simulation.ts";

/** How a mutant was found. */
export interface Finding {
  readonly mutant: Mutant;
  /** Number of runs. */
  readonly runs: number;
  /** The seed that found it; `null` if none did. */
  readonly seed: number | null;
  /** What was noticed. */
  readonly text: string;
}

/** Runs seeds with a mutant, until one finds it. */
export async function huntMutant(mutant: Mutant, seed: number, runs: number): Promise<Finding> {
  const restore = mutant.patch?.() ?? (() => {});
  try {
    for (let run = 1; run <= runs; run++) {
      const { violations: [text] } = await simulate(seed + run - 1, mutant.alterations);
      if (text === undefined) continue;
      return { mutant, runs: run, seed: seed + run - 1, text };
    }
    return { mutant, runs, seed: null, text: "" };
  } finally {
    restore();
  }
}

/** A finding as a row of a table. */
export function findingText({ mutant, runs, seed, text }: Finding): string {
  const [first = ""] = text.split("\n");
  const noticed = first.length > 90 ? `${first.slice(0, 90)}…` : first;
  return `${mutant.name.padEnd(68)} ${String(runs).padStart(4)}  ` +
    (seed === null ? "SURVIVED" : `${String(seed).padStart(8)}  ${noticed}`);
}
