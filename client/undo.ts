/**
 * Undoing a transaction: storing again, in another one, what its objects were before.
 *
 * @module
 */

import { add64, hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import {
  ConflictError,
  NEOStorageNotFoundError,
  NEOUndoPackError,
  POSKeyError,
  UndoError,
} from "./errors.ts";
import type { History } from "./iterator.ts";
import { loadPackOrders, packLimits } from "./packs.ts";
import { pipelined } from "./pipeline.ts";
import { resolveConflict } from "./resolution.ts";
import type { Services } from "./services.ts";
import { abortable } from "./waiting.ts";
import { Write } from "./write.ts";
import type { Writes } from "./writes.ts";

/** What storage nodes know about one object of a transaction to undo. */
type Serials = AnswerArgsOf<"AskObjectUndoSerial">["objects"] extends ReadonlyMap<Oid, infer S> ? S
  : never;

/** Objects of a partition that are asked about at once. */
const BATCH = 1000;
/** Objects whose data is loaded in advance. */
const AHEAD = 64;

const MODIFIED = "some data were modified by a later transaction";

/**
 * Undoes a transaction, in an operation of another one.
 *
 * An object that still is what the transaction made of it gets a pointer to what it was before. What
 * was modified later has to be merged.
 *
 * @returns the objects that it stored.
 * @throws {UndoError} if that is not possible.
 * @throws {ConflictError} if somebody else modifies the same objects meanwhile.
 */
export async function undo(
  services: Services,
  history: History,
  writes: Writes,
  undone: Tid,
  signal: AbortSignal | undefined,
): Promise<Oid[]> {
  const stop = writes.failing(signal);
  // What this transaction stored itself counts, once storage nodes have it.
  await writes.answered(signal);
  const oids = await modifiedOids(history, undone, stop);
  const objects = await undoSerials(services, writes, undone, oids, stop);
  await checkNotPacked(services, undone, oids, stop);
  const undoing = new Undo(services, writes, undone, stop);
  const prepared = pipelined(objects, AHEAD, ([oid, serials]) => undoing.prepare(oid, serials));
  for await (const write of prepared) await writes.writeWithin(write, signal);
  await writes.answered(signal);
  return [...objects.keys()];
}

async function modifiedOids(
  history: History,
  undone: Tid,
  signal: AbortSignal,
): Promise<readonly Oid[]> {
  try {
    return (await history.information(undone, signal)).oids;
  } catch (error) {
    if (!(error instanceof NEOStorageNotFoundError)) throw error;
    throw new UndoError(`there is no transaction ${hexId(undone)}`, null, { cause: error });
  }
}

/**
 * Where the revision before was packed, it looks as if there never was one; where the one to undo was,
 * storage nodes say nothing of the object. To be called when they have answered: an order that they
 * executed before is known to the master.
 */
async function checkNotPacked(
  services: Services,
  undone: Tid,
  oids: readonly Oid[],
  signal: AbortSignal,
): Promise<void> {
  const packedUpTo = packLimits(await loadPackOrders(services, undone, signal));
  for (const oid of oids) {
    if (packedUpTo(oid) < undone) continue;
    throw new UndoError(
      `transaction ${hexId(undone)} can't be undone any more: what was before was packed`,
      oid,
    );
  }
}

/** Asks for each partition a node that has all that this transaction stored. */
async function undoSerials(
  { reads, view }: Services,
  { session, ttid, nodes }: Writes,
  undone: Tid,
  oids: readonly Oid[],
  signal: AbortSignal,
): Promise<Map<Oid, Serials>> {
  const ltid = add64(view.lastTid ?? ZERO_TID, 1);
  const batches: Oid[][] = [];
  for (const own of Map.groupBy(oids, (oid) => session.partitionOf(oid)).values()) {
    for (let i = 0; i < own.length; i += BATCH) batches.push(own.slice(i, i + BATCH));
  }
  const objects = new Map<Oid, Serials>();
  try {
    await abortable(
      Promise.all(batches.map(async (oids) => {
        const [first] = oids;
        if (first === undefined) return;
        const found = await reads.read({
          partition: first,
          name: "AskObjectUndoSerial",
          args: { ttid, ltid, undoneTid: undone, oids },
          decode: ({ objects }) => objects,
          excludes: (nid) => nodes.isLost(nid),
          signal,
        });
        for (const [oid, serials] of found) objects.set(oid, serials);
      })),
      signal,
    );
  } catch (error) {
    if (!(error instanceof NEOStorageNotFoundError) || error instanceof NEOUndoPackError) {
      throw error;
    }
    throw new UndoError(`transaction ${hexId(undone)} can't be undone`, null, { cause: error });
  }
  return objects;
}

/** What to write for the objects of a transaction to undo. */
class Undo {
  constructor(
    readonly services: Services,
    readonly writes: Writes,
    readonly undone: Tid,
    readonly signal: AbortSignal,
  ) {}

  prepare(oid: Oid, { current, undo, isCurrent }: Serials): Promise<Write> {
    return isCurrent ? this.#restore(oid, current, undo) : this.#merge(oid, current, undo);
  }

  /** Nobody modified it since: points to the revision before. */
  async #restore(oid: Oid, current: Tid, undo: Tid | null): Promise<Write> {
    const serial = this.#base(oid, current);
    // The creation is undone: the object does not exist any more.
    if (undo === null) return new Write("delete", oid, serial, null, null);
    // Nodes that lack that revision, and who may have to merge, need the data.
    const data = await this.#dataOf(oid, undo);
    return new Write(data === null ? "delete" : "store", oid, serial, data, undo);
  }

  /** It was modified later: takes the change out of what it is now. */
  async #merge(oid: Oid, current: Tid, undo: Tid | null): Promise<Write> {
    if (undo === null) throw new UndoError(MODIFIED, oid);
    const { services, writes, undone, signal } = this;
    const data = await this.#dataOf(oid, undo);
    const own = current === writes.ttid ? writes.own(oid) : undefined;
    if (own !== undefined && own.data === undefined) {
      throw new UndoError("what the transaction stored before is not in memory any more", oid);
    }
    const serials = { current, given: undone };
    try {
      const merged = await resolveConflict(services, writes.resolver, oid, serials, data, signal, {
        ...own !== undefined && { committedData: own.data ?? null },
      });
      return new Write("store", oid, this.#base(oid, current), merged, null, null, true);
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      throw new UndoError(MODIFIED, oid, { cause: error.cause ?? error });
    }
  }

  /** What a store must be based on. */
  #base(oid: Oid, current: Tid): Tid {
    return current === this.writes.ttid ? this.writes.own(oid)?.serial ?? current : current;
  }

  async #dataOf(oid: Oid, serial: Tid): Promise<Uint8Array | null> {
    try {
      return await this.services.objects.dataOf(oid, serial, this.signal);
    } catch (error) {
      if (!(error instanceof POSKeyError)) throw error;
      throw new UndoError("the revision before is not found", oid, { cause: error });
    }
  }
}
