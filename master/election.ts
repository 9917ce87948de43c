/**
 * The rules by which masters agree on a primary one. They decide only: who connects to whom, and what
 * is sent, is left to others.
 *
 * Each master that knows no primary runs for it, and challenges all the others. Of two candidates, the
 * one that started to run first wins. A primary that has ended recovery does not run any more: nobody
 * has precedence over it, whatever it started with.
 *
 * @module
 */

import { ProtocolError } from "../protocol/errors.ts";
import type { Tid } from "../protocol/ids.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import { type Address, sameAddress } from "../protocol/nodes.ts";

/** What a master runs for primary with. */
export interface Candidacy {
  /** Since when it runs, in seconds since the Unix epoch. */
  readonly since: number;
  /** Where it listens: decides between those that started at the same time. */
  readonly address: Address;
}

/** Whom a secondary follows. */
export interface Following {
  readonly primary: Address;
  /** Whether that master has accepted it. */
  readonly accepted: boolean;
}

/**
 * What a master that introduces itself runs for primary with, `null` if it does not.
 *
 * @throws {ProtocolError} if it does not say where it listens, or since when it runs.
 */
export function candidacyOf(
  { address, idTimestamp }: Pick<ArgsOf<"RequestIdentification">, "address" | "idTimestamp">,
): Candidacy | null {
  if (address === null) throw new ProtocolError("a master must tell its address");
  if (idTimestamp === null) return null;
  if (!Number.isFinite(idTimestamp)) throw new ProtocolError(`${idTimestamp} is no time`);
  return { since: idTimestamp, address };
}

/** Whether a candidate wins over another one. A strict total order of candidates. */
export function precedes(a: Candidacy, b: Candidacy): boolean {
  if (a.since !== b.since) return a.since < b.since;
  if (a.address.host !== b.address.host) return a.address.host < b.address.host;
  return a.address.port < b.address.port;
}

/**
 * Whether a primary gives up for a master that introduces itself; else that one becomes a secondary.
 *
 * @param own `null` if the primary does not run any more.
 * @param other `null` if the other one only looks for a primary.
 */
export function concedes(own: Candidacy | null, other: Candidacy | null): boolean {
  return own !== null && other !== null && precedes(other, own);
}

/**
 * Whether a primary gives up for the one that a secondary names. One that is a secondary of this
 * primary has given up itself, which the one that names it has not heard of yet.
 */
export function concedesTo(
  named: Address | null,
  own: Address,
  isSecondary: (master: Address) => boolean,
): named is Address {
  return named !== null && !sameAddress(named, own) && !isSecondary(named);
}

/** Whether a secondary follows a master that introduces itself, instead of the one it waits for. */
export function defects({ primary, accepted }: Following, asker: Candidacy | null): boolean {
  return !accepted && asker !== null && !sameAddress(asker.address, primary);
}

/** What is known of a primary that serves. */
export interface Reign {
  /** The version of its partition table. */
  readonly ptid: number;
  readonly lastTid: Tid;
  readonly address: Address;
}

/**
 * Whether a primary that serves gives way to another one that does: that should never be, and each has
 * what the other lacks. The one whose table changed less does, because storages that come back to a
 * newer table than they know are understood by any master. A strict total order, like {@linkcode precedes}.
 */
export function yields(own: Reign, other: Reign): boolean {
  if (own.ptid !== other.ptid) return own.ptid < other.ptid;
  if (own.lastTid !== other.lastTid) return own.lastTid < other.lastTid;
  return precedes({ since: 0, address: other.address }, { since: 0, address: own.address });
}

/**
 * What a secondary answers to anybody: the known masters, and which one is the primary, unless the
 * secondary is not sure or the asker is that primary.
 */
export function directions(
  { primary, accepted }: Following,
  masters: readonly Address[],
  asker: Address | null,
): ArgsOf<"NotPrimaryMaster"> {
  const index = masters.findIndex((master) => sameAddress(master, primary));
  const told = accepted && index >= 0 && !sameAddress(asker, primary);
  return { primary: told ? index : null, masters };
}
