/**
 * Passes the orders and questions of operators on to the primary master, and its answers back.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import {
  type Command,
  type ConnectionClosed,
  ErrorAnswer,
  type Request,
} from "../network/handler.ts";
import { ErrorCode } from "../protocol/enums.ts";
import type { ArgsOf, CommandName, RequestName } from "../protocol/messages.ts";
import type { WaitingLimit } from "./waiting_limit.ts";

/** What is true of a question when the primary is lost before its answer. */
const LOST = "connection to master lost";
/** What is true of an order then. */
const OUTCOME_UNKNOWN = `${LOST}: it is not known whether the order was carried out, ` +
  "check the state of the cluster before giving it again";

/** Forwards what operators send, unchanged. */
export class Forwarder {
  readonly #primary: () => Connection;
  readonly #limit: WaitingLimit;

  /** @param primary gives the connection to the primary master, or throws a refusal. */
  constructor(primary: () => Connection, limit: WaitingLimit) {
    this.#primary = primary;
    this.#limit = limit;
  }

  /** Forwards a message that has an answer of its own. */
  request<N extends RequestName>(name: N, args: ArgsOf<N>, from: Request<N>): void {
    const primary = this.#primary();
    const done = this.#limit.wait(from.connection);
    // Tweaking is the one order that has an answer of its own.
    const lost = name === "TweakPartitionTable" ? OUTCOME_UNKNOWN : LOST;
    primary.request(
      name,
      args,
      (answer) => {
        from.answer(answer);
        done();
      },
      (error) => {
        answerError(from, error, lost);
        done();
      },
    );
  }

  /** Forwards an order. */
  command<N extends CommandName>(name: N, args: ArgsOf<N>, from: Command): void {
    const primary = this.#primary();
    const done = this.#limit.wait(from.connection);
    primary.sendCommand(
      name,
      args,
      (message) => {
        from.error(ErrorCode.ACK, message);
        done();
      },
      (error) => {
        answerError(from, error, OUTCOME_UNKNOWN);
        done();
      },
    );
  }
}

function answerError(from: Command, error: ErrorAnswer | ConnectionClosed, lost: string): void {
  const code = error instanceof ErrorAnswer ? error.code : ErrorCode.PROTOCOL_ERROR;
  from.error(code, error instanceof ErrorAnswer ? error.message : lost);
  if (code === ErrorCode.PROTOCOL_ERROR) from.connection.abort();
}
