/**
 * Walking through transactions and objects: all partitions are asked at once, and what follows is
 * asked while what was found is used.
 *
 * @module
 */

import { ErrorCode } from "../protocol/enums.ts";
import { add64, MAX_OID, type Oid, type Tid, ZERO_OID } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import type { Objects } from "./objects.ts";
import { pipelined } from "./pipeline.ts";
import type { DataRecord, TransactionInfo, TransactionRecord } from "./records.ts";
import type { Services } from "./services.ts";
import { abortable } from "./waiting.ts";

/** Tids asked at once, over all partitions. */
const TIDS = 512;
/** Tids asked at once to a partition, at least. */
const MIN_TIDS = 16;
/** Transactions whose metadata is asked in advance. */
const METADATA_AHEAD = 64;
/** Records asked in advance. */
const RECORDS_AHEAD = 16;
/** Oids asked at once to a partition. */
const OIDS = 1000;

/** Metadata of a transaction, and the objects it changed. */
export interface TransactionInformation extends TransactionInfo {
  /** The objects, in no order. */
  readonly oids: readonly Oid[];
}

/** Walks through the database. */
export class History {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  /** Transactions by increasing tid, from one to another, both included. */
  transactions(
    start: Tid,
    stop: Tid,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<TransactionRecord> {
    return pipelined(this.#tids(start, stop, signal), METADATA_AHEAD, async (tid) => {
      const information = await this.information(tid, signal);
      return new StoredTransaction(information, this.#services.objects, signal);
    });
  }

  /** @throws {NEOStorageNotFoundError} if there is no such transaction. */
  async information(tid: Tid, signal: AbortSignal | undefined): Promise<TransactionInformation> {
    const { reads, view } = this.#services;
    const visible = view.lastTid !== null && tid <= view.lastTid;
    return await abortable(
      reads.read({
        partition: tid,
        name: "AskTransactionInformation",
        args: { tid },
        decode: ({ user, description, extension, packed, oids }): TransactionInformation => ({
          tid,
          status: packed ? "p" : " ",
          user: user.slice(),
          description: description.slice(),
          extension: extension.slice(),
          oids,
        }),
        // A node may learn a little late that a transaction is committed.
        ...(visible && { retryOn: ErrorCode.TID_NOT_FOUND }),
        signal,
      }),
      signal,
    );
  }

  /**
   * Revisions of an object, newest first, from one position to another, with the size of their data as
   * it is stored.
   *
   * @throws {NEOStorageNotFoundError} if there is none at these positions.
   */
  async revisions(
    oid: Oid,
    first: number,
    last: number,
    signal: AbortSignal | undefined,
  ): Promise<AnswerArgsOf<"AskObjectHistory">["history"]> {
    return await abortable(
      this.#services.reads.read({
        partition: oid,
        name: "AskObjectHistory",
        args: { oid, first, last },
        decode: ({ history }) => history,
        signal,
      }),
      signal,
    );
  }

  /** Objects that exist at a tid, by increasing oid, from one to another, both included. */
  async *oids(
    tid: Tid,
    min: Oid,
    max: Oid,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Oid> {
    /** What a partition still has to give: oids already found, and where to continue. */
    let streams: { partition: number; oids: Oid[]; next: Oid | null }[] = [];
    for (let partition = 0; partition < await this.#partitions(signal); partition++) {
      streams.push({ partition, oids: [], next: min });
    }
    while (streams.length > 0) {
      await Promise.all(streams.map(async (stream) => {
        if (stream.oids.length > 0 || stream.next === null) return;
        const { oids, next } = await this.#askOids(stream.partition, stream.next, tid, signal);
        stream.oids = [...oids];
        stream.next = next;
      }));
      // Complete up to the first oid that a partition has not looked at.
      let complete = max;
      for (const { next } of streams) {
        if (next !== null && next <= complete) complete = add64(next, -1);
      }
      const found: Oid[] = [];
      for (const stream of streams) {
        const end = stream.oids.findIndex((oid) => oid > complete);
        found.push(...stream.oids.splice(0, end < 0 ? stream.oids.length : end));
      }
      yield* found.sort((a, b) => (a < b ? -1 : 1));
      streams = complete === max
        ? []
        : streams.filter(({ oids, next }) => oids.length > 0 || next !== null);
    }
  }

  async #askOids(partition: number, min: Oid, tid: Tid, signal: AbortSignal | undefined) {
    return await abortable(
      this.#services.reads.read({
        partition: { number: partition },
        name: "AskOIDsFrom",
        args: { partition, length: OIDS, min, tid },
        decode: (answer) => answer,
        signal,
      }),
      signal,
    );
  }

  async *#tids(start: Tid, stop: Tid, signal: AbortSignal | undefined): AsyncGenerator<Tid> {
    let chunk: Promise<TidChunk> | null = start <= stop
      ? this.#tidChunk(start, stop, signal)
      : null;
    while (chunk !== null) {
      const { tids, next }: TidChunk = await chunk;
      chunk = next === null ? null : this.#tidChunk(next, stop, signal);
      chunk?.catch(() => {});
      yield* tids;
    }
  }

  /** The tids of all partitions up to the point where one of them may have more. */
  async #tidChunk(min: Tid, stop: Tid, signal: AbortSignal | undefined): Promise<TidChunk> {
    const partitions = await this.#partitions(signal);
    const length = Math.max(MIN_TIDS, Math.ceil(TIDS / partitions));
    const answers = await abortable(
      Promise.all(Array.from({ length: partitions }, (_, partition) =>
        this.#services.reads.read({
          partition: { number: partition },
          name: "AskTIDsFrom",
          args: { min, max: stop, length, partition },
          decode: ({ tids }) => tids,
          signal,
        }))),
      signal,
    );
    let complete = stop;
    for (const tids of answers) {
      const last = tids.at(-1);
      if (last !== undefined && tids.length >= length && last < complete) complete = last;
    }
    const tids = answers.flatMap((tids) => tids.filter((tid) => tid <= complete));
    tids.sort((a, b) => (a < b ? -1 : 1));
    return { tids, next: complete < stop ? add64(complete, 1) : null };
  }

  async #partitions(signal: AbortSignal | undefined): Promise<number> {
    return (await this.#services.primary.ready(signal)).table.partitions;
  }
}

/** Some tids, and where to continue. */
interface TidChunk {
  readonly tids: Tid[];
  readonly next: Tid | null;
}

class StoredTransaction implements TransactionRecord {
  readonly tid: Tid;
  readonly status: " " | "p";
  readonly user: Uint8Array;
  readonly description: Uint8Array;
  readonly extension: Uint8Array;
  readonly #oids: readonly Oid[];
  readonly #objects: Objects;
  readonly #signal: AbortSignal | undefined;

  constructor(
    { tid, status, user, description, extension, oids }: TransactionInformation,
    objects: Objects,
    signal: AbortSignal | undefined,
  ) {
    this.tid = tid;
    this.status = status;
    this.user = user;
    this.description = description;
    this.extension = extension;
    this.#oids = oids;
    this.#objects = objects;
    this.#signal = signal;
  }

  /** Those that are not there, because they were packed or only checked, are skipped. */
  async *records(): AsyncGenerator<DataRecord> {
    const records = pipelined(
      this.#oids,
      RECORDS_AHEAD,
      (oid) => this.#objects.record(oid, this.tid, this.#signal),
    );
    for await (const record of records) if (record !== null) yield record;
  }
}

/** Bounds of {@linkcode History.oids}. */
export const ALL_OIDS = { min: ZERO_OID, max: MAX_OID } as const;
