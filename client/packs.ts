/**
 * Pack orders: what a transaction may ask to be forgotten, and what was.
 *
 * @module
 */

import { type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import type { Services } from "./services.ts";

/** A pack that somebody ordered, by committing a transaction. */
export interface PackOrder {
  /** Tid of that transaction. */
  readonly id: Tid;
  /** `null` if nobody has decided yet. */
  readonly approved: boolean | null;
  /** Revisions that were not current at this tid go. */
  readonly tid: Tid;
  /** The only objects that are concerned; `null` for all. */
  readonly oids: readonly Oid[] | null;
}

/** The same as it travels. */
type Order = AnswerArgsOf<"AskPackOrders">["orders"][number];

/** Pack orders with an id from `minId` on, by increasing id. */
export async function loadPackOrders(
  { primary }: Services,
  minId: Tid,
  signal: AbortSignal | undefined,
): Promise<PackOrder[]> {
  const { orders } = await primary.ask("AskPackOrders", { minId }, signal);
  return orders.map(({ id, approved, partial, oids, tid }: Order) => ({
    id,
    approved,
    tid,
    oids: partial ? oids ?? [] : null,
  }));
}

/**
 * Up to which tid an object was packed or will be, by these orders; without object, everything. It is
 * `ZERO_TID` if it was not.
 */
export function packLimits(orders: readonly PackOrder[]): (oid?: Oid) => Tid {
  const approved = orders.filter(({ approved }) => approved === true).map(({ tid, oids }) => ({
    tid,
    oids: oids === null ? null : new Set(oids),
  }));
  return (oid) => {
    let last = ZERO_TID;
    for (const { tid, oids } of approved) {
      if (tid > last && (oids === null || oid !== undefined && oids.has(oid))) last = tid;
    }
    return last;
  };
}
