/**
 * A small HTTP server: one request for each connection, and limits on all that a peer may take, so that
 * nobody who can reach it does any harm to the node.
 *
 * @module
 */

import { listenTcp } from "../network/tcp.ts";
import type { Listener, Transport } from "../network/transport.ts";
import type { Address } from "../protocol/nodes.ts";

/** Connections that are open at the same time; the oldest is closed for a new one. */
export const MAX_HTTP_CONNECTIONS = 32;
/** Milliseconds for the whole of a request and its answer. */
export const HTTP_TIME = 10_000;
/** Bytes of a request with its headers. */
export const MAX_HTTP_REQUEST = 8 << 10;

/** What is asked. */
export interface HttpRequest {
  readonly method: string;
  /** Without what follows a question mark. */
  readonly path: string;
}

/** What is answered. */
export interface HttpResponse {
  readonly status: number;
  /** Media type of the body. */
  readonly type: string;
  readonly body: string;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** A text. */
export function plainText(status: number, text: string): HttpResponse {
  return { status, type: "text/plain; charset=utf-8", body: `${text}\n` };
}

/**
 * Listens to an address. Only GET and HEAD are passed on.
 *
 * @throws {Error} if it can't be listened to.
 */
export function listenHttp(
  address: Address,
  answer: (request: HttpRequest) => HttpResponse,
): Listener {
  const open = new Set<Exchange>();
  const listener = listenTcp(address, (transport) => {
    const exchange: Exchange = new Exchange(transport, answer, () => open.delete(exchange));
    open.add(exchange);
    const [oldest] = open;
    if (open.size > MAX_HTTP_CONNECTIONS) oldest?.close();
  });
  return {
    address: listener.address,
    close() {
      listener.close();
      for (const exchange of [...open]) exchange.close();
    },
  };
}

/** One request and its answer. */
class Exchange {
  readonly #transport: Transport;
  readonly #answer: (request: HttpRequest) => HttpResponse;
  readonly #timer: ReturnType<typeof setTimeout>;
  #head = "";
  #answered = false;

  constructor(
    transport: Transport,
    answer: (request: HttpRequest) => HttpResponse,
    onClosed: () => void,
  ) {
    this.#transport = transport;
    this.#answer = answer;
    this.#timer = setTimeout(() => transport.close(), HTTP_TIME);
    transport.start({
      received: (chunk) => this.#onReceived(chunk),
      drained: () => {},
      closed: () => {
        clearTimeout(this.#timer);
        onClosed();
      },
    });
  }

  close(): void {
    this.#transport.close();
  }

  #onReceived(chunk: Uint8Array): void {
    if (this.#answered) return;
    // Only ASCII matters here.
    this.#head += String.fromCharCode(...chunk.subarray(0, MAX_HTTP_REQUEST));
    if (/\r?\n\r?\n/.test(this.#head)) this.#reply();
    else if (this.#head.length >= MAX_HTTP_REQUEST) this.#send(plainText(431, "too long"), true);
  }

  #reply(): void {
    const [, method = "", target = ""] = /^([A-Z]+) (\S+) HTTP\/1\.\d\r?\n/.exec(this.#head) ?? [];
    if (target === "") return this.#send(plainText(400, "this is no HTTP request"), true);
    if (method !== "GET" && method !== "HEAD") {
      return this.#send(plainText(405, "there are GET and HEAD"), true);
    }
    let response;
    try {
      response = this.#answer({ method, path: target.split("?")[0] ?? target });
    } catch (error) {
      response = plainText(500, error instanceof Error ? error.message : String(error));
    }
    this.#send(response, method === "GET");
  }

  #send({ status, type, body }: HttpResponse, withBody: boolean): void {
    this.#answered = true;
    const content = new TextEncoder().encode(body);
    const head = `HTTP/1.1 ${status} ${REASONS[status] ?? "Other"}\r\ncontent-type: ${type}\r\n` +
      `content-length: ${content.length}\r\ncache-control: no-store\r\n` +
      (status === 405 ? "allow: GET, HEAD\r\n" : "") + "connection: close\r\n\r\n";
    this.#transport.write(new TextEncoder().encode(head));
    if (withBody) this.#transport.write(content);
    this.#transport.end();
  }
}
