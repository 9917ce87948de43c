/**
 * Checks what clients of a database were told against one order of their transactions.
 *
 * Objects are of two kinds. *Counters* are numbers: a transaction adds to them, and conflicts are
 * resolved by adding up. *Registers* hold a text: a transaction replaces it, and conflicts are not
 * resolved.
 *
 * @module
 */

import { hexId, type Oid, type Tid, ZERO_TID } from "../../protocol/ids.ts";

/** What an object holds; `null` if it does not exist. */
export type Value = number | string | null;

/** What a transaction did to an object. */
export type Effect =
  | { readonly kind: "add"; readonly amount: number; readonly base: Tid }
  | { readonly kind: "set"; readonly text: string | null; readonly base: Tid };

/** A transaction that its client was told to be committed. */
export interface Committed {
  readonly tid: Tid;
  readonly effects: ReadonlyMap<Oid, Effect>;
  /** Objects whose conflicts were resolved, with what they were merged with. */
  readonly resolved: ReadonlyMap<Oid, Tid>;
  /** Objects that were only checked, with the revision that was current. */
  readonly checks: ReadonlyMap<Oid, Tid>;
  /** The transaction that it undid, and the objects concerned. */
  readonly undone: { readonly tid: Tid; readonly oids: readonly Oid[] } | null;
  /** The greatest tid that anybody was told before it began. */
  readonly after: Tid;
}

/** What a client read. */
export interface ReadValue {
  readonly snapshot: Tid;
  readonly oid: Oid;
  readonly value: Value;
}

/** A record found in the database at the end. */
export interface StoredValue {
  readonly tid: Tid;
  readonly oid: Oid;
  readonly value: Value;
}

/** Everything that is known about a database and its clients. */
export interface RecordedHistory {
  readonly committed: readonly Committed[];
  readonly reads: readonly ReadValue[];
  /** All transactions of the database, by increasing tid. */
  readonly tids: readonly Tid[];
  readonly stored: readonly StoredValue[];
  /** Tids up to which packs were ordered. */
  readonly packs: readonly Tid[];
}

interface Revision {
  readonly tid: Tid;
  readonly value: Value;
}

/** Replays transactions in the order of their tids. */
class Replay {
  readonly problems: string[] = [];
  readonly #revisions = new Map<Oid, Revision[]>();
  readonly #byTid = new Map<Tid, Committed>();

  /** @param packed the last tid that was packed. */
  constructor(readonly packed: Tid) {}

  add(transaction: Committed): void {
    const { tid, effects, checks, undone, resolved } = transaction;
    this.#byTid.set(tid, transaction);
    for (const [oid, serial] of checks) {
      const { tid: last } = this.last(oid);
      if (last !== serial) {
        this.#problem(tid, oid, `was checked to be at ${hexId(serial)}, but is at ${hexId(last)}`);
      }
    }
    for (const [oid, effect] of effects) {
      const { tid: last, value } = this.last(oid);
      const base = resolved.get(oid) ?? effect.base;
      // A deletion that was packed leaves nothing to be based on.
      const anew = base === ZERO_TID && value === null && last <= this.packed;
      if (base !== last && !anew) {
        this.#problem(tid, oid, `is based on ${hexId(base)}: the update ${hexId(last)} is lost`);
      }
      this.#append(oid, tid, effect.kind === "set" ? effect.text : Number(value) + effect.amount);
    }
    if (undone === null) return;
    const expected = new Set(this.#changedBy(undone.tid));
    for (const oid of undone.oids) {
      if (!expected.delete(oid)) this.#problem(tid, oid, "was undone, but had not been changed");
      else this.#append(oid, tid, this.#undo(oid, undone.tid));
    }
    for (const oid of expected) this.#problem(tid, oid, "was not undone");
  }

  /** The revision of an object that a snapshot sees. */
  at(oid: Oid, snapshot: Tid): Revision {
    return this.#revisions.get(oid)?.findLast(({ tid }) => tid <= snapshot) ?? NEVER;
  }

  last(oid: Oid): Revision {
    return this.#revisions.get(oid)?.at(-1) ?? NEVER;
  }

  revision(oid: Oid, tid: Tid): Revision | undefined {
    return this.#revisions.get(oid)?.find((revision) => revision.tid === tid);
  }

  *revisions(): Iterable<Revision & { readonly oid: Oid; readonly next: Tid | null }> {
    for (const [oid, revisions] of this.#revisions) {
      for (const [i, revision] of revisions.entries()) {
        yield { ...revision, oid, next: revisions[i + 1]?.tid ?? null };
      }
    }
  }

  #append(oid: Oid, tid: Tid, value: Value): void {
    const revisions = this.#revisions.get(oid);
    if (revisions === undefined) this.#revisions.set(oid, [{ tid, value }]);
    else revisions.push({ tid, value });
  }

