/**
 * The extreme ids of the database, and the allocation of oids.
 *
 * @module
 */

import { Refusal } from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";
import {
  hexId,
  MAX_OID,
  MAX_TID,
  type Oid,
  type Tid,
  toOid,
  ZERO_OID,
  ZERO_TID,
} from "../protocol/ids.ts";

/** Oids that one request may reserve. */
export const MAX_NEW_OIDS = 1 << 16;

/** Ids that verification learns from the storages, and that commits move. */
export class LastIds {
  #lastTransaction: Tid = ZERO_TID;
  #lastOid: Oid = ZERO_OID;
  #firstTid: Tid = MAX_TID;

  /** The last committed transaction. */
  get lastTransaction(): Tid {
    return this.#lastTransaction;
  }

  /** The greatest oid allocated or stored. */
  get lastOid(): Oid {
    return this.#lastOid;
  }

  /** The first transaction, `MAX_TID` if there is none. */
  get firstTid(): Tid {
    return this.#firstTid;
  }

  /** What will be learnt again. The last transaction remains: tids never go back. */
  forget(): void {
    this.#lastOid = ZERO_OID;
    this.#firstTid = MAX_TID;
  }

  /** Ids after a verification. */
  learn(lastTid: Tid, lastOid: Oid, firstTid: Tid): void {
    this.#lastTransaction = lastTid;
    this.#lastOid = lastOid;
    this.#firstTid = firstTid;
  }

  /** Oids about to be stored are not allocated to others, whoever chose them. */
  stored(oids: Iterable<Oid>): void {
    for (const oid of oids) if (oid > this.#lastOid) this.#lastOid = oid;
  }

  /** A transaction is committed. Tids strictly increase. */
  committed(tid: Tid): void {
    if (tid <= this.#lastTransaction) throw new Error(`tid ${hexId(tid)} is not increasing`);
    this.#lastTransaction = tid;
    if (tid < this.#firstTid) this.#firstTid = tid;
  }

  /**
   * `AskNewOIDs`: ids that were never used.
   *
   * @throws {Refusal} if there can't be so many.
   */
  newOids(count: number): Oid[] {
    if (count < 1 || count > MAX_NEW_OIDS) {
      throw violation(`can't allocate ${count} oids at once: expected 1 to ${MAX_NEW_OIDS}`);
    }
    if (this.#lastOid + BigInt(count) > MAX_OID) throw violation("there is no oid left");
    const first = this.#lastOid + 1n;
    this.#lastOid = toOid(this.#lastOid + BigInt(count));
    return Array.from({ length: count }, (_, index) => toOid(first + BigInt(index)));
  }
}

function violation(text: string): Refusal {
  return new Refusal(ErrorCode.PROTOCOL_ERROR, text);
}
