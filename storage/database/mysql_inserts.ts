/**
 * Insertions of several rows.
 *
 * @module
 */

import type { Row, Value, Write } from "./sql.ts";

/** Left for the statement around the values, and for rounding. */
const MARGIN = 64 * 1024;
/** More than any number or date once written. */
const NUMBER_SIZE = 24;
const VALUES = / VALUES (\([^()]*\))$/;

/** A statement with all its parameters. */
export interface Statement {
  readonly sql: string;
  readonly parameters: readonly Value[];
}

/**
 * The statements of a write: one for each row of parameters, except that rows to insert are put
 * together as long as a packet can contain them.
 */
export function* splitInserts({ sql, rows }: Write, maxPacket: number): Iterable<Statement> {
  const tuple = VALUES.exec(sql)?.[1];
  if (tuple === undefined || rows.length < 2) {
    for (const parameters of rows) yield { sql, parameters };
    return;
  }
  let values: Value[] = [];
  let count = 0;
  let size = 0;
  const statement = () => ({ sql: sql + `, ${tuple}`.repeat(count - 1), parameters: values });
  for (const row of rows) {
    const rowSize = sizeOf(row);
    if (count > 0 && size + rowSize > maxPacket - MARGIN) {
      yield statement();
      values = [];
      count = size = 0;
    }
    values.push(...row);
    count++;
    size += rowSize;
  }
  yield statement();
}

/** Bytes of a row in a statement, where any byte of a blob may need an escape. */
function sizeOf(row: Row): number {
  let size = NUMBER_SIZE;
  for (const value of row) {
    size += NUMBER_SIZE;
    if (value instanceof Uint8Array) size += value.byteLength * 2;
    else if (typeof value === "string") size += value.length * 6;
  }
  return size;
}
