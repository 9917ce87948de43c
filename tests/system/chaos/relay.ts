/**
 * The network between nodes: one process that relays all their streams, and can cut, freeze and heal
 * what is between two of them.
 *
 * @module
 */

import { connectDirectly, REACHED, type Request, writeAll } from "./detour.ts";

/** How it is between two nodes. */
type Weather = "fine" | "cut" | "frozen";

/** Longest first line. */
const MAX_REQUEST = 1000;

/** What is between two nodes, whoever opens the streams. */
class Link {
  readonly streams = new Set<Stream>();
  #weather: Weather = "fine";
  /** Pending while nothing passes. */
  #thawed: PromiseWithResolvers<void> | null = null;

  /** Fails when no stream may be open. */
  assertOpen(): void {
    if (this.#weather === "cut") throw new Error("the link is cut");
  }

  change(weather: Weather): void {
    this.#weather = weather;
    if (weather === "frozen") this.#thawed ??= Promise.withResolvers();
    else {
      this.#thawed?.resolve();
      this.#thawed = null;
    }
    if (weather === "cut") this.reset();
  }

  /** Breaks all streams, and lets others be opened. */
  reset(): void {
    for (const stream of this.streams) stream.close();
    this.streams.clear();
  }

  /** Resolves when bytes may pass. */
  async passage(): Promise<void> {
    while (this.#thawed !== null) await this.#thawed.promise;
  }
}

/** Both ends of a relayed stream. */
class Stream {
  readonly #ends: readonly Deno.TcpConn[];

  constructor(...ends: readonly Deno.TcpConn[]) {
    this.#ends = ends;
  }

  close(): void {
    for (const end of this.#ends) closeQuietly(end);
  }
}

/** Relays streams between nodes that have names. */
export class Relay implements Disposable {
  readonly #listener: Deno.TcpListener;
  readonly #nameOf: (host: string, port: number) => string;
  readonly #links = new Map<string, Link>();

  /**
   * Listens.
   *
   * @param nameOf tells which node listens to an address.
   */
  constructor(nameOf: (host: string, port: number) => string) {
    this.#nameOf = nameOf;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#accept();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** Breaks the streams between two nodes, and refuses new ones. */
  cut(a: string, b: string): void {
    this.#link(a, b).change("cut");
  }

  /** Lets nothing pass between two nodes, without their knowing. Nothing is lost. */
  freeze(a: string, b: string): void {
    this.#link(a, b).change("frozen");
  }

  /** Makes a link like new. */
  heal(a: string, b: string): void {
    this.#link(a, b).change("fine");
  }

  /** Breaks the streams between two nodes, once. */
  reset(a: string, b: string): void {
    this.#link(a, b).reset();
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const link of this.#links.values()) link.change("cut");
  }

  #link(a: string, b: string): Link {
    const key = [a, b].sort().join(" and ");
    let link = this.#links.get(key);
    if (link === undefined) this.#links.set(key, link = new Link());
    return link;
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) {
      // A node that is killed breaks its streams, and that's all.
      this.#serve(conn).catch(() => closeQuietly(conn));
    }
  }

  async #serve(near: Deno.TcpConn): Promise<void> {
    near.setNoDelay(true);
    const { from, host, port } = await readRequest(near);
    const link = this.#link(from, this.#nameOf(host, port));
    const opening = new Stream(near);
    link.streams.add(opening);
    try {
      await link.passage();
      link.assertOpen();
      const far = await connectDirectly(host, port);
      far.setNoDelay(true);
      const stream = new Stream(near, far);
      link.streams.add(stream);
      try {
        link.assertOpen();
        await writeAll(near, Uint8Array.of(REACHED));
        await Promise.all([pump(near, far, link), pump(far, near, link)]);
      } finally {
        link.streams.delete(stream);
        stream.close();
      }
    } finally {
      link.streams.delete(opening);
    }
  }
}

/** Takes what one end sends to the other, until it ends. */
async function pump(from: Deno.TcpConn, to: Deno.TcpConn, link: Link): Promise<void> {
  const buffer = new Uint8Array(1 << 16);
  for (;;) {
    const length = await from.read(buffer);
    await link.passage();
    if (length === null) return await to.closeWrite();
    await writeAll(to, buffer.subarray(0, length));
  }
}

async function readRequest(conn: Deno.TcpConn): Promise<Request> {
  let line = "";
  const byte = new Uint8Array(1);
  while (!line.endsWith("\n")) {
    // What comes next is for the other end.
    const length = await conn.read(byte);
    if (length === null || line.length > MAX_REQUEST) throw new Error("no request");
    line += String.fromCharCode(...byte);
  }
  return JSON.parse(line);
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It is closed.
  }
}
