/**
 * Loading revisions of objects, through the cache.
 *
 * @module
 */

import { type Log } from "../network/log.ts";
import { add64, hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import type { Revision } from "./cache.ts";
import { decodeData, isIntact, isNoData } from "./compression.ts";
import {
  NEOStorageCreationUndoneError,
  NEOStorageDoesNotExistError,
  NEOStorageNotFoundError,
  NEOStorageWrongChecksum,
  POSKeyError,
} from "./errors.ts";
import { Load } from "./loads.ts";
import { BadAnswer, type Reads } from "./reads.ts";
import type { DataRecord } from "./records.ts";
import type { View } from "./view.ts";
import { abortable } from "./waiting.ts";

type ObjectAnswer = AnswerArgsOf<"AskObject">;

const NOTHING = new Uint8Array(0);

/** Loads revisions. */
export class Objects {
  readonly #view: View;
  readonly #reads: Reads;
  readonly #ignoreWrongChecksum: boolean;
  readonly #log: Log;

  constructor(view: View, reads: Reads, ignoreWrongChecksum: boolean, log: Log) {
    this.#view = view;
    this.#reads = reads;
    this.#ignoreWrongChecksum = ignoreWrongChecksum;
    this.#log = log;
  }

  /** The revision that is current for the view. */
  load(oid: Oid, signal: AbortSignal | undefined): Promise<Revision> {
    const cached = this.#view.cache.load(oid, null);
    if (cached !== null) return Promise.resolve(cached);
    return this.#load(oid, null, this.#horizon, signal).catch((error) => noSuchObject(oid, error));
  }

  /** The last revision below a tid, `null` if all are later. */
  loadBefore(oid: Oid, tid: Tid, signal: AbortSignal | undefined): Promise<Revision | null> {
    // What is beyond the view may still change.
    const horizon = this.#horizon;
    const before = tid < horizon ? tid : horizon;
    const cached = this.#view.cache.load(oid, before);
    if (cached !== null) return Promise.resolve(cached);
    return this.#load(oid, null, before, signal).catch((error) => {
      const other = !(error instanceof NEOStorageNotFoundError) ||
        error instanceof NEOStorageDoesNotExistError;
      return other ? noSuchObject(oid, error) : null;
    });
  }

  /** The revision with exactly this serial. */
  loadSerial(oid: Oid, serial: Tid, signal: AbortSignal | undefined): Promise<Revision> {
    const cached = this.#view.cache.loadSerial(oid, serial);
    if (cached !== null) return Promise.resolve(cached);
    return this.#load(oid, serial, null, signal).catch((error) =>
      noSuchObject(oid, error, `at ${hexId(serial)}`)
    );
  }

  /**
   * The data of the revision with exactly this serial, `null` if it is a deletion.
   *
   * @throws {POSKeyError} if there is no such revision.
   */
  async dataOf(oid: Oid, serial: Tid, signal: AbortSignal | undefined): Promise<Uint8Array | null> {
    try {
      return (await this.loadSerial(oid, serial, signal)).data;
    } catch (error) {
      const deleted = error instanceof POSKeyError &&
        error.cause instanceof NEOStorageCreationUndoneError;
      if (deleted) return null;
      throw error;
    }
  }

  /** What a transaction stored, not cached; `null` if there is nothing (any more). */
  async record(oid: Oid, tid: Tid, signal: AbortSignal | undefined): Promise<DataRecord | null> {
    try {
      return await abortable(
        this.#read(oid, tid, null, (answer) => {
          const data = isNoData(answer) ? null : this.#decode(answer);
          return { oid, tid, data, dataTid: answer.dataSerial };
        }, () => signal),
        signal,
      );
    } catch (error) {
      if (error instanceof NEOStorageNotFoundError) return null;
      throw error;
    }
  }

  /** Just after the last transaction of the view. */
  get #horizon(): Tid {
    return add64(this.#view.lastTid ?? ZERO_TID, 1);
  }

  #load(
    oid: Oid,
    at: Tid | null,
    before: Tid | null,
    signal: AbortSignal | undefined,
  ): Promise<Revision> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    let load = this.#view.findLoad(oid, at, before);
    if (load === undefined) {
      load = new Load(oid, at, before);
      this.#start(load);
    }
    return signal === undefined ? load.waitForEver() : load.wait(signal);
  }

  #start(load: Load): void {
    const { oid, at, before } = load;
    this.#view.startLoad(load);
    load.promise = this.#read(oid, at, before, (answer) => {
      if (isNoData(answer)) throw new NEOStorageCreationUndoneError(oid, answer.serial);
      return this.#view.endLoad(load, {
        data: this.#decode(answer),
        serial: answer.serial,
        next: answer.nextSerial,
      });
    }, () => load.signal);
    load.promise.catch(() => this.#view.failLoad(load));
  }

  #read<T>(
    oid: Oid,
    at: Tid | null,
    before: Tid | null,
    decode: (answer: ObjectAnswer) => T,
    signal: () => AbortSignal | undefined,
  ): Promise<T> {
    let damaged: ObjectAnswer | null = null;
    const reading = this.#reads.read({
      partition: oid,
      name: "AskObject",
      args: { oid, at, before },
      decode: (answer) => {
        if (!isNoData(answer) && !isIntact(answer)) {
          damaged ??= answer;
          const error = new NEOStorageWrongChecksum(oid, answer.serial);
          this.#log.error(error.message);
          throw new BadAnswer(error);
        }
        return decode(answer);
      },
      get signal() {
        return signal();
      },
    });
    if (!this.#ignoreWrongChecksum) return reading;
    return reading.catch((error) => {
      if (damaged === null || !(error instanceof NEOStorageWrongChecksum)) throw error;
      return decode(damaged);
    });
  }

  #decode({ oid, serial, compression, data }: ObjectAnswer): Uint8Array {
    try {
      return decodeData({ compression: compression ?? 0, data });
    } catch (error) {
      // The checksum was right, or it does not matter.
      if (this.#ignoreWrongChecksum) return NOTHING;
      throw new NEOStorageWrongChecksum(oid, serial, { cause: error });
    }
  }
}

function noSuchObject(oid: Oid, error: unknown, detail?: string): never {
  if (!(error instanceof NEOStorageNotFoundError)) throw error;
  throw new POSKeyError(oid, detail, { cause: error });
}
