/**
 * Mutual TLS over any other transport.
 *
 * Both sides must show a certificate of the configured authority. No host name is checked: nodes are
 * known by what they hold, not by where they are, and often share one certificate.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import * as tls from "node:tls";
import type { Address } from "../protocol/nodes.ts";
import { connectTcp, LINGER_TIME, listenTcp } from "./tcp.ts";
import type { SecuredStream, TlsCredentials, TlsIdentity } from "./tls_identity.ts";
import {
  HIGH_WATER_MARK,
  type Listener,
  LOW_WATER_MARK,
  type Transport,
  type TransportReceiver,
} from "./transport.ts";

export type { TlsCredentials } from "./tls_identity.ts";

/** Milliseconds for the exchange of keys and certificates: a few round trips on a slow machine. */
export const TLS_HANDSHAKE_TIME = 20_000;
/**
 * Streams whose handshake is not complete, at most; the oldest is closed for a new one, so that
 * silent peers keep neither memory nor nodes out. More than a cluster opens within a second.
 */
export const MAX_TLS_HANDSHAKES = 1000;
/** First byte of a TLS stream. Peers without TLS start with another one. */
const HANDSHAKE_RECORD = 0x16;

type ListenTransport = (address: Address, accept: (transport: Transport) => void) => Listener;

function optionsOf({ ca, cert, key }: TlsCredentials) {
  // Existing nodes speak exactly 1.2.
  return { ca, cert, key, minVersion: "TLSv1.2", rejectUnauthorized: true } as const;
}

function peerCertificate(socket: tls.TLSSocket): Uint8Array | undefined {
  return socket.getPeerCertificate().raw;
}

/**
 * Opens a TLS stream over TCP.
 *
 * @throws {Error} if it can't be opened, or if the peer has no certificate of the authority, or with
 * the signal's reason.
 */
export async function connectTls(
  identity: TlsIdentity,
  address: Address,
  signal?: AbortSignal,
): Promise<Transport> {
  return await secureTransport(identity, await connectTcp(address, signal), signal);
}

/**
 * Secures an open stream as the side that opened it. The stream is closed in case of failure.
 *
 * @throws {Error} if the handshake fails, or with the signal's reason.
 */
export function secureTransport(
  identity: TlsIdentity,
  transport: Transport,
  signal?: AbortSignal,
): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const wire = new Wire(transport, false);
    const fail = (error: unknown) => {
      settle();
      wire.destroy();
      reject(error);
    };
    const onAbort = () => fail(signal?.reason);
    const timer = setTimeout(
      () => fail(new Error("the peer did not complete the TLS handshake")),
      TLS_HANDSHAKE_TIME,
    );
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const socket = tls.connect({
      ...optionsOf(identity.credentials),
      socket: wire,
      checkServerIdentity: () => undefined,
    });
    wire.once("close", () => fail(new Error("the peer closed during the TLS handshake")));
    socket.on("error", fail);
    socket.once("secureConnect", () => {
      if (identity.isRevoked(peerCertificate(socket))) {
        return fail(new Error("the peer's certificate was revoked"));
      }
      settle();
      resolve(new TlsTransport(socket, wire, identity));
    });
  });
}

/** Why a handshake failed, in words for operators. */
function reasonOf(error: Error & { readonly code?: string }): string {
  // The TLS library keeps to itself what is wrong with a certificate.
  if (error.code !== "ECONNRESET") return `TLS: ${error.message}`;
  return "TLS: its certificate is expired or of another authority, or it left during the handshake";
}

/** How {@linkcode listenTls} listens. */
export interface ListenTlsOptions {
  /** What TLS is over, TCP by default. */
  readonly listen?: ListenTransport;
  /** Is told who is not let in, and why. */
  readonly refused?: (peer: Address | null, reason: string) => void;
}

/** Accepts TLS streams. */
export function listenTls(
  identity: TlsIdentity,
  address: Address,
  accept: (transport: Transport) => void,
  { listen = listenTcp, refused = () => {} }: ListenTlsOptions = {},
): Listener {
  const handshakes = new Set<Wire>();
  let closed = false;
  const listener = listen(address, (transport) => {
    const { remote } = transport;
    let told = false;
    const refuse = (reason: string) => {
      if (!told && !closed) refused(remote, reason);
      told = true;
    };
    const wire = new Wire(transport, true, () => refuse("it does not speak TLS"));
    handshakes.add(wire);
    const [oldest] = handshakes;
    if (handshakes.size > MAX_TLS_HANDSHAKES) oldest?.destroy();
    const timer = setTimeout(() => {
      refuse("it did not complete the TLS handshake");
      wire.destroy();
    }, TLS_HANDSHAKE_TIME);
    const settle = () => {
      clearTimeout(timer);
      handshakes.delete(wire);
    };
    wire.once("close", settle);
    // One server for each stream, because it does not tell which stream it secured. It is what
    // verifies certificates, and never listens itself.
    const server = tls.createServer({ ...optionsOf(identity.credentials), requestCert: true });
    server.once("secureConnection", (socket) => {
      if (identity.isRevoked(peerCertificate(socket))) {
        refuse("its certificate was revoked");
        wire.destroy();
        return;
      }
      settle();
      accept(new TlsTransport(socket, wire, identity));
    });
    server.on("tlsClientError", (error) => {
      refuse(reasonOf(error));
      // The alert that explains is on its way: it is given a chance.
      wire.end();
    });
    server.emit("connection", wire);
  });
  return {
    address: listener.address,
    close() {
      closed = true;
      listener.close();
      for (const wire of handshakes) wire.destroy();
    },
  };
}

