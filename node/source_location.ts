/**
 * Tells where in the source a log record was made.
 *
 * @module
 */

/** A line of a source file. */
export interface SourceLocation {
  /** Relative to the root of the package, or a whole URL outside of it. */
  readonly path: string;
  readonly line: number;
}

const ROOT = new URL("../", import.meta.url).href;

/** A caller, whose location is only worked out when asked for, as most records are never written. */
export class CallSite {
  declare readonly stack?: string;

  /** @param below the function whose caller is meant. */
  constructor(below: (...args: never[]) => unknown) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 1;
    Error.captureStackTrace(this, below);
    Error.stackTraceLimit = limit;
  }

  /** `null` if the runtime does not tell. */
  location(): SourceLocation | null {
    const match = /(?:\(|at )(?:async )?([^\s()]+):(\d+):\d+\)?$/m.exec(this.stack ?? "");
    if (match === null) return null;
    const [, url = "", line] = match;
    return { path: url.startsWith(ROOT) ? url.slice(ROOT.length) : url, line: Number(line) };
  }
}
