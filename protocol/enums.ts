/**
 * The enumerations of the protocol. Members keep their protocol names; their numbers are on the wire
 * and in databases.
 *
 * @module
 */

/** State of a cell: the assignment of a partition to a storage node. */
export enum CellState {
  /** Lacks data and is being replicated. Written by commits, not readable. */
  OUT_OF_DATE = 0,
  /** Normal. */
  UP_TO_DATE = 1,
  /** As up-to-date, but to be dropped once enough other cells are readable. */
  FEEDING = 2,
  /** Differs from its replicas. */
  CORRUPTED = 3,
  /** Only in notifications: remove the cell. */
  DISCARDED = 4,
}

/** State of the whole cluster, decided by the primary master. */
export enum ClusterState {
  RECOVERING = 0,
  VERIFYING = 1,
  RUNNING = 2,
  STOPPING = 3,
  STARTING_BACKUP = 4,
  BACKINGUP = 5,
  STOPPING_BACKUP = 6,
}

/** Codes of the `Error` message. They travel as plain integers. */
export enum ErrorCode {
  ACK = 0,
  DENIED = 1,
  NOT_READY = 2,
  OID_NOT_FOUND = 3,
  TID_NOT_FOUND = 4,
  OID_DOES_NOT_EXIST = 5,
  PROTOCOL_ERROR = 6,
  REPLICATION_ERROR = 7,
  CHECKING_ERROR = 8,
  BACKEND_NOT_IMPLEMENTED = 9,
  NON_READABLE_CELL = 10,
  READ_ONLY_ACCESS = 11,
  INCOMPLETE_TRANSACTION = 12,
  UNDO_PACK_ERROR = 13,
}

/** State of a node, as the primary master sees it. */
export enum NodeState {
  /** To be forgotten. */
  UNKNOWN = 0,
  DOWN = 1,
  RUNNING = 2,
  /** A storage that is connected but not (yet) part of the operation. */
  PENDING = 3,
}

/** Type of a node. */
export enum NodeType {
  MASTER = 0,
  STORAGE = 1,
  CLIENT = 2,
  ADMIN = 3,
}

/** Whether a cell may be read. */
export function isReadable(state: CellState): boolean {
  return state === CellState.UP_TO_DATE || state === CellState.FEEDING;
}