/** Buffers of Node.js are not what others expect of arrays of bytes: their slices are no copies. */
function plain(chunk: Buffer): Uint8Array {
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
}

/** The encrypted side of a TLS stream. */
class Wire extends Duplex {
  readonly transport: Transport;
  readonly #notTls: () => void;
  #firstByteExpected: boolean;
  /** Continues writing, while what was written waits in the transport. */
  #written: (() => void) | null = null;

  /** @param notTls is called when a peer that is accepted speaks something else. */
  constructor(transport: Transport, accepting: boolean, notTls: () => void = () => {}) {
    super({ allowHalfOpen: true });
    this.transport = transport;
    this.#notTls = notTls;
    this.#firstByteExpected = accepting;
    // Whoever uses the stream learns from its closing; an unheard error would end the program.
    this.on("error", () => {});
    transport.start({
      received: (chunk) => this.#onReceived(chunk),
      drained: () => this.#onDrained(),
      closed: (reason) => this.#onClosed(reason),
    });
  }

  #onReceived(chunk: Uint8Array): void {
    if (this.destroyed) return;
    if (this.#firstByteExpected) {
      this.#firstByteExpected = false;
      if (chunk[0] !== HANDSHAKE_RECORD) {
        this.#notTls();
        this.destroy();
        return;
      }
    }
    this.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
  }

  #onDrained(): void {
    const written = this.#written;
    this.#written = null;
    written?.();
  }

  #onClosed(reason: Error | null): void {
    if (reason === null && !this.destroyed) this.push(null);
    else this.destroy(reason ?? undefined);
    this.#onDrained();
  }

  override _read(): void {
    // Flow is controlled by pausing the transport: TLS sockets read on while they are paused.
  }

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.transport.write(plain(chunk));
    if (this.transport.buffered > HIGH_WATER_MARK) this.#written = callback;
    else callback();
  }

  override _final(callback: () => void): void {
    this.transport.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.transport.close();
    callback(error);
  }
}

class TlsTransport implements Transport, SecuredStream {
  readonly #socket: tls.TLSSocket;
  readonly #wire: Wire;
  #receiver: TransportReceiver | null = null;
  /** Bytes that are not encrypted yet. */
  #clear = 0;
  #drainOwed = false;
  #ending = false;
  #closed = false;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #unwatch: () => void;

  constructor(socket: tls.TLSSocket, wire: Wire, identity: TlsIdentity) {
    this.#socket = socket;
    this.#unwatch = identity.watch(this);
    this.#wire = wire;
    wire.transport.pause();
    // Before the start nobody listens, and an unheard error would end the program.
    socket.on("error", (error) => this.#finish(error));
    socket.on("close", () => this.#finish(null));
    wire.on("close", () => this.#finish(null));
  }

  get remote(): Address | null {
    return this.#wire.transport.remote;
  }

  get peerCertificate(): Uint8Array | undefined {
    return peerCertificate(this.#socket);
  }

  get buffered(): number {
    return this.#closed ? 0 : this.#clear + this.#wire.transport.buffered;
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver;
    if (this.#closed) {
      // Lost between the handshake and now.
      queueMicrotask(() => receiver.closed(null));
      return;
    }
    this.#socket.on("data", (chunk: Buffer) => {
      if (!this.#closed && !this.#ending) receiver.received(plain(chunk));
    });
    this.#socket.on("end", () => this.#finish(null));
    this.#wire.transport.resume();
  }

  write(chunk: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    this.#clear += chunk.length;
    this.#socket.write(chunk, () => {
      this.#clear -= chunk.length;
      // What is encrypted is bounded by the wire, and nobody tells when that little is sent.
      if (this.#drainOwed && this.#clear < LOW_WATER_MARK) {
        this.#drainOwed = false;
        // Not from inside of `write`.
        queueMicrotask(() => this.#receiver?.drained());
      }
    });
    if (this.buffered > HIGH_WATER_MARK) this.#drainOwed = true;
  }

  pause(): void {
    if (this.#closed || this.#ending) return;
    this.#wire.transport.pause();
    this.#socket.pause();
  }

  resume(): void {
    if (this.#closed) return;
    this.#socket.resume();
    this.#wire.transport.resume();
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.resume();
    this.#lingerTimer = setTimeout(() => this.close(), LINGER_TIME);
    // The end of the secured stream, then that of the stream below.
    this.#socket.end(() => this.#wire.end());
  }

  close(): void {
    this.#finish(null);
  }

  #finish(reason: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#lingerTimer);
    this.#unwatch();
    this.#socket.destroy();
    this.#wire.destroy();
    const receiver = this.#receiver;
    if (receiver !== null) queueMicrotask(() => receiver.closed(reason));
  }
}
