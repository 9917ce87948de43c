/**
 * The sending half of a connection: how messages are encoded, and when they leave.
 *
 * @module
 */

import {
  type MessageCodec,
  writeArguments,
  writeEncoded,
  writeMessage,
} from "../protocol/codec.ts";
import { Output } from "../protocol/output.ts";
import { MAX_MESSAGE } from "../protocol/splitter.ts";
import type { Environment } from "./environment.ts";
import type { Args } from "./incoming.ts";
import { HIGH_WATER_MARK, type Transport } from "./transport.ts";

/** A peer that lets this many bytes wait is disconnected. Any two messages fit. */
export const MAX_BUFFERED = 2 * MAX_MESSAGE;
/** What is sent in batches leaves when this many bytes are waiting, or with the rest. */
const BATCH_LENGTH = 1 << 16;
/** From this length on, what was sent in one go leaves before its end: the peer has work meanwhile. */
const EARLY_LENGTH = 1 << 13;

/** Whose messages they are. */
export interface Sender {
  /** Name and address of the peer, for logs. */
  toString(): string;
  /** So much waits that the peer should not be given more work. May be called again and again. */
  overtaken(): void;
  /** The peer does not read. */
  overflowing(): void;
}

/**
 * Messages on their way to the transport.
 *
 * Short messages sent in one go leave in one go. The others are given to the transport at once, so that
 * congestion is noticed: one chunk of what was received may hold thousands of requests for long answers.
 */
export class Outbox {
  readonly #env: Environment;
  readonly #transport: Transport;
  readonly #sender: Sender;
  readonly #defer: (callback: () => void) => void;
  readonly #output = new Output();
  #flushScheduled = false;
  #closed = false;
  #messages = 0;
  /** Bytes given to the transport. */
  #given = 0;

  constructor(env: Environment, transport: Transport, sender: Sender) {
    this.#env = env;
    this.#transport = transport;
    this.#sender = sender;
    this.#defer = env.defer ?? queueMicrotask;
  }

  /** Number of messages sent so far. */
  get messages(): number {
    return this.#messages;
  }

  /** Bytes that the transport got rid of. */
  get taken(): number {
    return this.#given - this.#transport.buffered;
  }

  /** Bytes waiting to be sent. */
  get buffered(): number {
    return this.#transport.buffered + this.#output.length;
  }

  /** Sends bytes that are no message. */
  raw(bytes: Uint8Array): void {
    this.#output.raw(bytes);
    this.#scheduleFlush();
  }

  send(codec: MessageCodec, id: number, args: Args): void {
    this.#write(codec, id, args);
    this.#scheduleFlush();
  }

  /** Sends a message that more will follow, or something else. */
  batch(codec: MessageCodec, id: number, args: Args): void {
    this.#write(codec, id, args);
    if (this.#output.length > BATCH_LENGTH) this.#scheduleFlush();
  }

  /** Sends a message whose arguments are encoded already. */
  sendEncoded(codec: MessageCodec, id: number, body: Uint8Array): void {
    this.#writeEncoded(codec, id, body);
    this.#scheduleFlush();
  }

  /** Encodes once, whether there is a log or not. */
  #write(codec: MessageCodec, id: number, args: Args): void {
    if (this.#env.log.packet === null) {
      this.#messages++;
      return writeMessage(this.#output, codec, id, args);
    }
    const encoded = new Output();
    writeArguments(encoded, codec, args);
    this.#writeEncoded(codec, id, encoded.takeBytes());
  }

  #writeEncoded(codec: MessageCodec, id: number, body: Uint8Array): void {
    this.#messages++;
    const peer = `${this.#sender}`;
    this.#env.log.packet?.({ sent: true, id, code: codec.code, peer, body });
    writeEncoded(this.#output, codec, id, body);
  }

  #scheduleFlush(): void {
    if (this.#output.length > EARLY_LENGTH) this.#writeOut();
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#defer(this.#onFlush);
  }

  readonly #onFlush = (): void => {
    this.#flushScheduled = false;
    this.flush();
  };

  /** Gives everything to the transport. */
  flush(): void {
    this.#writeOut();
    if (!this.#closed && this.#transport.buffered > MAX_BUFFERED) this.#sender.overflowing();
  }

  #writeOut(): void {
    if (this.#closed || this.#output.length === 0) return;
    const { counters } = this.#env;
    if (counters !== undefined) counters.bytesSent += this.#output.length;
    this.#given += this.#output.length;
    for (const chunk of this.#output.take()) this.#transport.write(chunk);
    if (this.#transport.buffered > HIGH_WATER_MARK) this.#sender.overtaken();
  }

  /** Nothing leaves any more. */
  close(): void {
    this.#closed = true;
    this.#output.take();
  }
}
