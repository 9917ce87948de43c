/**
 * Talks to an admin.
 *
 * @module
 */

import { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import { ErrorAnswer } from "../network/handler.ts";
import { errorText } from "../network/log.ts";
import { ErrorCode, NodeType } from "../protocol/enums.ts";
import type {
  AnswerArgsOf,
  ArgsOf,
  CommandName,
  NotificationName,
  RequestName,
} from "../protocol/messages.ts";
import { type Address, formatAddress } from "../protocol/nodes.ts";
import { CommandError } from "./errors.ts";

/** Where the admin is, and how long to wait for it. */
export interface AdminEndpoint {
  readonly address: Address;
  /** Seconds for the whole command, `null` meaning for ever. */
  readonly timeout: number | null;
}

/** An open connection to an admin. All failures are {@linkcode CommandError}s. */
export class AdminSession {
  readonly #env: Environment;
  readonly #address: Address;
  readonly #connection: Connection;

  readonly #late: AbortSignal;

  /** @param late aborts when the time of the command is over. */
  constructor(env: Environment, address: Address, connection: Connection, late: AbortSignal) {
    this.#env = env;
    this.#address = address;
    this.#connection = connection;
    this.#late = late;
  }

  /** Whether the admin accepts connections, once this one was lost. */
  async listens(): Promise<boolean> {
    try {
      (await this.#env.connect(this.#address, this.#late)).close();
      return true;
    } catch {
      this.#late.throwIfAborted();
      return false;
    }
  }

  /** Lets some milliseconds pass. */
  async sleep(milliseconds: number): Promise<void> {
    this.#late.throwIfAborted();
    await new Promise<void>((resolve) => this.#env.setTimer(milliseconds, resolve));
  }

  /** Asks a question. */
  ask<N extends RequestName>(name: N, args: ArgsOf<N>): Promise<AnswerArgsOf<N>> {
    return this.#connection.ask(name, args).catch(explain);
  }

  /** Gives an order. Resolves to the text of its success. */
  order<N extends CommandName>(name: N, args: ArgsOf<N>): Promise<string> {
    return this.#connection.command(name, args).catch(explain);
  }

  /** Sends a notification, and waits until the admin handled it. */
  async notify<N extends NotificationName>(name: N, args: ArgsOf<N>): Promise<void> {
    this.#connection.notify(name, args);
    await this.ask("Ping", {});
  }
}

function explain(error: unknown): never {
  if (!(error instanceof ErrorAnswer)) {
    throw new CommandError("ERROR: Connection closed", { cause: error });
  }
  // Refusals of the primary master explain themselves.
  const prefix = error.code === ErrorCode.DENIED ? "" : "ERROR: ";
  throw new CommandError(prefix + (error.message || ErrorCode[error.code]), { cause: error });
}

/**
 * Connects to an admin for as long as `use` takes.
 *
 * @throws {CommandError} if there is no admin, or it does not answer in time.
 */
export async function withAdmin<Result>(
  env: Environment,
  { address, timeout }: AdminEndpoint,
  use: (admin: AdminSession) => Promise<Result>,
): Promise<Result> {
  const late = new AbortController();
  const cancelTimer = timeout === null ? () => {} : env.setTimer(
    timeout * 1000,
    () => late.abort(new CommandError(`ERROR: not done after ${timeout} seconds`)),
  );
  let connection: Connection | null = null;
  try {
    connection = await connect(env, address, late.signal);
    const result = await use(new AdminSession(env, address, connection, late.signal));
    late.signal.throwIfAborted();
    return result;
  } catch (error) {
    late.signal.throwIfAborted();
    throw error;
  } finally {
    cancelTimer();
    connection?.close();
  }
}

async function connect(
  env: Environment,
  address: Address,
  signal: AbortSignal,
): Promise<Connection> {
  let transport;
  try {
    transport = await env.connect(address, signal);
  } catch (error) {
    const where = formatAddress(address);
    throw new CommandError(`ERROR: not connected\n${where}: ${errorText(error)}`, { cause: error });
  }
  const connection = new Connection(env, transport, { connecting: true, handler: {} });
  // Lists of thousands of partitions are long.
  connection.identified("admin", NodeType.ADMIN);
  signal.addEventListener("abort", () => connection.close(), { once: true });
  if (signal.aborted) connection.close();
  return connection;
}
