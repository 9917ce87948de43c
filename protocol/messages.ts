/**
 * The table of all messages of NEO protocol version 5. Static types, encoding, validation, the log's
 * rendering and the reference page in `docs/` derive from it.
 *
 * A *request* has an answer of its own, a *command* is answered by `Error` only (`ACK` for success),
 * a *notification* is not answered. Any request or command may be answered by `Error`.
 *
 * @module
 */

import {
  address,
  anything,
  bin,
  bool,
  cellChange,
  cellState,
  clusterState,
  count,
  type Fields,
  float,
  int,
  list,
  map,
  nid,
  node,
  nodeState,
  nodeType,
  oid,
  optional,
  pack,
  part,
  partial,
  ptid,
  rows,
  sha1,
  text,
  tid,
  tuple,
  type Values,
} from "./types.ts";

/**
 * Who sends a message to whom: master, storage, client, admin, `ctl` (the control tool), `?` a peer
 * that is not identified, `*` any identified node; after a colon, the phase of the receiver.
 */
export type Route =
  | "*>*"
  | "?>M"
  | "?>S"
  | "?>A"
  | "*>M"
  | "S>M"
  | "S>M:verifying"
  | "C>M"
  | "A>M"
  | "M>S"
  | "M>S:starting"
  | "M>S:running"
  | "C>S"
  | "S>S"
  | "M>C"
  | "S>C"
  | "M>A"
  | "A>A"
  | "ctl>A"
  | "M>M";

/** What happens to a message received on a connection that was closed locally meanwhile. */
export type OnClosed = "drop" | "keep";

interface Definition<R extends readonly Route[], F extends Fields> {
  readonly code: number;
  readonly routes: R;
  readonly args: F;
  readonly onClosed: OnClosed;
}

/** A message with an answer of its own. */
export interface RequestDefinition<
  R extends readonly Route[] = readonly Route[],
  F extends Fields = Fields,
  A extends string = string,
  AF extends Fields = Fields,
> extends Definition<R, F> {
  readonly kind: "request";
  readonly answer: A;
  readonly answerArgs: AF;
}

/** A message answered by `Error` only. */
export interface CommandDefinition<
  R extends readonly Route[] = readonly Route[],
  F extends Fields = Fields,
> extends Definition<R, F> {
  readonly kind: "command";
}

/** A message that is not answered. */
export interface NotificationDefinition<
  R extends readonly Route[] = readonly Route[],
  F extends Fields = Fields,
> extends Definition<R, F> {
  readonly kind: "notification";
}

function request<
  const R extends readonly Route[],
  F extends Fields,
  A extends string,
  AF extends Fields,
>(
  code: number,
  routes: R,
  args: F,
  answer: A,
  answerArgs: AF,
  onClosed: OnClosed = "drop",
): RequestDefinition<R, F, A, AF> {
  return { kind: "request", code, routes, args, answer, answerArgs, onClosed };
}

function command<const R extends readonly Route[], F extends Fields>(
  code: number,
  routes: R,
  args: F,
  onClosed: OnClosed,
): CommandDefinition<R, F> {
  return { kind: "command", code, routes, args, onClosed };
}

function notification<const R extends readonly Route[], F extends Fields>(
  code: number,
  routes: R,
  args: F,
): NotificationDefinition<R, F> {
  return { kind: "notification", code, routes, args, onClosed: "keep" };
}

const partitionTable = { ptid: optional(ptid), replicas: count, rows };
const packOrder = { approved: optional(bool), partial: bool, oids: optional(list(oid)), tid };
const data = { compression: int, checksum: sha1, data: bin };

