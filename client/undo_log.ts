/**
 * The transactions that can be undone, newest first.
 *
 * @module
 */

import { isDeepStrictEqual } from "node:util";
import { type Tid, tidToTime, ZERO_TID } from "../protocol/ids.ts";
import { decodeExtension, type Extension } from "./extension.ts";
import type { History } from "./iterator.ts";
import { loadPackOrders, packLimits } from "./packs.ts";
import { PickleError } from "./pickle.ts";
import { pipelined } from "./pipeline.ts";
import type { TransactionInfo } from "./records.ts";
import type { Services } from "./services.ts";
import { abortable, type WaitOptions } from "./waiting.ts";

/** A transaction that can be undone. Its tid is what `Transaction.undo` takes. */
export interface UndoLogEntry extends TransactionInfo {
  /** Seconds since the Unix epoch. */
  readonly time: number;
  /** What the extension says; empty if it is not of plain values. */
  readonly items: Extension;
}

/** What part of the undo log is wanted. */
export interface UndoLogOptions extends WaitOptions {
  /** How many accepted transactions to skip. Default: 0. */
  readonly first?: number;
  /** Where to end, as in `slice`; if it is negative, how many to list at most. Default: -20. */
  readonly last?: number;
  /** Accepts transactions; others do not count. Default: all are. */
  readonly filter?: (entry: UndoLogEntry) => boolean;
}

/** What `Client.undoInfo` looks for. Texts are compared as UTF-8. */
export interface UndoSpecification {
  /** Who changed something. */
  readonly user?: string;
  /** What was changed. */
  readonly description?: string;
  /** Items of the extension, all of which must be there. */
  readonly items?: Extension;
}

/** Tids asked at once to a partition, at least. */
const MIN_TIDS = 16;
/** Tids asked at once to a partition, at most. */
const MAX_TIDS = 1 << 12;
/** Transactions whose metadata is asked in advance. */
const METADATA_AHEAD = 32;

/** The filter that accepts what a specification says. */
export function matching(specification: UndoSpecification): (entry: UndoLogEntry) => boolean {
  const decoder = new TextDecoder();
  const { user, description, items = {} } = specification;
  return (entry) =>
    (user === undefined || decoder.decode(entry.user) === user) &&
    (description === undefined || decoder.decode(entry.description) === description) &&
    Object.entries(items).every(([key, value]) =>
      Object.hasOwn(entry.items, key) && isDeepStrictEqual(entry.items[key], value)
    );
}

/**
 * Lists transactions that can be undone, newest first. What was packed, and packs themselves, are not
 * among them.
 *
 * @throws {RangeError} if `first` or `last` is not a whole number, or `first` is negative.
 */
export async function undoLog(
  services: Services,
  history: History,
  { first = 0, last = -20, filter = () => true, signal }: UndoLogOptions,
): Promise<UndoLogEntry[]> {
  if (!Number.isSafeInteger(first) || first < 0 || !Number.isSafeInteger(last)) {
    throw new RangeError(
      `first must be a whole number from 0, and last a whole number, not ${first} and ${last}`,
    );
  }
  const end = last < 0 ? first - last : last;
  if (end <= first) return [];
  const orders = await loadPackOrders(services, ZERO_TID, signal);
  const packed = packLimits(orders)();
  const packs = new Set(orders.map(({ id }) => id));
  const tids = newestFirst(services, packed, end, signal);
  const entries = pipelined(tids, METADATA_AHEAD, async (tid) => {
    const { oids, ...information } = await history.information(tid, signal);
    const isPack = oids.length === 0 && packs.has(tid);
    return isPack ? null : { ...information, time: tidToTime(tid), items: itemsOf(information) };
  });
  const found: UndoLogEntry[] = [];
  let accepted = 0;
  for await (const entry of entries) {
    if (entry === null || !filter(entry)) continue;
    if (accepted++ >= first) found.push(entry);
    if (accepted === end) break;
  }
  return found;
}

function itemsOf({ extension }: TransactionInfo): Extension {
  try {
    return decodeExtension(extension);
  } catch (error) {
    if (error instanceof PickleError) return {};
    throw error;
  }
}

/** Transactions of one partition, newest first, as far as they are known. */
class Stream {
  /** Found and not given yet. */
  tids: Tid[] = [];
  /** Where to continue. What is committed meanwhile shifts it: a tid may be found again. */
  #offset = 0;
  #last: Tid | null = null;
  ended = false;

  constructor(readonly services: Services, readonly partition: number) {}

  async fill(after: Tid, newest: Tid, length: number, signal: AbortSignal | undefined) {
    while (this.tids.length === 0 && !this.ended) {
      const found = await abortable(
        this.services.reads.read({
          partition: { number: this.partition },
          name: "AskTIDs",
          args: { first: this.#offset, last: this.#offset + length, partition: this.partition },
          decode: ({ tids }) => tids,
          signal,
        }),
        signal,
      );
      this.#offset += found.length;
      for (const tid of found) {
        if (tid > newest || this.#last !== null && tid >= this.#last) continue;
        this.#last = tid;
        if (tid > after) this.tids.push(tid);
      }
      const last = found.at(-1);
      this.ended = last === undefined || last <= after || found.length < length;
    }
  }
}

/** The tids of all partitions after one, newest first, none of which is later than the view. */
async function* newestFirst(
  services: Services,
  after: Tid,
  wanted: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Tid> {
  const { table } = await services.primary.ready(signal);
  const newest = services.view.lastTid ?? ZERO_TID;
  const length = Math.min(MIN_TIDS + Math.ceil(wanted / table.partitions), MAX_TIDS);
  let streams = Array.from({ length: table.partitions }, (_, i) => new Stream(services, i));
  for (;;) {
    await Promise.all(streams.map((stream) => stream.fill(after, newest, length, signal)));
    streams = streams.filter(({ tids }) => tids.length > 0);
    const [first] = streams;
    if (first === undefined) return;
    let newestStream = first;
    for (const stream of streams) if (head(stream) > head(newestStream)) newestStream = stream;
    const tid = newestStream.tids.shift();
    if (tid !== undefined) yield tid;
  }
}

function head({ tids }: Stream): Tid {
  return tids[0] ?? ZERO_TID;
}
