/**
 * What becomes of a request that fails after its handler returned.
 *
 * @module
 */

import type { Command } from "../network/handler.ts";
import { Refusal } from "../network/handler.ts";
import type { Log } from "../network/log.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { ProtocolError } from "../protocol/errors.ts";
import { DatabaseError, LimitError, UndoPackError } from "./database/database.ts";

/**
 * Tells the peer why its request failed; the connection ends if the peer is at fault, or if nobody
 * knows. A request is never answered when the database failed: the node is about to leave the
 * cluster, and nothing it would say could be relied upon.
 */
export function answerFailure(log: Log, from: Command, error: unknown): void {
  if (error instanceof DatabaseError) return;
  const { connection } = from;
  const { code, message } = refusalOf(error) ?? internalError(log, from, error);
  from.error(code, message);
  if (code === ErrorCode.PROTOCOL_ERROR || code === ErrorCode.NOT_READY) {
    if (connection.open) log.info(`${connection} is refused: ${message}`);
    connection.abort();
  }
}

function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refusal) return error;
  if (error instanceof UndoPackError) return new Refusal(ErrorCode.UNDO_PACK_ERROR, error.message);
  if (error instanceof LimitError || error instanceof ProtocolError) {
    return new Refusal(ErrorCode.PROTOCOL_ERROR, error.message);
  }
  return null;
}

function internalError(log: Log, { connection }: Command, error: unknown): Refusal {
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  log.error(`a request of ${connection} failed: ${text}`);
  return new Refusal(ErrorCode.PROTOCOL_ERROR, "internal error");
}

/** A message that breaks the rules; it costs the peer its connection. */
export function violation(text: string): Refusal {
  return new Refusal(ErrorCode.PROTOCOL_ERROR, text);
}
