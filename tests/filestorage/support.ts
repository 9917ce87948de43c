/** Data.fs files for tests, and what is read in them. */

import { createHash } from "node:crypto";
import type { DataRecord, TransactionRecord } from "../../client/records.ts";
import { FileStorageReader } from "../../filestorage/mod.ts";
import { hexId, type Oid, type Tid, toOid, toTid } from "../../protocol/ids.ts";

const FIXTURES = new URL("../fixtures/filestorage/", import.meta.url);

/** Names of the files made by ZODB (see make_data_fs.py). */
export type Fixture = "history" | "packed" | "duplicates" | "small" | "blob" | "empty";

/** Bytes of a file made by ZODB. */
export function fixture(name: Fixture): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(new URL(`${name}.fs`, FIXTURES));
}

/** What ZODB reads in it. */
export async function expectedDump(name: Fixture): Promise<DumpedTransaction[]> {
  return JSON.parse(await Deno.readTextFile(new URL(`${name}.json`, FIXTURES)));
}

/** The form in which make_data_fs.py tells a transaction. */
export interface DumpedTransaction {
  readonly tid: string;
  readonly status: string;
  readonly user: string;
  readonly description: string;
  readonly extension: string;
  readonly records: DumpedRecord[];
}

interface DumpedRecord {
  readonly oid: string;
  readonly size: number | null;
  readonly sha1: string | null;
  readonly dataTid: string | null;
}

/** The same of ours. */
export async function dump(
  transactions: AsyncIterable<TransactionRecord>,
): Promise<DumpedTransaction[]> {
  const dumped: DumpedTransaction[] = [];
  for await (const transaction of transactions) {
    dumped.push({
      tid: hexId(transaction.tid),
      status: transaction.status,
      user: transaction.user.toHex(),
      description: transaction.description.toHex(),
      extension: transaction.extension.toHex(),
      records: await Array.fromAsync(transaction.records(), dumpRecord),
    });
  }
  return dumped;
}

function dumpRecord({ oid, data, dataTid }: DataRecord): DumpedRecord {
  return {
    oid: hexId(oid),
    size: data?.length ?? null,
    sha1: data === null ? null : createHash("sha1").update(data).digest("hex"),
    dataTid: dataTid === null ? null : hexId(dataTid),
  };
}

/** What our reader finds in a file. */
export async function dumpFile(path: string): Promise<DumpedTransaction[]> {
  using reader = await FileStorageReader.open(path);
  return await dump(reader.transactions());
}

/** Runs a test with a folder of its own. */
export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "neo-filestorage-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs a test with a file of this content. */
export function withFile(
  content: Uint8Array,
  test: (path: string) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    const path = `${folder}/Data.fs`;
    await Deno.writeFile(path, content);
    await test(path);
  });
}

/** A copy of bytes, with some replaced at an offset. */
export function patched(
  bytes: Uint8Array,
  offset: number,
  replacement: Uint8Array | readonly number[],
): Uint8Array {
  const copy = bytes.slice();
  copy.set(replacement, offset);
  return copy;
}

/** Several byte strings one after the other. */
export function concat(...parts: (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Bytes of a text. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** What a test says of a record: its oid, data, and what it shares it with. */
export type RecordSpec = readonly [oid: number, data: string | null, dataTid?: number];

/** A transaction that exists only in memory. */
export function transaction(
  tid: number,
  records: readonly RecordSpec[],
  info: Partial<TransactionRecord> = {},
): TransactionRecord {
  const list = records.map(([oid, data, dataTid]): DataRecord => ({
    oid: oidOf(oid),
    tid: tidOf(tid),
    data: data === null ? null : bytes(data),
    dataTid: dataTid === undefined ? null : tidOf(dataTid),
  }));
  return {
    tid: tidOf(tid),
    status: " ",
    user: bytes("user"),
    description: bytes(`transaction ${tid}`),
    extension: new Uint8Array(),
    records: () => ReadableStream.from(list),
    ...info,
  };
}

export function tidOf(number: number): Tid {
  return toTid(number);
}

export function oidOf(number: number): Oid {
  return toOid(number);
}
