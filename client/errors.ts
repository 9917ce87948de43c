/**
 * What operations of the client throw. The tree and the names are those of ZODB, as far as they
 * make sense here.
 *
 * @module
 */

import { hexId, type Oid, type Tid } from "../protocol/ids.ts";

/** Anything a storage may throw on purpose, except for wrong arguments (`TypeError`, `RangeError`). */
export class POSError extends Error {
  /** Always `"POSError"`. */
  override readonly name: string = "POSError";

  /** Whether nothing was committed, and doing the whole transaction again is expected to help. */
  get transient(): boolean {
    return false;
  }
}

/** There is no such object, or not at that point of its history. */
export class POSKeyError extends POSError {
  /** Always `"POSKeyError"`. */
  override readonly name = "POSKeyError";

  /** For the client. */
  constructor(readonly oid: Oid, detail = "", options?: ErrorOptions) {
    super(`no object ${hexId(oid)}${detail && ` ${detail}`}`, options);
  }
}

/** The two revisions of a {@linkcode ConflictError}. */
export interface ConflictingSerials {
  /** The revision that was committed meanwhile. */
  readonly current: Tid;
  /** The revision that the transaction was based on. */
  readonly given: Tid;
}

/** Another transaction changed an object first. */
export class ConflictError extends POSError {
  /** Always `"ConflictError"`. */
  override readonly name: string = "ConflictError";

  /** For the client. */
  constructor(
    readonly oid: Oid,
    readonly serials: ConflictingSerials,
    /** What was to be stored; `null` if it was nothing. */
    readonly data: Uint8Array | null = null,
    options?: ErrorOptions,
  ) {
    const { current, given } = serials;
    super(
      `object ${hexId(oid)} was changed by transaction ${hexId(current)} ` +
        `after the revision ${hexId(given)} that was read`,
      options,
    );
  }

  /** Yes. */
  override get transient(): boolean {
    return true;
  }
}

/** An object that was read, not stored, was changed by another transaction. */
export class ReadConflictError extends ConflictError {
  /** Always `"ReadConflictError"`. */
  override readonly name = "ReadConflictError";
}

/** A transaction can't be undone. */
export class UndoError extends POSError {
  /** Always `"UndoError"`. */
  override readonly name = "UndoError";

  /** For the client. */
  constructor(
    reason: string,
    /** The object that stands in the way, `null` if it is none in particular. */
    readonly oid: Oid | null = null,
    options?: ErrorOptions,
  ) {
    super(oid === null ? reason : `${reason}: object ${hexId(oid)}`, options);
  }
}

/** The storage could not do what it was asked for. */
export class StorageError extends POSError {
  /** Always `"StorageError"`. */
  override readonly name: string = "StorageError";
}

/** An operation does not fit the state of its transaction. */
export class StorageTransactionError extends StorageError {
  /** Always `"StorageTransactionError"`. */
  override readonly name: string = "StorageTransactionError";
}

/** A transaction has more objects than storage nodes accept. */
export class TransactionTooLargeError extends StorageTransactionError {
  /** Always `"TransactionTooLargeError"`. */
  override readonly name = "TransactionTooLargeError";
}

/** The client, or the whole cluster, only reads. */
export class ReadOnlyError extends StorageError {
  /** Always `"ReadOnlyError"`. */
  override readonly name = "ReadOnlyError";
}

/** The client was closed. */
export class ClientClosedError extends StorageError {
  /** Always `"ClientClosedError"`. */
  override readonly name = "ClientClosedError";

  /** For the client. */
  constructor() {
    super("the client is closed");
  }
}

/** The cluster failed or refused. */
export class NEOStorageError extends StorageError {
  /** Always `"NEOStorageError"`. */
  override readonly name: string = "NEOStorageError";
}

/** The cluster does not have what was asked for. */
export class NEOStorageNotFoundError extends NEOStorageError {
  /** Always `"NEOStorageNotFoundError"`. */
  override readonly name: string = "NEOStorageNotFoundError";
}

/** No revision of the object was ever stored. */
export class NEOStorageDoesNotExistError extends NEOStorageNotFoundError {
  /** Always `"NEOStorageDoesNotExistError"`. */
  override readonly name: string = "NEOStorageDoesNotExistError";
}

/** The revision is a deletion, or the undoing of the creation of the object. */
export class NEOStorageCreationUndoneError extends NEOStorageDoesNotExistError {
  /** Always `"NEOStorageCreationUndoneError"`. */
  override readonly name = "NEOStorageCreationUndoneError";

  /** For the client. */
  constructor(readonly oid: Oid, readonly tid: Tid) {
    super(`object ${hexId(oid)} was deleted by transaction ${hexId(tid)}`);
  }
}

/** A back-pointer can't be stored because the revision it points to was packed. */
export class NEOUndoPackError extends NEOStorageNotFoundError {
  /** Always `"NEOUndoPackError"`. */
  override readonly name = "NEOUndoPackError";
}

/** All replicas that could be read have the wrong bytes for a revision. */
export class NEOStorageWrongChecksum extends NEOStorageError {
  /** Always `"NEOStorageWrongChecksum"`. */
  override readonly name = "NEOStorageWrongChecksum";

  /** For the client. */
  constructor(readonly oid: Oid, readonly tid: Tid, options?: ErrorOptions) {
    super(`the data of object ${hexId(oid)} at ${hexId(tid)} does not match its checksum`, options);
  }
}

/** The primary master was lost before the transaction could be committed: nothing was. */
export class NEOPrimaryMasterLost extends NEOStorageError {
  /** Always `"NEOPrimaryMasterLost"`. */
  override readonly name = "NEOPrimaryMasterLost";

  /** For the client. */
  constructor() {
    super("the primary master was lost: nothing was committed");
  }

  /** Yes. */
  override get transient(): boolean {
    return true;
  }
}

/**
 * A commit was interrupted before its outcome was known: it may have succeeded, and may still
 * succeed. `Client.finalTid(ttid)` finds out.
 */
export class UnknownOutcomeError extends NEOStorageError {
  /** Always `"UnknownOutcomeError"`. */
  override readonly name = "UnknownOutcomeError";

  /** For the client. */
  constructor(readonly ttid: Tid, options?: ErrorOptions) {
    super(`it is not known whether transaction ${hexId(ttid)} was committed`, options);
  }
}
