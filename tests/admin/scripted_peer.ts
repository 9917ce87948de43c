import { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import type { Command } from "../../network/handler.ts";
import type { Listener } from "../../network/transport.ts";
import type { SentName } from "../../protocol/messages.ts";
import type { Address } from "../../protocol/nodes.ts";

/** A message received by a {@linkcode ScriptedPeer}. */
export interface Received extends Command {
  readonly name: SentName;
  readonly args: Readonly<Record<string, unknown>>;
  answer(args: object): void;
}

/** What to do with the messages of some names; the others are only kept. */
export type Script = { readonly [N in SentName]?: (message: Received) => void };

/** A node that accepts any message, and does with it what its script says. */
export class ScriptedPeer {
  readonly received: Received[] = [];
  readonly connections: Connection[] = [];
  script: Script;
  #listener: Listener | null = null;

  constructor(script: Script = {}) {
    this.script = script;
  }

  /** Accepts connections. Returns the real address. */
  async listen(env: Environment, address: Address): Promise<Address> {
    this.#listener = await env.listen(address, (transport) => {
      this.connections.push(
        new Connection(env, transport, { connecting: false, handler: this.#handler }),
      );
    });
    return this.#listener.address;
  }

  /** The last connection accepted. */
  get connection(): Connection {
    const connection = this.connections.at(-1);
    if (connection === undefined) throw new Error("nobody connected");
    return connection;
  }

  /** Names of the messages received, in order. */
  get names(): string[] {
    return this.received.map(({ name }) => name);
  }

  /** The last message of a name. */
  last(name: SentName): Received {
    const message = this.received.findLast((message) => message.name === name);
    if (message === undefined) throw new Error(`${name} was not received`);
    return message;
  }

  close(): void {
    this.#listener?.close();
    for (const connection of this.connections) connection.close();
  }

  readonly #handler: object = new Proxy({}, {
    get: (_, method) => {
      // Pings are answered by the connection.
      if (typeof method !== "string" || method === "ping") return undefined;
      const name = (method.slice(0, 1).toUpperCase() + method.slice(1)) as SentName;
      return (args: Received["args"], from: Omit<Received, "name" | "args">) => {
        const message: Received = {
          name,
          args,
          id: from.id,
          connection: from.connection,
          answer: (args) => from.answer(args),
          error: (code, text) => from.error(code, text),
        };
        this.received.push(message);
        this.script[name]?.(message);
      };
    },
  });
}
