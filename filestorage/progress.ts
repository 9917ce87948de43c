/**
 * Showing how far a long operation is.
 *
 * @module
 */

import { type Tid, tidToTime, ZERO_TID } from "../protocol/ids.ts";
import type { Amount } from "./copy.ts";

/** How far an operation is. */
export interface Done {
  readonly transactions: number;
  /** Nothing if bytes are not counted. */
  readonly bytes?: number;
  /** Tid of the last transaction. */
  readonly tid: Tid;
}

/** Where and how progress is shown. */
export interface ProgressOptions {
  /** Shows text: on standard error usually, so that standard output keeps results only. */
  readonly write: (text: string) => void;
  /** Milliseconds, from any origin. */
  readonly now: () => number;
  /** Width of the terminal; `null` if it is not one: then lines are written now and then. */
  readonly columns: number | null;
  /** Show nothing but warnings. */
  readonly quiet?: boolean;
}

/** Time between two displays, in milliseconds. */
const TERMINAL_INTERVAL = 100;
const LINES_INTERVAL = 5000;
const BAR_WIDTH = 24;
const CLEAR_LINE = "\r\x1b[K";

/**
 * A progress bar on a terminal, lines elsewhere.
 *
 * @example
 * ```ts ignore
 * const columns = Deno.stderr.isTerminal() ? Deno.consoleSize().columns : null;
 * const progress = new Progress({ write, now: () => performance.now(), columns });
 * await copyTransactions(source, destination, {
 *   onStart: (...start) => progress.start(...start),
 *   onProgress: (done) => progress.update(done),
 *   onWarning: (message) => progress.warn(message),
 * });
 * progress.end();
 * ```
 */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #interval: number;
  #startTime: number;
  #lastTime: number;
  #total: Amount | null = null;
  #firstTid = ZERO_TID;
  #lastTid = ZERO_TID;
  /** Whether a bar is on the current line of the terminal. */
  #shown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#interval = options.columns === null ? LINES_INTERVAL : TERMINAL_INTERVAL;
    this.#startTime = this.#lastTime = options.now();
  }

  /** Starts to count.
   *
   * @param total the whole amount; if it is `null`, tids tell how far the operation is, as if
   * activity had been constant.
   */
  start(total: Amount | null, firstTid: Tid, lastTid: Tid): void {
    this.#startTime = this.#lastTime = this.#options.now();
    this.#total = total;
    this.#firstTid = firstTid;
    this.#lastTid = lastTid;
  }

  /** Shows how far the operation is, if enough time has passed since the last time. */
  update(done: Done): void {
    const { now, quiet, columns, write } = this.#options;
    const time = now();
    if (quiet || time - this.#lastTime < this.#interval) return;
    this.#lastTime = time;
    // Without a total, time goes from the first transaction that is met.
    if (this.#firstTid === ZERO_TID) this.#firstTid = done.tid;
    const fraction = this.#fraction(done);
    const text = this.#describe(done, fraction, (time - this.#startTime) / 1000);
    if (columns === null) {
      write(`${text}\n`);
    } else {
      write(CLEAR_LINE + `${bar(fraction)} ${text}`.slice(0, columns - 1));
      this.#shown = true;
    }
  }

  /** Shows a message on a line of its own, in quiet mode too. */
  warn(message: string): void {
    this.end();
    this.#options.write(`warning: ${message}\n`);
  }

  /** Removes the bar. */
  end(): void {
    if (this.#shown) this.#options.write(CLEAR_LINE);
    this.#shown = false;
  }

  #fraction({ transactions, bytes, tid }: Done): number {
    const fraction = this.#total === null
      ? (tidToTime(tid) - tidToTime(this.#firstTid)) /
        (tidToTime(this.#lastTid) - tidToTime(this.#firstTid))
      : bytes === undefined
      ? transactions / this.#total.transactions
      : bytes / this.#total.bytes;
    return Number.isFinite(fraction) ? Math.min(Math.max(fraction, 0), 1) : 0;
  }

  #describe({ transactions, bytes }: Done, fraction: number, seconds: number): string {
    const parts = [`${(fraction * 100).toFixed(1).padStart(5)}%`, `${transactions} transactions`];
    if (bytes !== undefined) {
      parts.push(formatSize(bytes), `${formatSize(bytes / Math.max(seconds, 1e-3))}/s`);
    }
    if (fraction > 0) parts.push(`${formatDuration(seconds * (1 / fraction - 1))} left`);
    return parts.join("  ");
  }
}

function bar(fraction: number): string {
  const full = Math.round(fraction * BAR_WIDTH);
  return `[${"#".repeat(full)}${"-".repeat(BAR_WIDTH - full)}]`;
}

/** A number of bytes for people: `1.5 MB` is 1,500,000 bytes. */
export function formatSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A duration for people, as `M:SS` or `H:MM:SS`. */
export function formatDuration(seconds: number): string {
  const total = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(total / 60);
  return minutes < 60
    ? `${minutes}:${two(total % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(total % 60)}`;
}
