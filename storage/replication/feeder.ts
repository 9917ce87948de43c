/**
 * Gives other storages what their cells lack: the serving side of replication.
 *
 * @module
 */

import type { Environment } from "../../network/environment.ts";
import { type Command, Refusal, type Request } from "../../network/handler.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import { hexId, type Tid, toTid } from "../../protocol/ids.ts";
import type { ArgsOf } from "../../protocol/messages.ts";
import type { Database, PackOrder } from "../database/mod.ts";
import { answerFailure, violation } from "../failure.ts";
import type { ReadLocks } from "../read_locks.ts";
import {
  compare,
  type Comparison,
  grouped,
  type Key,
  keysOf,
  lastKey,
  recordKey,
  recordOf,
} from "./comparison.ts";
import type { Feed } from "./feed.ts";

/** Most items compared at once, whatever is asked for. */
const MAX_LENGTH = 10_000;
/** Items that the database reads at the same time. */
const WINDOW = 16;
/** Bytes that may be read at the same time, guessed from the last object. */
const WINDOW_LENGTH = 1 << 18;
const ZERO_HASH = new Uint8Array(20);
const NO_DATA = new Uint8Array(0);

/** Reads an item; gives what sends it and returns its size. */
type Send = (key: Key) => Promise<() => number>;

/** The source of replications. */
export class Feeder {
  constructor(
    readonly env: Environment,
    readonly database: Database,
    readonly readLocks: ReadLocks,
    /** Resolves when a partition is not being packed. */
    readonly packed: (partition: number) => Promise<void>,
  ) {}

  /** First phase: metadata of transactions. */
  fetchTransactions(
    feed: Feed,
    args: ArgsOf<"AskFetchTransactions">,
    from: Request<"AskFetchTransactions">,
  ): void {
    const { partition, min, max, tids, askPack } = args;
    const length = checkLength(args.length);
    this.#serve(feed, partition, max, from, async () => {
      const own = await this.database.tidsFrom(partition, min, max, length + 1);
      const comparison = compare(own, tids, length, max);
      const { missing, excess, next } = comparison;
      const [first, last] = [missing[0], missing.at(-1)];
      const packs = first === undefined || last === undefined
        ? new Map<Tid, PackOrder>()
        : await this.database.cells.packOrders(partition, toTid(first), toTid(last));
      await this.#push(feed, partition, comparison, (key) => this.#transaction(from, key, packs));
      const completedPack = askPack ? await this.#completedPack(partition) : null;
      this.#checkReadable(partition);
      from.answer({
        next: next === null ? null : toTid(next),
        toDelete: excess.map(toTid),
        completedPack,
      });
    });
  }

  async #transaction(
    { connection, id }: Command,
    key: Key,
    packs: ReadonlyMap<Tid, PackOrder>,
  ): Promise<() => number> {
    const tid = toTid(key);
    const transaction = await this.database.transaction(tid);
    if (transaction === null) {
      const text = `transaction ${hexId(tid)} was dropped or truncated`;
      throw new Refusal(ErrorCode.REPLICATION_ERROR, text);
    }
    return () => {
      const order = packs.get(tid);
      const pack = order === undefined ? null : { ...order, tid: order.packTid };
      connection.push(id, "AddTransaction", { ...transaction, pack });
      return transaction.oids.length * 8;
    };
  }

  /**
   * What was packed can't be told from what remains. So who asks must know of each pack of which it may
   * have missed a part: a pack in progress is waited for.
   */
  async #completedPack(partition: number): Promise<Tid | null> {
    await this.packed(partition);
    const packs = await this.database.completedPacks();
    return packs.find((one) => one.partition === partition)?.pack ?? null;
  }

  /** Second phase: records of objects. */
  fetchObjects(
    feed: Feed,
    args: ArgsOf<"AskFetchObjects">,
    from: Request<"AskFetchObjects">,
  ): void {
    const { partition, min, max, minOid, objects } = args;
    const length = checkLength(args.length);
    this.#serve(feed, partition, max, from, async () => {
      const first = { tid: min, oid: minOid };
      const own = await this.database.cells.records(partition, first, max, length + 1);
      const comparison = compare(own.map(recordKey), keysOf(objects), length, lastKey(max));
      await this.#push(feed, partition, comparison, (key) => this.#object(from, key));
      this.#checkReadable(partition);
      const { excess, next } = comparison;
      const nextRecord = next === null ? null : recordOf(next);
      from.answer({
        nextTid: nextRecord?.tid ?? null,
        nextOid: nextRecord?.oid ?? null,
        toDelete: grouped(excess.map(recordOf)),
      });
    });
  }

  async #object({ connection, id }: Command, key: Key): Promise<() => number> {
    const { tid, oid } = recordOf(key);
    const record = await this.database.object(oid, tid, null);
    // It was packed since it was listed: the peer does not need it either.
    if (!record) return () => 0;
    return () => {
      const { data, dataSerial } = record;
      connection.push(id, "AddObject", {
        oid,
        tid,
        compression: data?.compression ?? 0,
        checksum: data?.checksum ?? ZERO_HASH,
        data: data?.data ?? NO_DATA,
        dataSerial,
      });
      return data?.data.length ?? 0;
    };
  }

  /** Executes a request when nothing that it concerns is being committed. */
  #serve(
    feed: Feed,
    partition: number,
    max: Tid,
    from: Command,
    execute: () => Promise<void>,
  ): void {
    const { readLocks } = this;
    feed.run(async () => {
      try {
        await readLocks.committed(max, feed.connection);
        this.#checkReadable(partition);
        await execute();
      } catch (error) {
        answerFailure(this.env.log, from, error);
      }
    });
  }

  #checkReadable(partition: number): void {
    if (this.database.isReadable(partition)) return;
    throw new Refusal(ErrorCode.REPLICATION_ERROR, `partition ${partition} not readable`);
  }

  /** Sends what the peer lacks. */
  async #push(
    feed: Feed,
    partition: number,
    { missing }: Comparison,
    read: Send,
  ): Promise<void> {
    let window = WINDOW;
    for (let position = 0; position < missing.length;) {
      const end = await feed.turn();
      if (end === null) return;
      this.#checkReadable(partition);
      do {
        const keys = missing.slice(position, position + window);
        const sends = await Promise.all(keys.map(read));
        for (const send of sends) {
          const size = send();
          window = Math.max(1, Math.min(WINDOW, Math.floor(WINDOW_LENGTH / (size + 1))));
        }
        position += keys.length;
      } while (
        position < missing.length && !feed.connection.full && this.env.monotonic() < end
      );
    }
  }
}

function checkLength(length: number): number {
  if (length < 1) throw violation("an empty chunk is of no use");
  return Math.min(length, MAX_LENGTH);
}
