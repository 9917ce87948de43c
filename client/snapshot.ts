/**
 * The database at one point of its history.
 *
 * @module
 */

import { add64, hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { checkOid } from "./arguments.ts";
import type { Revision } from "./cache.ts";
import { POSKeyError } from "./errors.ts";
import { ALL_OIDS, type History } from "./iterator.ts";
import type { Objects } from "./objects.ts";
import { pipelined } from "./pipeline.ts";
import type { WaitOptions } from "./waiting.ts";

/** Objects that are loaded at the same time, where many are. */
const LOADS = 64;

/** An object as it was. */
export interface CurrentRecord extends Revision {
  /** Which object. */
  readonly oid: Oid;
}

/** What objects to list. */
export interface OidRange extends WaitOptions {
  /** The first one. Default: 0. */
  readonly min?: Oid;
  /** The last one. Default: the greatest possible. */
  readonly max?: Oid;
}

/**
 * Reads one consistent state, that after the transaction {@linkcode tid}, whatever is committed
 * meanwhile. A pack of a later state may make revisions disappear, though.
 *
 * It is nothing to be closed: it may be kept or forgotten.
 *
 * @example
 * ```ts ignore
 * const snapshot = client.snapshot();
 * const [a, b] = await Promise.all([snapshot.load(from), snapshot.load(to)]);
 * ```
 */
export class Snapshot {
  readonly #objects: Objects;
  readonly #history: History;

  /** For `Client.at` only. */
  constructor(
    objects: Objects,
    history: History,
    /** The last transaction that is visible. */
    readonly tid: Tid,
  ) {
    this.#objects = objects;
    this.#history = history;
  }

  /**
   * An object as it was. Its data must not be modified: it is shared.
   *
   * @throws {POSKeyError} if it did not exist, was deleted, or has been packed since.
   * @throws {NEOStorageError} if all replicas fail.
   */
  async load(oid: Oid, { signal }: WaitOptions = {}): Promise<Revision> {
    checkOid(oid);
    const revision = await this.#objects.loadBefore(oid, add64(this.tid, 1), signal);
    if (revision !== null) return revision;
    throw new POSKeyError(oid, `at ${hexId(this.tid)}: it was created later, or packed`);
  }

  /**
   * Loads many objects at once into the cache, so that {@linkcode load} finds them there. Those that
   * do not exist are left out.
   */
  async prefetch(
    oids: Iterable<Oid> | AsyncIterable<Oid>,
    { signal }: WaitOptions = {},
  ): Promise<void> {
    const loads = pipelined(oids, LOADS, (oid) => this.#tryLoad(oid, signal));
    for await (const _ of loads);
  }

  /** The objects that existed, by increasing oid, both bounds included. */
  oids({ min = ALL_OIDS.min, max = ALL_OIDS.max, signal }: OidRange = {}): AsyncGenerator<Oid> {
    checkOid(min);
    checkOid(max);
    return this.#history.oids(this.tid, min, max, signal);
  }

  /** The objects that existed, with their data, by increasing oid. */
  async *records(range: OidRange = {}): AsyncGenerator<CurrentRecord> {
    const loads = pipelined(this.oids(range), LOADS, async (oid) => {
      const revision = await this.#tryLoad(oid, range.signal);
      return revision === null ? null : { oid, ...revision };
    });
    for await (const record of loads) if (record !== null) yield record;
  }

  async #tryLoad(oid: Oid, signal: AbortSignal | undefined): Promise<Revision | null> {
    try {
      return await this.load(oid, { signal });
    } catch (error) {
      if (error instanceof POSKeyError) return null;
      throw error;
    }
  }
}
