/**
 * The client of NEO: a distributed, redundant, transactional storage of objects.
 *
 * An object is a number, its *oid*, with a history of revisions: bytes, each stored by a transaction.
 * A transaction is a number too, its *tid*; the tid that stored a revision is the *serial* of that
 * revision. Tids increase with time.
 *
 * Permissions: `--allow-net` for the addresses of all masters and storage nodes.
 *
 * @example
 * ```ts ignore
 * import { connect } from "https://…/client/mod.ts";
 *
 * await using client = await connect("neo://name@127.0.0.1:10000");
 * await using transaction = await client.begin({ user: "alice", description: "first steps" });
 * const oid = await client.newOid();
 * await transaction.store(oid, null, new TextEncoder().encode("hello"));
 * await transaction.commit();
 *
 * const { data, serial } = await client.load(oid);
 * ```
 *
 * @module
 */

export { connect } from "./connect.ts";
export { Client, type ClientStatistics, type CopyOptions, type PackOptions } from "./client.ts";
export {
  type HistoryEntry,
  type IteratorOptions,
  type OidsOptions,
  type PackOrdersOptions,
  Reader,
} from "./reader.ts";
export { type CurrentRecord, type OidRange, Snapshot } from "./snapshot.ts";
export {
  type FinishOptions,
  type StoreOptions,
  Transaction,
  type TransactionOptions,
  type TransactionState,
} from "./transaction.ts";
export type { CacheStatistics, Revision } from "./cache.ts";
export type { Compression, PreparedData } from "./compression.ts";
export * from "./errors.ts";
export { decodeExtension, encodeExtension, type Extension } from "./extension.ts";
export type { TransactionInformation } from "./iterator.ts";
export type { PackOrder } from "./packs.ts";
export { PickleError, type PlainValue } from "./pickle.ts";
export type { ClientOptions } from "./options.ts";
export type { Conflict, ConflictResolver } from "./resolution.ts";
export type { CopySource, CopySummary } from "./restore.ts";
export type { UndoLogEntry, UndoLogOptions, UndoSpecification } from "./undo_log.ts";
export type { DataRecord, TransactionInfo, TransactionRecord } from "./records.ts";
export { type ParsedUri, parseUri, type TlsPaths } from "./uri.ts";
export type { InvalidationListener } from "./view.ts";
export type { WaitOptions } from "./waiting.ts";
export type { CancelTimer, Environment } from "../network/environment.ts";
export type { Log, PacketRecord } from "../network/log.ts";
export type { Listener, Transport, TransportReceiver } from "../network/transport.ts";
export type { Address, Nid } from "../protocol/nodes.ts";
export type { Span, SpanSubject, Tracer } from "../network/tracer.ts";
export type { TlsCredentials } from "../network/tls.ts";
export {
  formatTidDate,
  hexId,
  MAX_OID,
  MAX_TID,
  type Oid,
  type Tid,
  tidFromTime,
  tidToTime,
  toOid,
  toTid,
  ZERO_OID,
  ZERO_TID,
} from "../protocol/ids.ts";
