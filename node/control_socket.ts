/**
 * Orders to one process of a machine through a Unix socket, for what signals do where they can be sent.
 * Whoever may write to the socket, which is its owner, sends commands, a line each:
 *
 * ```text
 * flush     write what the log keeps in memory
 * reopen    open the log database again, after it was renamed
 * state     tell the state of the node
 * ```
 *
 * Each is answered by `ok` on a line, after what it tells, or by `error: ` and the reason.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { ConfigError } from "./errors.ts";

/** What can be ordered. */
export interface ControlActions {
  /** Write what the log keeps in memory. */
  flush(): void;
  /** Reopen the log database. */
  reopen(): void;
  /** Describes the node, in any number of lines. */
  state(): string;
}

/** Connections at the same time; the oldest is closed for a new one. */
const MAX_CONNECTIONS = 8;
/** Bytes of a command. */
const MAX_COMMAND = 256;
/** Milliseconds after a connection that can't be accepted. */
const ACCEPT_PAUSE = 100;
/** Only the owner. */
const MODE = 0o600;

/** Listens to a path, where a dead process may have left a socket. */
async function listen(path: string): Promise<Deno.UnixListener> {
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
  }
  if (!(await Deno.lstat(path)).isSocket) throw new Error("it exists and is not a socket");
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
    await Deno.remove(path);
    return Deno.listen({ transport: "unix", path });
  }
  throw new Error("another process listens to it");
}

/** Listens to orders until it is closed. */
export class ControlSocket {
  readonly #path: string;
  readonly #listener: Deno.UnixListener;
  readonly #actions: ControlActions;
  readonly #connections = new Set<Deno.UnixConn>();
  readonly #accepting: Promise<void>;
  #closed = false;

  private constructor(path: string, listener: Deno.UnixListener, actions: ControlActions) {
    this.#path = path;
    this.#listener = listener;
    this.#actions = actions;
    this.#accepting = this.#accept();
  }

  /**
   * Creates the socket.
   *
   * @throws {ConfigError} if that is impossible, or another process listens to it.
   */
  static async open(path: string, actions: ControlActions): Promise<ControlSocket> {
    try {
      const listener = await listen(path);
      // At once: nobody can have connected since, as the permissions of a new one come from the umask.
      Deno.chmodSync(path, MODE);
      return new ControlSocket(path, listener, actions);
    } catch (error) {
      throw new ConfigError(`can't listen to control socket ${path}: ${errorText(error)}`);
    }
  }

  /**
   * Removes the socket at once, which is safe at the end of a process.
   *
   * @returns when the path can be used again: the runtime removes what it finds there once more, after it has
   * given up to wait for connections.
   */
  close(): Promise<void> {
    if (this.#closed) return this.#accepting;
    this.#closed = true;
    this.#listener.close();
    for (const connection of this.#connections) this.#end(connection);
    try {
      Deno.removeSync(this.#path);
    } catch {
      // The runtime has removed it, or somebody else.
    }
    return this.#accepting;
  }

  #end(connection: Deno.UnixConn): void {
    if (this.#connections.delete(connection)) connection.close();
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      let connection: Deno.UnixConn;
      try {
        connection = await this.#listener.accept();
      } catch {
        // It is closed, or the process has no file descriptor left: no reason to end it.
        if (!this.#closed) await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
        continue;
      }
      const [oldest] = this.#connections;
      if (oldest !== undefined && this.#connections.size >= MAX_CONNECTIONS) this.#end(oldest);
      this.#connections.add(connection);
      this.#serve(connection).catch(() => {
        // It was closed, here or there.
      }).finally(() => this.#end(connection));
    }
  }

  /** Not by streams, which would close the connection as soon as the peer has sent all it wants. */
  async #serve(connection: Deno.UnixConn): Promise<void> {
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(MAX_COMMAND);
    let rest = "";
    for (let length; (length = await connection.read(buffer)) !== null;) {
      const lines = (rest + decoder.decode(buffer.subarray(0, length), { stream: true })).split(
        "\n",
      );
      rest = lines.pop() ?? "";
      for (const line of lines) await this.#reply(connection, line);
      if (rest.length > MAX_COMMAND) return;
    }
    // A last command may lack its end of line.
    if (rest !== "") await this.#reply(connection, rest);
  }

  async #reply(connection: Deno.UnixConn, line: string): Promise<void> {
    let bytes = new TextEncoder().encode(`${this.#answer(line.trim())}\n`);
    while (bytes.length > 0) bytes = bytes.subarray(await connection.write(bytes));
  }

  #answer(command: string): string {
    try {
      switch (command) {
        case "flush":
          this.#actions.flush();
          return "ok";
        case "reopen":
          this.#actions.reopen();
          return "ok";
        case "state":
          return `${this.#actions.state()}\nok`;
        default:
          return "error: unknown command: there are flush, reopen and state";
      }
    } catch (error) {
      return `error: ${errorText(error).replaceAll("\n", " ")}`;
    }
  }
}
