/**
 * What clients did and saw in a run, for the checker.
 *
 * @module
 */

import type { Oid, Tid } from "../protocol/ids.ts";

/** A revision as somebody saw it; `data` is text, `null` for a deletion. */
export interface Seen {
  readonly serial: Tid;
  readonly data: string | null;
}

/** A read. It must show the last revision at some tid of the range `from` … `to`. */
export interface Read {
  readonly client: string;
  readonly oid: Oid;
  readonly from: Tid;
  readonly to: Tid;
  /** `null` if there was nothing to see. */
  readonly seen: Seen | null;
}

/** What a transaction wrote. */
export interface Written {
  /** The revision it was based on, zero for a new object. */
  base: Tid;
  data: string | null;
}

/** How a transaction ended, as far as its client was told. */
export type Outcome =
  | { readonly kind: "committed"; readonly tid: Tid }
  | { readonly kind: "failed"; readonly why: string }
  /** Nobody was told: the client crashed, or was interrupted. */
  | { readonly kind: "unknown" };

/** A transaction that was begun. */
export interface Attempt {
  /** Unique; it is the description of the transaction. */
  readonly id: string;
  readonly client: string;
  /** Moments are numbers that grow with each thing recorded. */
  readonly began: number;
  ended: number;
  ttid: Tid | null;
  readonly writes: Map<Oid, Written>;
  /** Objects that must not change meanwhile, with their serials. */
  readonly checks: Map<Oid, Tid>;
  /** The transaction that it undoes. */
  undone: Tid | null;
  /** Whether its client may merge what it undoes with what came later. */
  merges: boolean;
  outcome: Outcome;
}

/** `lastTransaction` of a client after it asked to see all that was committed before. */
export interface Sync {
  readonly client: string;
  readonly began: number;
  readonly last: Tid;
}

/** Everything that clients recorded. */
export class History {
  readonly attempts: Attempt[] = [];
  readonly reads: Read[] = [];
  readonly syncs: Sync[] = [];
  #moment = 0;

  /** The next moment. */
  tick(): number {
    return ++this.#moment;
  }

  /** A transaction begins. */
  begin(client: string): Attempt {
    const attempt: Attempt = {
      id: `${client}/${this.attempts.length}`,
      client,
      began: this.tick(),
      ended: Infinity,
      ttid: null,
      writes: new Map(),
      checks: new Map(),
      undone: null,
      merges: false,
      outcome: { kind: "unknown" },
    };
    this.attempts.push(attempt);
    return attempt;
  }

  /** A transaction ends. */
  end(attempt: Attempt, outcome: Outcome): void {
    attempt.outcome = outcome;
    attempt.ended = this.tick();
  }
}

/** A committed transaction as storages have it. */
export interface Committed {
  readonly tid: Tid;
  readonly ttid: Tid;
  readonly description: string;
  /** `undefined` is data that is not known any more. */
  readonly objects: ReadonlyMap<Oid, string | null | undefined>;
}
