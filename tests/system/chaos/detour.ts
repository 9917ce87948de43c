/**
 * Makes a program open its connections through a {@linkcode Relay}.
 *
 * Nodes tell each other the addresses that they listen to, so that no proxy can be put in front of
 * them by configuration. Instead, this module replaces the function that opens streams, before the
 * program starts (`deno run --preload`), by one that connects to the relay and tells it where to go.
 * It is the same for the program: the stream is open once the relay has reached the other end,
 * refused if it has not, and neither as long as the network is silent.
 *
 * @module
 */

/** Environment variable with the port of the relay on 127.0.0.1. */
export const RELAY_PORT = "CHAOS_RELAY_PORT";
/** Environment variable with the name that the relay knows the program by. */
export const NAME = "CHAOS_NAME";

/** What the relay answers when it has reached the other end. */
export const REACHED = 0x2b;

/** The first line of a stream to the relay. */
export interface Request {
  readonly from: string;
  readonly host: string;
  readonly port: number;
}

const direct = Deno.connect;

/** Opens a stream to where it is meant to go. */
export function connectDirectly(host: string, port: number): Promise<Deno.TcpConn> {
  return direct({ hostname: host, port });
}

/** Replaces `Deno.connect`. Dispose of the result to have it as it was. */
export function detour(name: string, relay: number): Disposable {
  Reflect.set(Deno, "connect", async (options: Deno.ConnectOptions & { signal?: AbortSignal }) => {
    const { hostname = "127.0.0.1", port, signal } = options;
    signal?.throwIfAborted();
    const conn = await direct({ hostname: "127.0.0.1", port: relay });
    const close = () => conn.close();
    signal?.addEventListener("abort", close);
    try {
      const request: Request = { from: name, host: hostname, port };
      await writeAll(conn, new TextEncoder().encode(`${JSON.stringify(request)}\n`));
      const answer = new Uint8Array(1);
      const length = await conn.read(answer);
      if (length === 1 && answer[0] === REACHED) return conn;
      conn.close();
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", close);
    }
    throw new Deno.errors.ConnectionRefused(`${hostname}:${port} can't be reached by ${name}`);
  });
  return { [Symbol.dispose]: () => void Reflect.set(Deno, "connect", direct) };
}

/** Writes all bytes, however many the system takes at once. */
export async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += await conn.write(bytes.subarray(written));
  }
}

const port = Deno.env.get(RELAY_PORT);
if (port !== undefined) detour(Deno.env.get(NAME) ?? "?", Number(port));
