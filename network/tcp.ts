/**
 * Transport over TCP.
 *
 * @module
 */

import type { Address } from "../protocol/nodes.ts";
import {
  HIGH_WATER_MARK,
  type Listener,
  LOW_WATER_MARK,
  type Transport,
  type TransportReceiver,
} from "./transport.ts";

/** First size of the buffers given to the system: idle connections must be cheap. */
const MIN_READ = 1 << 11;
const MAX_READ = 1 << 16;
/** Queued chunks are joined up to this length, to save system calls. */
const JOIN_LENGTH = 1 << 16;
/** Milliseconds given to the peer to take what is queued when a transport ends. */
export const LINGER_TIME = 5_000;
/** Milliseconds without accepting when the system has no descriptor left for one more stream. */
const ACCEPT_PAUSE = 50;

/**
 * Opens a TCP stream.
 *
 * @throws {Error} if it can't be opened, or with the signal's reason.
 */
export async function connectTcp(address: Address, signal?: AbortSignal): Promise<Transport> {
  const { host: hostname, port } = address;
  const conn = await Deno.connect({ hostname, port, ...(signal && { signal }) });
  try {
    return new TcpTransport(conn);
  } catch (error) {
    // The peer is gone already.
    conn.close();
    throw error;
  }
}

/** Accepts TCP streams. */
export function listenTcp(address: Address, accept: (transport: Transport) => void): Listener {
  const listener = Deno.listen({ hostname: address.host, port: address.port });
  const { hostname, port } = listener.addr;
  let closed = false;
  const acceptAll = async () => {
    while (!closed) {
      let conn: Deno.TcpConn;
      try {
        conn = await listener.accept();
      } catch {
        if (!closed) await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
        continue;
      }
      let transport: TcpTransport;
      try {
        transport = new TcpTransport(conn);
      } catch {
        // The peer is gone already, and the next one is not to wait for that.
        conn.close();
        continue;
      }
      accept(transport);
    }
  };
  acceptAll();
  return {
    address: { host: hostname, port },
    close() {
      if (closed) return;
      closed = true;
      listener.close();
    },
  };
}

class TcpTransport implements Transport {
  readonly remote: Address;
  readonly #conn: Deno.TcpConn;
  #receiver: TransportReceiver | null = null;
  readonly #queue: Uint8Array[] = [];
  #buffered = 0;
  #writing = false;
  #drainOwed = false;
  #ending = false;
  /** Whether writing failed. */
  #broken = false;
  #closed = false;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  #resume: (() => void) | null = null;
  #paused = false;

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
    const { hostname, port } = conn.remoteAddr;
    this.remote = { host: hostname, port };
    conn.setNoDelay(true);
    conn.setKeepAlive(true);
  }

  get buffered(): number {
    return this.#buffered;
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver;
    this.#read(receiver);
  }

  async #read(receiver: TransportReceiver): Promise<void> {
    let size = MIN_READ;
    let buffer = new Uint8Array(size);
    let reason: Error | null = null;
    try {
      while (!this.#closed) {
        if (this.#paused) await new Promise<void>((resolve) => this.#resume = resolve);
        if (this.#closed) break;
        const read = await this.#conn.read(buffer);
        if (read === null) break;
        const full = read === buffer.length;
        if (!this.#ending) receiver.received(buffer.subarray(0, read));
        // What was given away is never written again.
        buffer = buffer.subarray(read);
        if (full) size = Math.min(size * 4, MAX_READ);
        if (buffer.length < Math.min(size >> 2, MIN_READ)) {
          // Not longer than what arrives in one go: it may be followed by a long silence.
          if (!full && read < size >> 2) size = Math.max(size >> 2, MIN_READ);
          buffer = new Uint8Array(size);
        }
      }
    } catch (error) {
      reason = error instanceof Error ? error : new Error(String(error));
    }
    const closedHere = this.#closed;
    this.close();
    receiver.closed(closedHere ? null : reason);
  }

  write(chunk: Uint8Array): void {
    if (this.#closed || this.#ending || this.#broken) return;
    this.#queue.push(chunk);
    this.#buffered += chunk.length;
    if (this.#buffered > HIGH_WATER_MARK) this.#drainOwed = true;
    if (!this.#writing) this.#writeAll();
  }

  /** The next bytes for the system: a long chunk, or short ones joined. */
  #nextChunk(): Uint8Array | undefined {
    const queue = this.#queue;
    const first = queue[0];
    const second = queue[1];
    if (first === undefined || second === undefined || first.length + second.length > JOIN_LENGTH) {
      return queue.shift();
    }
    let count = 0;
    let length = 0;
    for (const chunk of queue) {
      if (length + chunk.length > JOIN_LENGTH) break;
      length += chunk.length;
      count++;
    }
    const joined = new Uint8Array(length);
    let position = 0;
    for (const chunk of queue.splice(0, count)) {
      joined.set(chunk, position);
      position += chunk.length;
    }
    return joined;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    try {
      for (let chunk = this.#nextChunk(); chunk !== undefined; chunk = this.#nextChunk()) {
        let rest = chunk;
        while (rest.length > 0) {
          const written = await this.#conn.write(rest);
          if (this.#closed) return;
          this.#buffered -= written;
          rest = rest.subarray(written);
        }
        if (this.#drainOwed && this.#buffered < LOW_WATER_MARK) {
          this.#drainOwed = false;
          this.#receiver?.drained();
        }
      }
      if (this.#ending) await this.#conn.closeWrite();
    } catch {
      // The peer takes nothing any more, but what it sent before is still read, up to the reason.
      this.#broken = true;
      this.#queue.length = 0;
      this.#buffered = 0;
      if (this.#ending) this.close();
      else if (this.#drainOwed) {
        this.#drainOwed = false;
        this.#receiver?.drained();
      }
    } finally {
      this.#writing = false;
    }
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#resume?.();
    this.#resume = null;
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    if (this.#broken) return this.close();
    this.#ending = true;
    // Reading goes on until the peer closes: closing with unread bytes would make the system throw
    // away what was just sent.
    this.resume();
    this.#lingerTimer = setTimeout(() => this.close(), LINGER_TIME);
    if (!this.#writing) this.#writeAll();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#lingerTimer);
    this.#queue.length = 0;
    this.#buffered = 0;
    this.resume();
    try {
      this.#conn.close();
    } catch {
      // Closed by the system already.
    }
  }
}
