/**
 * Error answers of nodes as errors of the client.
 *
 * @module
 */

import { ConnectionClosed, ErrorAnswer } from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";
import {
  NEOStorageDoesNotExistError,
  NEOStorageError,
  NEOStorageNotFoundError,
  NEOUndoPackError,
  ReadOnlyError,
} from "./errors.ts";

/** What is thrown for a failed request; anything else is returned as it is. */
export function fromAnswer(error: unknown): unknown {
  if (error instanceof ConnectionClosed) return new NEOStorageError(error.message);
  if (!(error instanceof ErrorAnswer)) return error;
  const { code, message } = error;
  switch (code) {
    case ErrorCode.OID_NOT_FOUND:
    case ErrorCode.TID_NOT_FOUND:
      return new NEOStorageNotFoundError(`not found: ${message}`);
    case ErrorCode.OID_DOES_NOT_EXIST:
      return new NEOStorageDoesNotExistError(`object ${message} does not exist`);
    case ErrorCode.READ_ONLY_ACCESS:
      return new ReadOnlyError(message || "the cluster is read-only");
    case ErrorCode.INCOMPLETE_TRANSACTION:
      return new NEOStorageError(
        "storage nodes for which vote failed can not be disconnected " +
          `without making the cluster non-operational${message && `: ${message}`}`,
      );
    case ErrorCode.UNDO_PACK_ERROR:
      return new NEOUndoPackError(`the revision to share data with was packed: ${message}`);
    case ErrorCode.PROTOCOL_ERROR:
      return new NEOStorageError(`protocol error: ${message}`);
    default:
      return new NEOStorageError(`${ErrorCode[code]}: ${message}`);
  }
}
