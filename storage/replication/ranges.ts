/**
 * Digests of the contents of cells, by which storages compare them.
 *
 * A digest is the SHA-1 of the decimal numbers joined by commas. Long ranges are read in small parts,
 * so that clients are served in between.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Environment } from "../../network/environment.ts";
import { type Command, Refusal, type Request } from "../../network/handler.ts";
import { CellState, ErrorCode } from "../../protocol/enums.ts";
import {
  addTid,
  MAX_OID,
  type Oid,
  type Tid,
  toOid,
  ZERO_OID,
  ZERO_TID,
} from "../../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf } from "../../protocol/messages.ts";
import type { Database } from "../database/mod.ts";
import { answerFailure } from "../failure.ts";
import type { ReadLocks } from "../read_locks.ts";
import type { Feed } from "./feed.ts";

/** Rows of one range, whatever is asked for. */
const MAX_LENGTH = 1_000_000;
/** Rows read at once. */
const PART = 500;

/** Waits between the parts of a range; `null` if nobody waits for the result any more. */
type Turn = () => Promise<number | null>;

/** A digest in the making. */
class Digest {
  readonly #hash = createHash("sha1");
  #empty = true;

  add(value: bigint): void {
    this.#hash.update(this.#empty ? String(value) : `,${value}`);
    this.#empty = false;
  }

  /** Zero if nothing was added. */
  result(): Uint8Array {
    return this.#empty ? new Uint8Array(20) : new Uint8Array(this.#hash.digest());
  }
}

/** Computes digests, for this node and for others. */
export class Ranges {
  constructor(
    readonly env: Environment,
    readonly database: Database,
    readonly readLocks: ReadLocks,
    /** The state of a cell of this node. */
    readonly cellState: (partition: number) => CellState | null,
  ) {}

  /** Answers another storage. */
  checkTids(
    feed: Feed,
    args: ArgsOf<"AskCheckTIDRange">,
    from: Request<"AskCheckTIDRange">,
  ): void {
    this.#serve(feed, args.partition, args.max, from, async () => {
      const answer = await this.tids(args, () => feed.turn());
      if (answer !== null) from.answer(answer);
    });
  }

  /** Answers another storage. */
  checkSerials(
    feed: Feed,
    args: ArgsOf<"AskCheckSerialRange">,
    from: Request<"AskCheckSerialRange">,
  ): void {
    this.#serve(feed, args.partition, args.max, from, async () => {
      const answer = await this.serials(args, () => feed.turn());
      if (answer !== null) from.answer(answer);
    });
  }

  #serve(
    feed: Feed,
    partition: number,
    max: Tid,
    from: Command,
    execute: () => Promise<void>,
  ): void {
    feed.run(async () => {
      try {
        await this.readLocks.committed(max, feed.connection);
        if (!this.checkable(partition)) {
          throw new Refusal(ErrorCode.CHECKING_ERROR, `partition ${partition} not readable`);
        }
        await execute();
      } catch (error) {
        answerFailure(this.env.log, from, error);
      }
    });
  }

  /** Whether the cell of a partition is supposed to have everything. */
  checkable(partition: number): boolean {
    const state = this.cellState(partition);
    return state !== null && state !== CellState.OUT_OF_DATE;
  }

  /** The digest of tids of transactions. `null` if nobody waits for it. */
  async tids(
    { partition, length, min, max }: ArgsOf<"AskCheckTIDRange">,
    turn: Turn,
  ): Promise<AnswerArgsOf<"AskCheckTIDRange"> | null> {
    const wanted = Math.min(length, MAX_LENGTH);
    const digest = new Digest();
    let [count, maxTid] = [0, ZERO_TID];
    for (let next = min; count < wanted && next <= max; next = addTid(maxTid, 1)) {
      if (await turn() === null) return null;
      const part = Math.min(PART, wanted - count);
      const tids = await this.database.tidsFrom(partition, next, max, part);
      for (const tid of tids) digest.add(tid);
      count += tids.length;
      maxTid = tids.at(-1) ?? maxTid;
      if (tids.length < part) break;
    }
    return { count, tidDigest: digest.result(), maxTid };
  }

  /** The digests of the tids and oids of records. `null` if nobody waits for it. */
  async serials(
    { partition, length, min, max, minOid }: ArgsOf<"AskCheckSerialRange">,
    turn: Turn,
  ): Promise<AnswerArgsOf<"AskCheckSerialRange"> | null> {
    const wanted = Math.min(length, MAX_LENGTH);
    const [tids, oids] = [new Digest(), new Digest()];
    let count = 0;
    let last = { tid: ZERO_TID, oid: ZERO_OID };
    let next = { tid: min, oid: minOid };
    while (count < wanted) {
      if (await turn() === null) return null;
      const part = Math.min(PART, wanted - count);
      const records = await this.database.cells.records(partition, next, max, part);
      for (const { tid, oid } of records) {
        tids.add(tid);
        oids.add(oid);
      }
      count += records.length;
      last = records.at(-1) ?? last;
      if (records.length < part) break;
      next = following(last);
    }
    return {
      count,
      tidDigest: tids.result(),
      maxTid: last.tid,
      oidDigest: oids.result(),
      maxOid: last.oid,
    };
  }
}

/** The first position after a record. */
export function following({ tid, oid }: { tid: Tid; oid: Oid }): { tid: Tid; oid: Oid } {
  return oid < MAX_OID ? { tid, oid: toOid(oid + 1n) } : { tid: addTid(tid, 1), oid: ZERO_OID };
}
