/**
 * What people are told about runs.
 *
 * @module
 */

import { planText } from "./plan.ts";
import type { Outcome } from "./simulation.ts";

/** Longest line of a story that is shown. */
const MAX_LINE = 300;

/** The last lines of what happened before something was wrong, or of all; 0 for all of them. */
export function storyText(outcome: Outcome, length: number): string {
  const lines = [...outcome.story()];
  const violation = lines.findIndex((line) => line.includes(" VIOLATION "));
  const end = violation < 0 ? lines.length : violation + 1;
  return lines.slice(length === 0 ? 0 : Math.max(0, end - length), end)
    .map((line) => line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line).join("\n");
}

/** A run in one line. */
export function runText({ plan, hash, duration, transactions }: Outcome): string {
  const { committed, failed, unknown } = transactions;
  return `seed ${plan.seed}: ${(duration / 1000).toFixed(1)} virtual seconds, ` +
    `${committed} transactions committed, ${failed} failed, ${unknown} of crashed clients; ` +
    `trace ${hash.toString(16).padStart(8, "0")}\n  ${planText(plan)}`;
}

/** All about a run where something is wrong. */
export function failureText(outcome: Outcome, storyLength: number): string {
  const { violations, plan } = outcome;
  const others = violations.length > 1 ? [`  and ${violations.length - 1} more`] : [];
  return [
    `seed ${plan.seed} fails: ${violations[0]}`,
    ...others,
    runText(outcome),
    storyText(outcome, storyLength),
    `repeat with: deno task simulate --seed ${plan.seed}`,
  ].join("\n");
}

/** Milliseconds between two lines in a file or a pipe. */
const LINE_PERIOD = 60_000;

/** Shows how far it is: in a line that changes on a terminal, elsewhere in a line a minute. */
export class Progress {
  readonly #start = performance.now();
  readonly #terminal = Deno.stderr.isTerminal();
  #lastLine = this.#start;

  constructor(readonly total: number) {}

  /** Some runs are done. */
  update(done: number, failed: number): void {
    const text = `${done} of ${this.total} seeds, ${this.rate(done)} a second, ${failed} failed`;
    if (this.#terminal) return this.#write(`\r${text} \x1b[K`);
    const now = performance.now();
    if (now - this.#lastLine < LINE_PERIOD) return;
    this.#lastLine = now;
    this.#write(`${text}\n`);
  }

  /** Makes room for other output. */
  clear(): void {
    if (this.#terminal) this.#write("\r\x1b[K");
  }

  /** Runs a second, as text. */
  rate(done: number): string {
    const seconds = (performance.now() - this.#start) / 1000;
    return (done / Math.max(seconds, 0.001)).toFixed(1);
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}
