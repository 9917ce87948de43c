/**
 * Compares what clients did and saw with what storages have in the end. It knows nothing of how the
 * cluster works.
 *
 * @module
 */

import { hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { Attempt, Committed, History, Read } from "./history.ts";
import type { Packed } from "./packing.ts";

interface Revision {
  readonly tid: Tid;
  /** `undefined` if it is not known. */
  readonly data: string | null | undefined;
}

/** The committed transactions, by increasing tid, and what can be asked about them. */
class Truth {
  readonly #revisions = new Map<Oid, Revision[]>();
  readonly #byDescription = new Map<string, Committed>();

  constructor(readonly transactions: readonly Committed[]) {
    for (const transaction of transactions) {
      const { tid, description, objects } = transaction;
      this.#byDescription.set(description, transaction);
      for (const [oid, data] of objects) {
        const revisions = this.#revisions.get(oid);
        if (revisions === undefined) this.#revisions.set(oid, [{ tid, data }]);
        else revisions.push({ tid, data });
      }
    }
  }

  of({ id }: Attempt): Committed | undefined {
    return this.#byDescription.get(id);
  }

  /** The transaction with a tid. */
  at(tid: Tid): Committed | undefined {
    return this.transactions.find((transaction) => transaction.tid === tid);
  }

  /** The last revision of an object at a tid, or before it. */
  last(oid: Oid, tid: Tid, before = false): Revision | null {
    const revisions = this.#revisions.get(oid) ?? [];
    return revisions.findLast((revision) => before ? revision.tid < tid : revision.tid <= tid) ??
      null;
  }

  /** Revisions of an object that are current at some point of a range. */
  current(oid: Oid, from: Tid, to: Tid): (Revision | null)[] {
    const revisions = this.#revisions.get(oid) ?? [];
    return [this.last(oid, from), ...revisions.filter(({ tid }) => tid > from && tid <= to)];
  }
}

/**
 * Checks a history.
 *
 * @param transactions what storages have, by increasing tid.
 * @param packed the tid up to which reads of an object may not find what a pack removed.
 * @returns what is wrong.
 */
export function checkHistory(
  history: History,
  transactions: readonly Committed[],
  packed: Packed = () => ZERO_TID,
): string[] {
  const truth = new Truth(transactions);
  return [
    ...checkOrigins(history, truth),
    ...history.attempts.flatMap((attempt) => [...checkOutcome(attempt, truth)]),
    ...history.attempts.flatMap((attempt) => [...checkIsolation(attempt, truth, packed)]),
    ...history.attempts.flatMap((attempt) => [...checkUndo(attempt, truth)]),
    ...checkOrder(history),
    ...history.reads.flatMap((read) => [...checkRead(read, truth, packed)]),
    ...checkSyncs(history),
  ];
}

/** Nothing comes from nowhere, nothing is there twice. */
function* checkOrigins({ attempts }: History, { transactions }: Truth): Iterable<string> {
  const known = new Set(attempts.map(({ id }) => id));
  const seen = new Set<string>();
  let last = ZERO_TID;
  for (const { tid, description } of transactions) {
    if (tid <= last) yield `transaction ${hexId(tid)} is not after ${hexId(last)}`;
    last = tid;
    if (!known.has(description)) yield `nobody began '${description}', ${hexId(tid)}`;
    if (seen.has(description)) yield `transaction '${description}' is there twice, ${hexId(tid)}`;
    seen.add(description);
  }
}

/** What was acknowledged is there, whole; what failed is not. */
function* checkOutcome(attempt: Attempt, truth: Truth): Iterable<string> {
  const { id, outcome, writes } = attempt;
  const committed = truth.of(attempt);
  if (committed === undefined) {
    if (outcome.kind === "committed") yield `acknowledged transaction '${id}' is lost`;
    return;
  }
  const { tid, objects } = committed;
  if (outcome.kind === "failed") {
    yield `'${id}' failed (${outcome.why}) and is committed as ${hexId(tid)}`;
  }
  if (outcome.kind === "committed" && outcome.tid !== tid) {
    yield `'${id}' was committed as ${hexId(outcome.tid)} and is there as ${hexId(tid)}`;
  }
  for (const [oid, { data }] of writes) {
    if (!objects.has(oid)) yield `'${id}' is there without its object ${hexId(oid)}`;
    else if (!sameData(objects.get(oid), data)) {
      yield `'${id}' stored ${data} in ${hexId(oid)}, not ${objects.get(oid)}`;
    }
  }
  const undone = attempt.undone === null ? undefined : truth.at(attempt.undone);
  for (const oid of objects.keys()) {
    if (!writes.has(oid) && !undone?.objects.has(oid)) {
      yield `'${id}' never stored object ${hexId(oid)}`;
    }
  }
}

function sameData(one: string | null | undefined, other: string | null | undefined): boolean {
  return one === other || one === undefined || other === undefined;
}

/** Nobody else wrote between what a transaction was based on and the transaction. */
function* checkIsolation(attempt: Attempt, truth: Truth, packed: Packed): Iterable<string> {
  const committed = truth.of(attempt);
  if (committed === undefined) return;
  const { tid } = committed;
  const serials = [
    ...attempt.checks,
    ...[...attempt.writes].map(([oid, { base }]) => [oid, base] as const),
  ];
  for (const [oid, base] of serials) {
    const last = truth.last(oid, tid, true);
    const previous = last?.tid ?? ZERO_TID;
    // What is left of a deleted object after a pack is nothing: its oid may be given out again, and
    // nobody can tell that what is based on an earlier revision comes too late.
    const gone = last?.data === null && last.tid <= packed(oid) && base < last.tid;
    if (previous !== base && !gone) {
      yield `'${attempt.id}' (${hexId(tid)}) was based on ${hexId(base)} of ${hexId(oid)}, ` +
        `but follows ${hexId(previous)}`;
    }
  }
}

/** What a transaction undid is as it was before, unless it was merged with what came later. */
function* checkUndo(attempt: Attempt, truth: Truth): Iterable<string> {
  const { id, undone, merges } = attempt;
  const committed = truth.of(attempt);
  if (committed === undefined || undone === null) return;
  const original = truth.at(undone);
  if (original === undefined) yield `'${id}' undid ${hexId(undone)}, which is not there`;
  for (const [oid, data] of original?.objects ?? []) {
    const name = `'${id}' undid ${hexId(undone)} of ${hexId(oid)}`;
    const last = truth.last(oid, undone, true);
    const before = last === null ? null : last.data;
    const previous = truth.last(oid, committed.tid, true);
    const merged = merges && previous?.tid !== undone;
    // Changes since may have been undone too.
    const changed = previous?.data !== data;
    if (changed && !merged) yield `${name}, which had been changed since`;
    if (!changed && !merged && !sameData(committed.objects.get(oid), before)) {
      yield `${name}: it has ${committed.objects.get(oid)}, not ${before}`;
    }
  }
}

/** What was acknowledged before another transaction began has a smaller tid. */
function* checkOrder({ attempts }: History): Iterable<string> {
  const moments: { at: number; attempt: Attempt; tid: Tid; began: boolean }[] = [];
  for (const attempt of attempts) {
    if (attempt.outcome.kind !== "committed") continue;
    const { tid } = attempt.outcome;
    moments.push({ at: attempt.began, attempt, tid, began: true });
    moments.push({ at: attempt.ended, attempt, tid, began: false });
  }
  moments.sort((a, b) => a.at - b.at);
  let last = ZERO_TID;
  const bounds = new Map<Attempt, Tid>();
  for (const { attempt, tid, began } of moments) {
    if (began) bounds.set(attempt, last);
    else {
      const bound = bounds.get(attempt) ?? ZERO_TID;
      if (tid <= bound) yield `'${attempt.id}' is ${hexId(tid)}, but began after ${hexId(bound)}`;
      if (tid > last) last = tid;
    }
  }
}

function* checkRead(
  { client, oid, from, to, seen }: Read,
  truth: Truth,
  packed: Packed,
): Iterable<string> {
  const name = `${client} read ${hexId(oid)} at ${hexId(from)} … ${hexId(to)}`;
  const possible = truth.current(oid, from, to);
  if (seen === null) {
    if (from < packed(oid)) return;
    if (!possible.some((revision) => revision === null || revision.data === null)) {
      yield `${name}: it did not see anything`;
    }
    return;
  }
  const revision = possible.find((revision) => revision?.tid === seen.serial);
  if (revision === undefined || revision === null) {
    const serials = possible.map((revision) => revision === null ? "none" : hexId(revision.tid));
    yield `${name}: it saw ${hexId(seen.serial)}, not ${serials.join(" or ")}`;
  } else if (revision.data !== undefined && revision.data !== seen.data) {
    yield `${name}: it saw ${seen.data} of ${hexId(seen.serial)}, not ${revision.data}`;
  }
}

/** Who asks to see everything sees at least what was acknowledged before. */
function* checkSyncs({ attempts, syncs }: History): Iterable<string> {
  for (const { client, began, last } of syncs) {
    for (const { id, outcome, ended } of attempts) {
      if (outcome.kind !== "committed" || ended > began || outcome.tid <= last) continue;
      yield `${client} was synchronized up to ${hexId(last)}, without '${id}' ${
        hexId(outcome.tid)
      }`;
    }
  }
}
