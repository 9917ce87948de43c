/**
 * Layout of a Data.fs: constants, and the encoding of headers.
 *
 * A file is a 4-byte magic, then transactions one after the other. A transaction at *tpos* is a
 * header, user, description, extension, the data records, and at *tpos + length* the length again,
 * so that the file can also be walked backwards. Numbers are big-endian; positions are byte offsets
 * from the start of the file, exact as JavaScript numbers up to 2^53.
 *
 * @module
 */

import type { Oid, Tid } from "../protocol/ids.ts";

/** First bytes of a file: `FS21` announces pickles of Python 2. The layout is the same. */
export type Magic = "FS21" | "FS30";
/** The two magics, and so the valid values of an option. */
export const MAGICS: readonly Magic[] = ["FS30", "FS21"];
/** Position of the first transaction. */
export const MAGIC_SIZE = 4;
/** Header of a transaction, before user, description and extension. */
export const TRANSACTION_HEADER_SIZE = 23;
/** Offset of the status byte in a transaction's header. */
export const STATUS_OFFSET = 16;
/** The length repeated after a transaction, which its length field does not count. */
export const TRAILER_SIZE = 8;
/** Header of a data record, before its data or its back-pointer. */
export const RECORD_HEADER_SIZE = 42;
/** What stands for the data of a record without data of its own. */
export const BACK_POINTER_SIZE = 8;
/** Most bytes of a user, a description or an extension. */
export const MAX_METADATA_SIZE = 0xffff;

/** Status bytes of a transaction. */
export const Status = {
  /** Normal. */
  NORMAL: 0x20,
  /** Older than the last pack. */
  PACKED: 0x70,
  /** Voted and not finished: only at the end of a file, does not count. */
  UNFINISHED: 0x63,
  /** Undone by a method that no longer exists: the transaction does not count. */
  UNDONE: 0x75,
} as const;

/** Header of a transaction. */
export interface TransactionHeader {
  /** Position of the header. */
  readonly position: number;
  readonly tid: Tid;
  /** From the header's first byte to the repeated length, excluded. */
  readonly length: number;
  readonly status: number;
  readonly userSize: number;
  readonly descriptionSize: number;
  readonly extensionSize: number;
}

/** Header of a data record. */
export interface RecordHeader {
  /** Position of the header. */
  readonly position: number;
  readonly oid: Oid;
  readonly tid: Tid;
  /** Position of the object's record in an earlier transaction, 0 if none or forgotten by a pack. */
  readonly previous: number;
  /** Position of the transaction. */
  readonly transaction: number;
  /** Length of a version's name: a feature removed long ago. */
  readonly versionSize: number;
  /** 0: a back-pointer follows instead of data. */
  readonly dataSize: number;
}

/** Bytes of a transaction before its first data record. */
export function metadataSize(header: TransactionHeader): number {
  return TRANSACTION_HEADER_SIZE + header.userSize + header.descriptionSize + header.extensionSize;
}

/** Position of the repeated length of a transaction. */
export function trailerPosition(header: TransactionHeader): number {
  return header.position + header.length;
}

/** Position just after a transaction. */
export function transactionEnd(header: TransactionHeader): number {
  return trailerPosition(header) + TRAILER_SIZE;
}

/** Position of what follows the header of a data record. */
export function dataPosition(header: RecordHeader): number {
  return header.position + RECORD_HEADER_SIZE;
}

/** Position just after a data record (without version). */
export function recordEnd(header: RecordHeader): number {
  return dataPosition(header) + (header.dataSize || BACK_POINTER_SIZE);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A 64-bit length or position. Beyond 2^53 it is inexact: larger than any file all the same. */
function getLength(view: DataView, offset: number): number {
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

function setLength(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 2 ** 32));
  view.setUint32(offset + 4, value % 2 ** 32);
}

/** Decodes an 8-byte length or position. */
export function decodeLength(bytes: Uint8Array): number {
  return getLength(viewOf(bytes), 0);
}

/** Encodes a length or position as 8 bytes. */
export function encodeLength(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  setLength(viewOf(bytes), 0, value);
  return bytes;
}

/** Decodes the header of the transaction at `position`. */
export function decodeTransactionHeader(bytes: Uint8Array, position: number): TransactionHeader {
  const view = viewOf(bytes);
  return {
    position,
    tid: view.getBigUint64(0) as Tid,
    length: getLength(view, 8),
    status: view.getUint8(STATUS_OFFSET),
    userSize: view.getUint16(17),
    descriptionSize: view.getUint16(19),
    extensionSize: view.getUint16(21),
  };
}

/** Encodes the header of a transaction. */
export function encodeTransactionHeader(header: TransactionHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(TRANSACTION_HEADER_SIZE);
  const view = viewOf(bytes);
  view.setBigUint64(0, header.tid);
  setLength(view, 8, header.length);
  view.setUint8(STATUS_OFFSET, header.status);
  view.setUint16(17, header.userSize);
  view.setUint16(19, header.descriptionSize);
  view.setUint16(21, header.extensionSize);
  return bytes;
}

/** Decodes the header of the data record at `position`. */
export function decodeRecordHeader(bytes: Uint8Array, position: number): RecordHeader {
  const view = viewOf(bytes);
  return {
    position,
    oid: view.getBigUint64(0) as Oid,
    tid: view.getBigUint64(8) as Tid,
    previous: getLength(view, 16),
    transaction: getLength(view, 24),
    versionSize: view.getUint16(32),
    dataSize: getLength(view, 34),
  };
}

/** Encodes the header of a data record. */
export function encodeRecordHeader(header: RecordHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RECORD_HEADER_SIZE);
  const view = viewOf(bytes);
  view.setBigUint64(0, header.oid);
  view.setBigUint64(8, header.tid);
  setLength(view, 16, header.previous);
  setLength(view, 24, header.transaction);
  view.setUint16(32, header.versionSize);
  setLength(view, 34, header.dataSize);
  return bytes;
}
