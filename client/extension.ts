/**
 * The extension of a transaction: a dictionary of what applications want to remember with it. ZODB
 * stores it as a pickle, which programs in Python read in the undo log.
 *
 * @module
 */

import { pickle, PickleError, type PlainValue, unpickle } from "./pickle.ts";

/** What applications add to the metadata of a transaction. */
export type Extension = { readonly [key: string]: PlainValue };

const NOTHING = new Uint8Array(0);

/**
 * The bytes that are stored; those that are given stay as they are.
 *
 * @throws {TypeError} if a value can't be stored.
 */
export function encodeExtension(extension: Extension | Uint8Array): Uint8Array {
  if (extension instanceof Uint8Array) return extension;
  return Object.keys(extension).length === 0 ? NOTHING : pickle(extension);
}

/**
 * The dictionary that was stored as an extension.
 *
 * @throws {PickleError} if it is something else, or has other things in it than plain values.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeExtension, encodeExtension } from "./mod.ts";
 *
 * const bytes = encodeExtension({ reason: "import", lines: 3 });
 * assert.deepEqual(decodeExtension(bytes), { reason: "import", lines: 3 });
 * ```
 */
export function decodeExtension(bytes: Uint8Array): Extension {
  if (bytes.length === 0) return {};
  const value = unpickle(bytes);
  const isDictionary = typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Uint8Array);
  if (!isDictionary) throw new PickleError("the extension is not a dictionary");
  return value as Extension;
}
