/**
 * Several tables as one.
 *
 * @module
 */

import type { LogRecord } from "./records.ts";

/** Where records come from, by increasing date. */
export interface RecordSource {
  /** The next ones, none at the end. @throws {Error} if there is no way to go on. */
  next(): LogRecord[];
}

interface Cursor<Source> {
  readonly source: Source;
  page: LogRecord[];
  index: number;
}

/**
 * The records of all sources by increasing date; of those of one moment, first those of the source
 * that comes first.
 *
 * @param failed is told why a source ends early. The others go on.
 */
export function* merge<Source extends RecordSource>(
  sources: readonly Source[],
  failed: (source: Source, error: unknown) => void,
): Generator<LogRecord> {
  const cursors: Cursor<Source>[] = [];
  const fill = (cursor: Cursor<Source>): boolean => {
    cursor.index = 0;
    try {
      cursor.page = cursor.source.next();
    } catch (error) {
      cursor.page = [];
      failed(cursor.source, error);
    }
    return cursor.page.length > 0;
  };
  for (const source of sources) {
    const cursor = { source, page: [], index: 0 };
    if (fill(cursor)) cursors.push(cursor);
  }
  while (cursors.length > 0) {
    let first: Cursor<Source> | undefined;
    let record: LogRecord | undefined;
    for (const cursor of cursors) {
      const candidate = cursor.page[cursor.index];
      if (candidate !== undefined && (record === undefined || candidate.date < record.date)) {
        [first, record] = [cursor, candidate];
      }
    }
    if (first === undefined || record === undefined) return;
    yield record;
    if (++first.index === first.page.length && !fill(first)) {
      cursors.splice(cursors.indexOf(first), 1);
    }
  }
}
