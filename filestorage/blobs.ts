import { equalBytes } from "./bytes.ts";

const PROTO = 0x80;
const FRAME = 0x95;
const MARK = 0x28;

/** The class as a global: opcode, then a line for each of module and name. */
const GLOBAL = new TextEncoder().encode("cZODB.blob\nBlob\n");
/** The class since protocol 4: module and name are short strings, each put in the memo. */
const STACK_GLOBAL = Uint8Array.of(
  ...[0x8c, 9, ...new TextEncoder().encode("ZODB.blob"), 0x94],
  ...[0x8c, 4, ...new TextEncoder().encode("Blob"), 0x94, 0x93],
);

/**
 * Whether a record is a blob: an object whose content is a file next to the database.
 *
 * A record starts with the pickle of its class, so that nothing has to be unpickled to know.
 */
export function isBlobRecord(data: Uint8Array): boolean {
  let start = 0;
  if (data[start] === PROTO) start += 2;
  if (data[start] === FRAME) start += 9;
  if (data[start] === MARK) start += 1;
  return [GLOBAL, STACK_GLOBAL].some((name) =>
    data[start] === name[0] && equalBytes(data.subarray(start, start + name.length), name)
  );
}
