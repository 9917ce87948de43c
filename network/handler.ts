/**
 * How the messages received on a connection reach a node.
 *
 * @module
 */

import type { ErrorCode } from "../protocol/enums.ts";
import type {
  AnswerArgsOf,
  ArgsOf,
  CommandName,
  RequestName,
  SentName,
} from "../protocol/messages.ts";
import type { Connection } from "./connection.ts";

/** A received message that needs no answer. */
export interface Notification {
  readonly connection: Connection;
  readonly id: number;
}

/** A received message that must be answered once, now or later; the order is free. */
export interface Command extends Notification {
  /** Answers with an `Error`, which is how success of a command is told too (`ACK`). */
  error(code: ErrorCode, message?: string): void;
}

/** A received request with an answer of its own. */
export interface Request<N extends RequestName> extends Command {
  answer(args: AnswerArgsOf<N>): void;
}

/** How a message `N` is received. */
export type Received<N extends SentName> = N extends RequestName ? Request<N>
  : N extends CommandName ? Command
  : Notification;

/**
 * A phase of a node: one method per message it accepts, named like the message with a small first
 * letter. Messages without method are answered as unexpected, which costs the peer its connection.
 * A class that `implements Handlers<MessagesOn<"C>S">>` cannot forget one.
 *
 * **The reaction to a message changes the state of the node synchronously**, in the order of arrival
 * on the connection. What is slow is queued in that same order and answers when done; a method may
 * return its promise, so that what it throws later is handled like what it throws at once:
 *
 * - a {@linkcode Refusal} is sent to the peer, which keeps its connection or not as the code says;
 * - anything else is a failure of this node: it is logged, and costs the peer its connection.
 */
export type Handlers<N extends SentName> = {
  readonly [K in N as Uncapitalize<K>]: (
    args: ArgsOf<K>,
    from: Received<K>,
  ) => void | Promise<void>;
};

/** Any set of handlers. */
export type Handler = object;

/** Thrown by handlers: the peer gets this error. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  constructor(readonly code: ErrorCode, message: string) {
    super(message);
  }
}

/** The peer answered a request with an error. */
export class ErrorAnswer extends Error {
  override readonly name = "ErrorAnswer";
  constructor(readonly code: ErrorCode, message: string) {
    super(message);
  }
}

/** The connection was lost before the answer, or is closed already. */
export class ConnectionClosed extends Error {
  override readonly name = "ConnectionClosed";
}
