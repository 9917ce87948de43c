/**
 * The connections that operators open to an admin.
 *
 * @module
 */

import { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import type { Handler } from "../network/handler.ts";
import type { Listener, Transport } from "../network/transport.ts";
import type { Address } from "../protocol/nodes.ts";

/** More than operators need, few enough for the file descriptors of a process. */
export const MAX_CONTROL_CONNECTIONS = 256;

/**
 * Accepts operators. They are strangers: their messages are limited in length by the connection, and
 * their number by this class. When there are too many the oldest is sent away, so that connections left
 * behind by broken tools never keep an operator out.
 */
export class ControlConnections {
  readonly #env: Environment;
  readonly #handler: Handler;
  /** In the order of arrival. */
  readonly #connections = new Set<Connection>();
  #listener: Listener | null = null;
  #onEmpty: (() => void) | null = null;

  constructor(env: Environment, handler: Handler) {
    this.#env = env;
    this.#handler = handler;
  }

  /** Number of open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /**
   * Starts accepting.
   *
   * @returns the real address, with the port that was given by the system.
   * @throws {Error} if the address can't be listened to.
   */
  async listen(address: Address): Promise<Address> {
    this.#listener = await this.#env.listen(address, (transport) => this.#accept(transport));
    return this.#listener.address;
  }

  #accept(transport: Transport): void {
    const connection = new Connection(this.#env, transport, {
      connecting: false,
      handler: this.#handler,
      peerName: "ctl",
      onClosed: () => {
        this.#connections.delete(connection);
        if (this.#connections.size === 0) this.#onEmpty?.();
      },
    });
    this.#connections.add(connection);
    const [oldest] = this.#connections;
    if (this.#connections.size <= MAX_CONTROL_CONNECTIONS || oldest === undefined) return;
    this.#env.log.warning(`more than ${MAX_CONTROL_CONNECTIONS} operators, closing ${oldest}`);
    oldest.close();
  }

  /** Stops accepting, and waits until everybody got what was sent to them or did not take it. */
  async close(): Promise<void> {
    this.#listener?.close();
    this.#listener = null;
    for (const connection of [...this.#connections]) connection.abort();
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => this.#onEmpty = resolve);
  }
}
