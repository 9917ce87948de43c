/**
 * What clients may ask to finish.
 *
 * @module
 */

import { Refusal } from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { hexId, MAX_OID } from "../protocol/ids.ts";
import type { ArgsOf } from "../protocol/messages.ts";

/** Objects of one transaction, at most: storages refuse more. */
const MAX_OIDS = 2 ** 21 - 1;

/** What the client does is against the protocol: it loses its connection. */
export function violation(text: string): Refusal {
  return new Refusal(ErrorCode.PROTOCOL_ERROR, text);
}

/**
 * Checks the arguments of a request to finish.
 *
 * @param partitions how many there are.
 * @throws {Refusal} if they can't be right.
 */
export function checkFinish(
  { oids, deleted, checked }: ArgsOf<"AskFinishTransaction">,
  partitions: number,
): void {
  for (const partition of [...deleted, ...checked]) {
    if (partition >= partitions) throw violation(`there is no partition ${partition}`);
  }
  if (oids.length > MAX_OIDS) throw violation(`more than ${MAX_OIDS} objects`);
  for (const oid of oids) if (oid > MAX_OID) throw violation(`invalid oid ${hexId(oid)}`);
}