/** All messages but the answers, which stand with the requests they answer. */
export const MESSAGES = {
  // Generic

  RequestIdentification: request(
    0x0001,
    ["?>M", "?>S", "?>A"],
    {
      type: nodeType,
      nid: optional(nid),
      address: optional(address),
      cluster: text,
      idTimestamp: optional(float),
      extra: map(text, anything),
    },
    "AcceptIdentification",
    { type: nodeType, nid: optional(nid), yourNid: optional(nid) },
  ),
  Ping: request(0x0002, ["*>*"], {}, "Pong", {}),
  CloseClient: notification(0x0003, ["S>S"], {}),
  NotPrimaryMaster: notification(0x0005, ["*>*"], {
    primary: optional(count),
    masters: list(address),
  }),
  NotifyNodeInformation: notification(0x0006, ["M>S", "M>C", "M>A", "M>M"], {
    timestamp: float,
    nodes: list(node),
  }),
  NotifyClusterInformation: notification(0x002d, ["M>S", "M>C", "M>A", "M>M"], {
    state: clusterState,
  }),
  FlushLog: notification(0x0046, ["*>*"], {}),

  // Partition table and life of nodes

  SendPartitionTable: notification(0x000a, ["M>A", "M>C", "M>S:starting"], partitionTable),
  NotifyPartitionChanges: notification(0x000b, ["M>A", "M>C", "M>S"], {
    ptid,
    replicas: count,
    cells: list(cellChange),
  }),
  StartOperation: notification(0x000c, ["M>S:starting", "M>S:running"], { backup: bool }),
  StopOperation: notification(0x000d, ["M>S", "M>C"], {}),
  NotifyReady: notification(0x003b, ["S>M"], {}),
  NotifyRepair: notification(0x002c, ["M>S"], { dryRun: bool }),

  // Recovery and verification

  AskRecovery: request(0x0007, ["M>S:starting", "*>M", "ctl>A"], {}, "AnswerRecovery", {
    ptid: optional(ptid),
    backupTid: optional(tid),
    truncateTid: optional(tid),
  }),
  AskLastIDs: request(0x0008, ["M>S:starting", "*>M", "ctl>A"], {}, "AnswerLastIDs", {
    lastTid: optional(tid),
    lastOid: optional(oid),
    firstTid: tid,
  }),
  AskPartitionTable: request(
    0x0009,
    ["M>S:starting"],
    {},
    "AnswerPartitionTable",
    partitionTable,
  ),
  AskLockedTransactions: request(0x000f, ["M>S:starting"], {}, "AnswerLockedTransactions", {
    transactions: map(tid, optional(tid)),
  }),
  AskFinalTID: request(0x0010, ["M>S", "C>M", "C>S"], { ttid: tid }, "AnswerFinalTID", {
    tid: optional(tid),
  }),
  ValidateTransaction: notification(0x0011, ["M>S:starting"], { ttid: tid, tid }),
  /** A command from the control tool; from the master to a storage it is *not* answered. */
  Truncate: command(0x0045, ["M>S:starting", "A>M", "ctl>A"], { tid }, "drop"),

  // Transactions

  AskBeginTransaction: request(
    0x0012,
    ["C>M"],
    { tid: optional(tid) },
    "AnswerBeginTransaction",
    { ttid: tid },
  ),
  FailedVote: command(0x0013, ["C>M"], { ttid: tid, nids: list(nid) }, "drop"),
  AskFinishTransaction: request(
    0x0014,
    ["C>M"],
    {
      ttid: tid,
      oids: list(oid),
      deleted: list(part),
      checked: list(part),
      pack: optional(pack),
    },
    "AnswerTransactionFinished",
    { ttid: tid, tid },
    "keep",
  ),
  AskLockInformation: request(
    0x0015,
    ["M>S:running"],
    { ttid: tid, tid, pack: bool },
    "AnswerInformationLocked",
    { ttid: tid },
    "keep",
  ),
  InvalidateObjects: notification(0x0016, ["M>C"], { tid, oids: list(oid) }),
  InvalidatePartitions: notification(0x0017, [], { tid, partitions: list(part) }),
  NotifyUnlockInformation: notification(0x0018, ["M>S:running"], { ttid: tid }),
  AskNewOIDs: request(0x0019, ["C>M"], { count }, "AnswerNewOIDs", { oids: list(oid) }),
  AbortTransaction: notification(0x001d, ["C>S", "C>M", "M>S"], { ttid: tid, nids: list(nid) }),
  AskLastTransaction: request(0x003c, ["*>M", "ctl>A"], {}, "AnswerLastTransaction", { tid }),
  AskUnfinishedTransactions: request(
    0x000e,
    ["S>M"],
    { partitions: list(part) },
    "AnswerUnfinishedTransactions",
    { lastTid: tid, ttids: list(tid) },
  ),
  NotifyTransactionFinished: notification(0x003e, ["M>S"], { ttid: tid, tid }),

  // Writing

  AskStoreObject: request(
    0x001c,
    ["C>S"],
    { oid, serial: tid, ...data, dataSerial: optional(tid), ttid: tid },
    "AnswerStoreObject",
    { conflict: optional(tid) },
  ),
  AskCheckCurrentSerial: request(
    0x003d,
    ["C>S"],
    { ttid: tid, oid, serial: tid },
    "AnswerCheckCurrentSerial",
    { conflict: optional(tid) },
  ),
  NotifyDeadlock: notification(0x001a, ["S>C"], { ttid: tid, oid }),
  AskRelockObject: request(0x001b, ["C>S"], { ttid: tid, oid }, "AnswerRelockObject", {
    conflict: optional(tuple({ serial: tid, conflict: tid, data: optional(tuple(data)) })),
  }),
  AskStoreTransaction: request(
    0x001e,
    ["C>S"],
    {
      ttid: tid,
      user: bin,
      description: bin,
      extension: bin,
      oids: list(oid),
      pack: optional(pack),
    },
    "AnswerStoreTransaction",
    {},
  ),
  AskVoteTransaction: request(0x001f, ["C>S"], { ttid: tid }, "AnswerVoteTransaction", {}),

  // Reading

  AskObject: request(
    0x0020,
    ["C>S"],
    { oid, at: optional(tid), before: optional(tid) },
    "AnswerObject",
    {
      oid,
      serial: tid,
      nextSerial: optional(tid),
      compression: optional(int),
      checksum: sha1,
      data: bin,
      dataSerial: optional(tid),
    },
  ),
  AskTIDs: request(
    0x0021,
    ["C>S"],
    { first: count, last: count, partition: part },
    "AnswerTIDs",
    { tids: list(tid) },
  ),
  AskTransactionInformation: request(
    0x0022,
    ["C>S"],
    { tid },
    "AnswerTransactionInformation",
    { tid, user: bin, description: bin, extension: bin, packed: bool, oids: list(oid) },
  ),
  AskObjectHistory: request(
    0x0023,
    ["C>S"],
    { oid, first: count, last: count },
    "AnswerObjectHistory",
    { oid, history: list(tuple({ tid, size: count })) },
  ),
  AskObjectUndoSerial: request(
    0x002f,
    ["C>S"],
    { ttid: tid, ltid: tid, undoneTid: tid, oids: list(oid) },
    "AnswerObjectUndoSerial",
    { objects: map(oid, tuple({ current: tid, undo: optional(tid), isCurrent: bool })) },
  ),
  AskTIDsFrom: request(
    0x0030,
    ["C>S"],
    { min: tid, max: tid, length: count, partition: part },
    "AnswerTIDsFrom",
    { tids: list(tid) },
  ),
  AskOIDsFrom: request(
    0x0031,
    ["C>S"],
    { partition: part, length: count, min: oid, tid },
    "AnswerOIDsFrom",
    { next: optional(oid), oids: list(oid) },
  ),

  // Packing

  WaitForPack: request(0x0032, ["C>M"], { id: tid }, "WaitedForPack", {}),
  AskPackOrders: request(0x0033, ["M>S", "S>M", "C>M"], { minId: tid }, "AnswerPackOrders", {
    orders: list(tuple({ id: tid, ...packOrder })),
  }),
  NotifyPackSigned: notification(0x0034, ["M>S"], { approved: list(tid), rejected: list(tid) }),
  NotifyPackCompleted: notification(0x0035, ["S>M", "S>M:verifying"], { id: tid }),

  // Replication and checking

  Replicate: notification(0x003f, ["M>S:running"], {
    tid,
    upstream: text,
    sources: map(part, optional(address)),
  }),
  NotifyReplicationDone: notification(0x0040, ["S>M"], { partition: part, tid }),
  AskFetchTransactions: request(
    0x0041,
    ["S>S"],
    { partition: part, length: count, min: tid, max: tid, tids: list(tid), askPack: bool },
    "AnswerFetchTransactions",
    { next: optional(tid), toDelete: list(tid), completedPack: optional(tid) },
  ),
  AskFetchObjects: request(
    0x0042,
    ["S>S"],
    {
      partition: part,
      length: count,
      min: tid,
      max: tid,
      minOid: oid,
      objects: map(tid, list(oid)),
    },
    "AnswerFetchObjects",
    { nextTid: optional(tid), nextOid: optional(oid), toDelete: map(tid, list(oid)) },
  ),
  /** Carries the id of the `AskFetchTransactions` it serves. */
  AddTransaction: notification(0x0043, ["S>S"], {
    tid,
    user: bin,
    description: bin,
    extension: bin,
    packed: bool,
    ttid: tid,
    oids: list(oid),
    pack: optional(tuple(packOrder)),
  }),
  /** Carries the id of the `AskFetchObjects` it serves. */
  AddObject: notification(0x0044, ["S>S"], { oid, tid, ...data, dataSerial: optional(tid) }),
  CheckPartition: notification(0x0037, ["M>S:running"], {
    partition: part,
    source: tuple({ upstream: text, address: optional(address) }),
    min: tid,
    max: tid,
  }),
  AskCheckTIDRange: request(
    0x0038,
    ["S>S"],
    { partition: part, length: count, min: tid, max: tid },
    "AnswerCheckTIDRange",
    { count, tidDigest: sha1, maxTid: tid },
  ),
  AskCheckSerialRange: request(
    0x0039,
    ["S>S"],
    { partition: part, length: count, min: tid, max: tid, minOid: oid },
    "AnswerCheckSerialRange",
    { count, tidDigest: sha1, maxTid: tid, oidDigest: sha1, maxOid: oid },
  ),
  NotifyPartitionCorrupted: notification(0x003a, ["S>M"], { partition: part, nids: list(nid) }),

  // Administration

  AskPrimary: request(0x0004, ["ctl>A"], {}, "AnswerPrimary", { nid }),
  AskPartitionList: request(
    0x0024,
    ["ctl>A"],
    { min: count, max: count, nid: optional(nid) },
    "AnswerPartitionList",
    partitionTable,
  ),
  AskNodeList: request(
    0x0025,
    ["ctl>A"],
    { type: optional(nodeType) },
    "AnswerNodeList",
    { nodes: list(node) },
  ),
  SetNodeState: command(0x0026, ["A>M", "ctl>A"], { nid, state: nodeState }, "keep"),
  AddPendingNodes: command(0x0027, ["A>M", "ctl>A"], { nids: list(nid) }, "keep"),
  TweakPartitionTable: request(
    0x0028,
    ["A>M", "ctl>A"],
    { dryRun: bool, excluded: list(nid) },
    "AnswerTweakPartitionTable",
    { changed: bool, rows },
  ),
  SetNumReplicas: command(0x0029, ["A>M", "ctl>A"], { replicas: int }, "keep"),
  SetClusterState: command(0x002a, ["A>M", "ctl>A"], { state: clusterState }, "keep"),
  Repair: command(0x002b, ["A>M", "ctl>A"], { nids: list(nid), dryRun: bool }, "drop"),
  AskClusterState: request(0x002e, ["*>M", "ctl>A"], {}, "AnswerClusterState", {
    state: optional(clusterState),
  }),
  CheckReplicas: command(
    0x0036,
    ["A>M", "ctl>A"],
    { sources: map(part, optional(nid)), min: tid, max: optional(tid) },
    "drop",
  ),
  AskMonitorInformation: request(0x0047, ["ctl>A"], {}, "AnswerMonitorInformation", {
    warning: list(optional(text)),
    problem: list(optional(text)),
    summary: text,
  }),
  NotifyMonitorInformation: notification(0x0048, ["A>A"], {
    info: partial(
      {
        clusterState: optional(clusterState),
        down: count,
        ptSummary: optional(map(cellState, count)),
      },
      { clusterState: "cluster_state", down: "down", ptSummary: "pt_summary" },
    ),
  }),
  NotifyUpstreamAdmin: notification(0x0049, ["M>A"], { address }),
} as const;