  #changedBy(tid: Tid): Oid[] {
    const { effects = new Map(), undone } = this.#byTid.get(tid) ?? {};
    return [...effects.keys(), ...undone?.oids ?? []];
  }

  /** A counter loses what was added; a register becomes what it was before. */
  #undo(oid: Oid, undone: Tid): Value {
    const revisions = this.#revisions.get(oid) ?? [];
    const index = revisions.findIndex(({ tid }) => tid === undone);
    const before = revisions[index - 1]?.value ?? null;
    const after = revisions[index]?.value ?? null;
    const current = this.last(oid).value;
    if (typeof before === "number") return Number(current) - Number(after) + before;
    return before;
  }

  #problem(tid: Tid, oid: Oid, text: string): void {
    this.problems.push(`transaction ${hexId(tid)}: object ${hexId(oid)} ${text}`);
  }
}

const NEVER: Revision = { tid: ZERO_TID, value: null };

/** What is wrong with a history: nothing, if the database is right. */
export function checkHistory(
  { committed, reads, tids, stored, packs }: RecordedHistory,
): string[] {
  const packed = packs.reduce((a, b) => a > b ? a : b, ZERO_TID);
  const replay = new Replay(packed);
  const { problems } = replay;
  const known = new Set(committed.map(({ tid }) => tid));
  if (known.size < committed.length) problems.push("two transactions have the same tid");
  const present = new Set(tids);
  for (const tid of known) {
    if (!present.has(tid)) problems.push(`transaction ${hexId(tid)} was committed and is lost`);
  }
  for (const [i, tid] of tids.entries()) {
    if (!known.has(tid)) problems.push(`transaction ${hexId(tid)} was committed by nobody`);
    if (i > 0 && tid <= (tids[i - 1] ?? tid)) problems.push(`tid ${hexId(tid)} is out of order`);
  }
  for (const transaction of [...committed].sort((a, b) => a.tid < b.tid ? -1 : 1)) {
    const { tid, after } = transaction;
    if (tid <= after) {
      problems.push(`transaction ${hexId(tid)} began after ${hexId(after)} was committed`);
    }
    replay.add(transaction);
  }
  for (const { snapshot, oid, value } of reads) {
    const expected = replay.at(oid, snapshot);
    if (expected.value === value) continue;
    // What was packed meanwhile may not be found any more.
    if (value === null && snapshot < packed) continue;
    problems.push(
      `the snapshot ${hexId(snapshot)} of object ${hexId(oid)} had ${value} in it, ` +
        `instead of ${expected.value} of ${hexId(expected.tid)}`,
    );
  }
  const found = new Set<string>();
  for (const { tid, oid, value } of stored) {
    found.add(`${tid} ${oid}`);
    const expected = replay.revision(oid, tid);
    if (expected === undefined) {
      problems.push(`object ${hexId(oid)} has a revision ${hexId(tid)} that nobody stored`);
    } else if (expected.value !== value) {
      problems.push(
        `revision ${hexId(tid)} of object ${hexId(oid)} is ${value} instead of ${expected.value}`,
      );
    }
  }
  for (const { tid, oid, next, value } of replay.revisions()) {
    if (found.has(`${tid} ${oid}`)) continue;
    // Packs remove what was not current, and what was deleted.
    if (tid <= packed && (next !== null && next <= packed || value === null)) continue;
    problems.push(`revision ${hexId(tid)} of object ${hexId(oid)} is missing`);
  }
  return problems;
}
