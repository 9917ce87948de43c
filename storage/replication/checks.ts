/**
 * Checks of what a source sends, which would be wrong for ever once it is stored or believed.
 *
 * @module
 */

import { hexId, MAX_TID, type Tid } from "../../protocol/ids.ts";
import type { ArgsOf } from "../../protocol/messages.ts";
import { isIntact, isNoData } from "../checksum.ts";
import type { ObjectData } from "../database/mod.ts";
import { SourceError } from "./chunk.ts";

/**
 * The data of a record, `null` if it has none.
 *
 * @throws {SourceError} if it is not what clients may store.
 */
export function contentOf(args: ArgsOf<"AddObject">): ObjectData | null {
  if (isNoData(args)) return null;
  const { oid, tid, compression, checksum, data } = args;
  if (compression !== 0 && compression !== 1) {
    throw new SourceError(`it sends an unknown compression, ${compression}`, true);
  }
  if (!isIntact(args)) {
    const text = `its data of oid ${hexId(oid)} at ${hexId(tid)} is corrupted: ` +
      `its SHA-1 is not ${checksum.toHex()}`;
    throw new SourceError(text, true);
  }
  return { compression, checksum, data };
}

/** @throws {SourceError} if no transaction can carry such an order: it would seem to be the last one. */
export function checkPack(pack: Tid | null): void {
  if (pack === null || pack <= MAX_TID) return;
  throw new SourceError(`it claims to have executed pack ${hexId(pack)}`, true);
}
