/**
 * The connections that other nodes open to a node, and the limits that keep strangers from hurting it.
 *
 * @module
 */

import type { Address } from "../protocol/nodes.ts";
import { Connection } from "./connection.ts";
import type { CancelTimer, Environment } from "./environment.ts";
import type { Handler } from "./handler.ts";
import type { Transport } from "./transport.ts";

/**
 * Milliseconds that a peer has to introduce itself. Nodes do it with their first bytes, so that this
 * is much even for a machine that swaps.
 */
export const IDENTIFICATION_TIME = 30_000;
/**
 * Connections whose peer is not known yet, at most. All nodes of a big cluster may arrive at once
 * after an incident, and it is little memory even if none ever says a word.
 */
export const MAX_UNIDENTIFIED = 1000;

/** What a node does with the connections opened to it. */
export interface ServerOptions {
  /** Where to listen, port 0 meaning any free port. */
  readonly address: Address;
  /** Receives the messages of a peer until the connection is given another handler. */
  readonly handler: Handler;
  /** Called once for each connection that is gone, identified or not. */
  readonly onClosed?: (connection: Connection, reason: Error | null) => void;
}

/** A node's listener and the connections it accepted. */
export interface Server {
  /** The real address, with the port that was given by the system. */
  readonly address: Address;
  /** The connections that are not closed, in the order they were accepted. */
  readonly connections: ReadonlySet<Connection>;
  /**
   * The peer introduced itself and waits on purpose, for as long as needed: until then it is not
   * `identified`, and still among those that may be closed when there are too many.
   */
  hold(connection: Connection): void;
  /** Stops listening and closes all the connections. */
  stop(): void;
}

/**
 * Listens, and makes connections of what is accepted. A peer that the node does not declare
 * `identified` (or held) within {@linkcode IDENTIFICATION_TIME} is closed; so is the oldest of more
 * than {@linkcode MAX_UNIDENTIFIED}.
 *
 * @throws {Error} (a rejection) if the address can't be listened to.
 * @example
 * ```ts
 * import { silentLog } from "./log.ts";
 * import { realEnvironment } from "./real.ts";
 * import { acceptConnections } from "./server.ts";
 * const environment = realEnvironment({ log: silentLog });
 * const server = await acceptConnections(environment, {
 *   address: { host: "127.0.0.1", port: 0 },
 *   handler: {},
 * });
 * server.stop();
 * ```
 */
export async function acceptConnections(
  env: Environment,
  options: ServerOptions,
): Promise<Server> {
  const server = new AcceptingServer(env, options);
  await server.listen();
  return server;
}

class AcceptingServer implements Server {
  readonly connections = new Set<Connection>();
  readonly #env: Environment;
  readonly #options: ServerOptions;
  /** Those that have said nothing useful yet, the oldest first. */
  readonly #strangers = new Map<Connection, CancelTimer>();
  readonly #held = new Set<Connection>();
  #address: Address;
  #closeListener: () => void = () => {};
  #stopped = false;

  constructor(env: Environment, options: ServerOptions) {
    this.#env = env;
    this.#options = options;
    this.#address = options.address;
  }

  get address(): Address {
    return this.#address;
  }

  async listen(): Promise<void> {
    const { address } = this.#options;
    const listener = await this.#env.listen(address, (transport) => this.#accept(transport));
    this.#address = listener.address;
    this.#closeListener = () => listener.close();
  }

  #accept(transport: Transport): void {
    if (this.#stopped) return transport.close();
    const connection: Connection = new Connection(this.#env, transport, {
      connecting: false,
      handler: this.#options.handler,
      onIdentified: () => this.#settle(connection),
      onClosed: (reason) => {
        this.#settle(connection);
        this.connections.delete(connection);
        this.#options.onClosed?.(connection, reason);
      },
    });
    this.connections.add(connection);
    const cancel = this.#env.setTimer(IDENTIFICATION_TIME, () => {
      this.#env.log.info(`${connection} did not introduce itself, closing`);
      connection.close();
    });
    this.#strangers.set(connection, cancel);
    if (this.#strangers.size + this.#held.size > MAX_UNIDENTIFIED) this.#closeOldest();
  }

  /** Neither those who say nothing nor those who are made to wait can take all the room. */
  #closeOldest(): void {
    const [stranger] = this.#strangers.keys();
    const [held] = this.#held;
    const oldest = this.#strangers.size > this.#held.size ? stranger : held;
    if (oldest === undefined) return;
    this.#env.log.warning(`more than ${MAX_UNIDENTIFIED} unknown peers, closing ${oldest}`);
    oldest.close();
  }

  #settle(connection: Connection): void {
    this.#strangers.get(connection)?.();
    this.#strangers.delete(connection);
    this.#held.delete(connection);
  }

  hold(connection: Connection): void {
    if (!this.#strangers.has(connection)) return;
    this.#settle(connection);
    this.#held.add(connection);
  }

  stop(): void {
    this.#stopped = true;
    this.#closeListener();
    for (const connection of [...this.connections]) connection.close();
  }
}