/** The answer that any request may get. */
export const ERROR = { code: 0x8000, args: { code: int, message: text } } as const;

type Table = typeof MESSAGES;

/** Requests, commands and notifications. */
export type SentName = keyof Table;
type NameOfKind<K extends string> = {
  [N in SentName]: Table[N]["kind"] extends K ? N : never;
}[SentName];
/** Messages with an answer of their own. */
export type RequestName = NameOfKind<"request">;
/** Messages answered by `Error` only. */
export type CommandName = NameOfKind<"command">;
/** Messages that are not answered. */
export type NotificationName = NameOfKind<"notification">;

/** The name of the answer to a request. */
export type AnswerOf<N extends RequestName> = Table[N]["answer"];
/** Answers of requests. */
export type AnswerName = AnswerOf<RequestName>;
/** Everything that travels. */
export type MessageName = SentName | AnswerName | "Error";

/** Arguments of a request, command or notification, by name. */
export type ArgsOf<N extends SentName> = Values<Table[N]["args"]>;
/** Arguments of the answer to a request, by name. */
export type AnswerArgsOf<N extends RequestName> = Values<Table[N]["answerArgs"]>;

/** Messages that travel on a route. */
export type MessagesOn<R extends Route> = {
  [N in SentName]: Extract<Table[N]["routes"][number], R> extends never ? never : N;
}[SentName];
