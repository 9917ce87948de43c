/**
 * A connection between two nodes: handshake, framing, requests and answers.
 *
 * @module
 */

import {
  answerCode,
  bodyOf,
  codecOf,
  decodeHead,
  decodeMessage,
  HANDSHAKE,
  type Message,
  type MessageCodec,
} from "../protocol/codec.ts";
import { ErrorCode, type NodeType } from "../protocol/enums.ts";
import { ProtocolError } from "../protocol/errors.ts";
import type {
  AnswerArgsOf,
  ArgsOf,
  CommandName,
  NotificationName,
  RequestName,
  SentName,
} from "../protocol/messages.ts";
import { formatAddress } from "../protocol/nodes.ts";
import { MAX_MESSAGE, MAX_UNIDENTIFIED_MESSAGE, MessageSplitter } from "../protocol/splitter.ts";
import type { NetworkCounters } from "./counters.ts";
import type { Environment } from "./environment.ts";
import { ConnectionClosed, ErrorAnswer, type Handler, Refusal } from "./handler.ts";
import { type Args, Incoming, type SendAnswer } from "./incoming.ts";
import { LifeSigns, SilentPeer } from "./life_signs.ts";
import { errorText } from "./log.ts";
import { Outbox } from "./outbox.ts";
import { PendingRequests } from "./pending_requests.ts";
import { HIGH_WATER_MARK, type Transport, type TransportReceiver } from "./transport.ts";

const enum State {
  OPEN,
  /** What is queued is still sent, what arrives is dropped. */
  ABORTED,
  CLOSED,
}

/** Options of a {@linkcode Connection}. */
export interface ConnectionOptions {
  /** Whether this end opened the connection. */
  readonly connecting: boolean;
  /** Receives the messages; can be replaced later. */
  readonly handler: Handler;
  /** Called once, when the connection is gone and everything received before was handled. */
  readonly onClosed?: (reason: Error | null) => void;
  /** Called when the node knows its peer. */
  readonly onIdentified?: () => void;
  /** Name of the peer in logs. */
  readonly peerName?: string;
  /** Id of the first message sent that is no answer, 0 by default. */
  readonly firstId?: number;
}

/**
 * One end of a connection, from its opening on.
 *
 * Messages are handled one by one in the order of arrival, answers included, which is why the order
 * guarantees of the protocol hold in callbacks of {@linkcode request} and not after an `await` of
 * {@linkcode ask}, where messages that followed the answer may have been handled already.
 *
 * A peer that does not read what it asked for is not read any more (accepting end only: the other
 * end always reads, so that two nodes never wait for each other).
 */
export class Connection {
  /** Whether this end opened the connection. */
  readonly connecting: boolean;
  /** Name of the peer in logs. */
  peerName: string;
  /** Called each time the peer has taken enough of what waited to be sent: see `full`, `congested`. */
  onDrained: () => void = () => {};
  readonly #env: Environment;
  readonly #transport: Transport;
  readonly #splitter = new MessageSplitter();
  readonly #outbox: Outbox;
  readonly #pending: PendingRequests;
  readonly #onClosed: (reason: Error | null) => void;
  readonly #onIdentified: () => void;
  readonly #counters: NetworkCounters | null;
  #handler: Handler;
  #state = State.OPEN;
  #handshake = 0;
  /** Reasons not to read: this node asked for it, or the output queue is long. */
  #paused = 0;
  #congested = false;
  #processing = false;
  #receivedChunks = 0;
  #lifeSigns: LifeSigns | null = null;

  constructor(env: Environment, transport: Transport, options: ConnectionOptions) {
    this.#env = env;
    this.#transport = transport;
    this.connecting = options.connecting;
    this.#handler = options.handler;
    this.#onClosed = options.onClosed ?? (() => {});
    this.#onIdentified = options.onIdentified ?? (() => {});
    this.peerName = options.peerName ?? "None";
    this.#pending = new PendingRequests(options.firstId ?? 0);
    this.#counters = env.counters ?? null;
    if (this.#counters !== null) this.#counters.connections++;
    this.#outbox = new Outbox(env, transport, {
      toString: () => this.toString(),
      overtaken: () => this.#onOvertaken(),
      overflowing: () => {
        this.#env.log.warning(`${this} does not read: ${this.buffered} bytes are waiting, closing`);
        this.close();
      },
    });
    this.#outbox.raw(HANDSHAKE);
    const receiver: TransportReceiver = {
      received: (chunk) => this.#onReceived(chunk),
      drained: () => this.#onDrained(),
      closed: (reason) => this.#onTransportClosed(reason),
    };
    transport.start(receiver);
  }

  /** Address of the other end of the stream, as text. */
  get remote(): string {
    const { remote } = this.#transport;
    return remote === null ? "?" : formatAddress(remote);
  }

  /** Name and address of the peer, for logs. */
  toString(): string {
    return `${this.peerName} (${this.remote})`;
  }

  /** Whether messages can still be sent. */
  get open(): boolean {
    return this.#state === State.OPEN;
  }

  /** Number of requests that were not answered yet by the peer. */
  get pendingRequests(): number {
    return this.#pending.size;
  }

  /** Whether anything was received after the handshake. */
  get received(): boolean {
    return this.#receivedChunks > 0;
  }

  /** Bytes waiting to be sent. */
  get buffered(): number {
    return this.#outbox.buffered;
  }

  /** Whether so much waits to be sent that more should only be added after `onDrained`. */
  get full(): boolean {
    return this.#transport.buffered > HIGH_WATER_MARK;
  }

  /**
   * Whether the peer lets so much wait that it is not read any more (accepting end only). Work for it
   * should wait until `onDrained`.
   */
  get congested(): boolean {
    return this.#congested;
  }

  /** Who receives the messages from now on. */
  get handler(): Handler {
    return this.#handler;
  }

  set handler(handler: Handler) {
    this.#handler = handler;
  }

  /**
   * The peer is known: long messages are accepted from it, and its loss will be noticed.
   *
   * @param type what kind of node it is, which tells how long it may be silent.
   */
  identified(peerName: string, type: NodeType): void {
    this.peerName = peerName;
    this.#splitter.limit = MAX_MESSAGE;
    if (this.#lifeSigns === null && this.#state === State.OPEN) {
      this.#lifeSigns = new LifeSigns(this.#env, {
        type,
        // A peer that is not read because it lets much wait shows that it lives by taking it.
        received: () => this.#receivedChunks + (this.#congested ? this.#outbox.taken : 0),
        sent: () => this.#outbox.messages,
        deaf: () => this.#paused > (this.#congested ? 1 : 0),
        congested: () => this.#congested,
        ping: (onPong) => this.request("Ping", {}, onPong, () => {}),
        dead: () => {
          this.#env.log.warning(`${this} gives no sign of life, closing`);
          this.#transport.close();
          this.#finish(new SilentPeer("it gave no sign of life"));
        },
      });
    }
    this.#onIdentified();
  }

  // Sending

  /**
   * Sends a request; the callbacks are called at the place of the answer among the messages received.
   * On a closed connection `onError` is called at once.
   *
   * @returns the id of the request, which `push` of the peer repeats; -1 on a closed connection.
   */
  request<N extends RequestName>(
    name: N,
    args: ArgsOf<N>,
    onAnswer: (args: AnswerArgsOf<N>) => void,
    onError: (error: ErrorAnswer | ConnectionClosed) => void,
  ): number {
    return this.#ask(codecOf(name), args, onAnswer as (args: Args) => void, onError);
  }

  /**
   * Sends a request and waits for the answer.
   *
   * @throws {ErrorAnswer} (a rejection) if the peer answers with an error.
   * @throws {ConnectionClosed} (a rejection) if the connection is lost before the answer.
   */
  ask<N extends RequestName>(name: N, args: ArgsOf<N>): Promise<AnswerArgsOf<N>> {
    return new Promise((resolve, reject) => this.request(name, args, resolve, reject));
  }

  /**
   * Sends a command and waits for its success, with the text of the answer.
   *
   * @throws {ErrorAnswer} (a rejection) if it is refused.
   * @throws {ConnectionClosed} (a rejection) if the connection is lost before the answer.
   */
  command<N extends CommandName>(name: N, args: ArgsOf<N>): Promise<string> {
    return new Promise((resolve, reject) => this.sendCommand(name, args, resolve, reject));
  }

  /** Like {@linkcode command}, with callbacks at the place of the answer among what is received. */
  sendCommand<N extends CommandName>(
    name: N,
    args: ArgsOf<N>,
    onAck: (message: string) => void,
    onError: (error: ErrorAnswer | ConnectionClosed) => void,
  ): void {
    this.#ask(
      codecOf(name),
      args,
      () => {},
      (error) => {
        if (error instanceof ErrorAnswer && error.code === ErrorCode.ACK) onAck(error.message);
        else onError(error);
      },
    );
  }

  /** Sends a message without waiting for anything. Ignored on a closed connection. */
  notify<N extends SentName>(name: N, args: ArgsOf<N>): void {
    if (this.#state === State.OPEN) this.#outbox.send(codecOf(name), this.#pending.takeId(), args);
  }

  /** Like {@linkcode notify}, with arguments that `encodeBody` has encoded for several peers. */
  notifyEncoded(name: NotificationName, body: Uint8Array): void {
    if (this.#state !== State.OPEN) return;
    this.#outbox.sendEncoded(codecOf(name), this.#pending.takeId(), body);
  }

  /** Sends one of the two notifications that carry the id of the request they serve, batched. */
  push<N extends "AddTransaction" | "AddObject">(id: number, name: N, args: ArgsOf<N>): void {
    if (this.#state !== State.OPEN) return;
    this.#outbox.batch(codecOf(name), id, args);
  }

  #ask(
    codec: MessageCodec,
    args: Args,
    onAnswer: (args: Args) => void,
    onError: (error: ErrorAnswer | ConnectionClosed) => void,
  ): number {
    if (this.#state !== State.OPEN) {
      onError(new ConnectionClosed(`${this} is not connected`));
      return -1;
    }
    const id = this.#pending.takeId();
    this.#outbox.send(codec, id, args);
    this.#pending.add(id, { expected: answerCode(codec), onAnswer, onError });
    return id;
  }

  readonly #sendAnswer: SendAnswer = (codec, id, args) => {
    if (this.#state === State.OPEN) this.#outbox.send(codec, id, args);
  };

  #error(id: number, code: ErrorCode, message: string): void {
    this.#sendAnswer(codecOf("Error"), id, { code, message });
  }

  /** Whoever does not read answers is not asked for more. */
  #onOvertaken(): void {
    if (this.connecting || this.#congested) return;
    this.#congested = true;
    this.pause();
  }

  // Receiving

  /** Stops handling messages, until as many calls of `resume`. */
  pause(): void {
    if (this.#paused++ === 0) this.#transport.pause();
  }

  resume(): void {
    if (--this.#paused > 0 || this.#state === State.CLOSED) return;
    this.#transport.resume();
    // Not inside of the handler that resumes.
    queueMicrotask(() => this.#process(false));
  }

  #onDrained(): void {
    if (this.#congested) {
      this.#congested = false;
      this.resume();
    }
    this.onDrained();
  }

  #onReceived(chunk: Uint8Array): void {
    if (this.#state !== State.OPEN) return;
    if (this.#counters !== null) this.#counters.bytesReceived += chunk.length;
    let rest = chunk;
    while (this.#handshake < HANDSHAKE.length && rest.length > 0) {
      if (rest[0] !== HANDSHAKE[this.#handshake]) return this.#refuseHandshake();
      this.#handshake++;
      rest = rest.subarray(1);
    }
    if (rest.length === 0) return;
    this.#receivedChunks++;
    this.#splitter.push(rest);
    this.#process(false);
  }

  #refuseHandshake(): void {
    const { log } = this.#env;
    if (this.#handshake === HANDSHAKE.length - 1) {
      log.warning(`${this} speaks another version of the protocol`);
    } else log.debug(`${this} does not speak the protocol`);
    this.close();
  }

  /** Handles the messages that are complete; all of them at the end of the stream. */
  #process(ended: boolean): void {
    if (this.#processing) return;
    this.#processing = true;
    try {
      while (this.#state !== State.ABORTED && (this.#paused === 0 || ended)) {
        const bytes = this.#splitter.next();
        if (bytes === null) break;
        this.#handleBytes(bytes);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#env.log.warning(`${this} sent garbage: ${error.message}`);
      this.close();
    } finally {
      this.#processing = false;
    }
  }

  #handleBytes(bytes: Uint8Array): void {
    // What nobody accepts is not worth decoding, which takes many times its length in memory.
    if (bytes.length > MAX_UNIDENTIFIED_MESSAGE && !this.#accepts(bytes)) return;
    let message: Message;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // An unknown code is garbage and throws again; bad arguments deserve an explanation.
      const { id, codec } = decodeHead(bytes);
      this.#violation(id, codec, error.message);
      return;
    }
    const { id, codec, args } = message;
    if (this.#counters !== null) this.#counters.messagesReceived++;
    this.#env.log.packet?.({
      sent: false,
      id,
      code: codec.code,
      peer: `${this}`,
      body: bodyOf(bytes),
    });
    // Closed by the reaction to an earlier message of the same chunk.
    if (this.#state === State.CLOSED && codec.onClosed === "drop") return;
    if (codec.kind === "answer") this.#handleAnswer(id, codec, args);
    else this.#handleSent(id, codec, args);
  }

  /** Whether a message can be handled; if not, it has been refused. */
  #accepts(bytes: Uint8Array): boolean {
    const { id, codec } = decodeHead(bytes);
    if (codec.kind === "answer") {
      if (codec.name === "Error" || this.#pending.expected(id) === codec.code) return true;
    } else if (typeof Reflect.get(this.#handler, codec.method) === "function") return true;
    if (this.#state === State.OPEN) this.#violation(id, codec, "unexpected message");
    return false;
  }

  #handleAnswer(id: number, codec: MessageCodec, args: Args): void {
    if (codec.name === "Error") {
      const error = new ErrorAnswer(args.code as ErrorCode, args.message as string);
      const pending = this.#pending.take(id);
      if (pending !== undefined) this.#guard(id, codec, () => pending.onError(error));
      else if (error.code !== ErrorCode.ACK) {
        this.#env.log.warning(`${this} complains: ${ErrorCode[error.code]} ${error.message}`);
      }
    } else if (this.#pending.expected(id) === codec.code) {
      const pending = this.#pending.take(id);
      this.#guard(id, codec, () => pending?.onAnswer(args));
    } else if (this.#state === State.OPEN) this.#violation(id, codec, "unexpected answer");
  }

  #handleSent(id: number, codec: MessageCodec, args: Args): void {
    if (codec.name === "Ping") this.#lifeSigns?.pinged();
    const method: unknown = Reflect.get(this.#handler, codec.method);
    if (typeof method !== "function") {
      if (codec.name === "Ping") return this.#sendAnswer(codecOf("Pong"), id, {});
      // Not for strangers, who could wear out disks with it.
      const known = this.connecting || this.#lifeSigns !== null;
      if (codec.name === "FlushLog" && known) this.#env.log.flush();
      else if (this.#state === State.OPEN) this.#violation(id, codec, "unexpected message");
      return;
    }
    const counted = codec.kind === "notification" ? null : this.#counters;
    const send = counted?.measure(codec, this.#sendAnswer) ?? this.#sendAnswer;
    const from = new Incoming(this, id, codec, send);
    this.#guard(id, codec, () => Reflect.apply(method, this.#handler, [args, from]));
  }

  /** A failure while handling a message never goes further than its connection. */
  #guard(id: number, codec: MessageCodec, handle: () => unknown): void {
    try {
      const result = handle();
      if (result instanceof Promise) {
        result.catch((error) => this.#handleFailure(id, codec, error));
      }
    } catch (error) {
      this.#handleFailure(id, codec, error);
    }
  }

  #handleFailure(id: number, codec: MessageCodec, error: unknown): void {
    if (error instanceof ConnectionClosed && this.#state !== State.OPEN) return;
    if (error instanceof ProtocolError) return this.#violation(id, codec, error.message);
    if (error instanceof Refusal) {
      if (error.code === ErrorCode.PROTOCOL_ERROR) return this.#violation(id, codec, error.message);
      this.#error(id, error.code, error.message);
      if (error.code === ErrorCode.NOT_READY) this.abort();
      return;
    }
    const stack = error instanceof Error && error.stack !== undefined ? error.stack : String(error);
    this.#env.log.error(`${codec.name} of ${this} failed: ${stack}`);
    this.#error(id, ErrorCode.PROTOCOL_ERROR, "internal error");
    this.abort();
  }

  #violation(id: number, codec: MessageCodec, text: string): void {
    this.#env.log.warning(`${this}: ${codec.name}: ${text}`);
    this.#error(id, ErrorCode.PROTOCOL_ERROR, `${codec.name}: ${text}`);
    this.abort();
  }

  // Closing

  /** Stops reading, sends what is queued, then closes. */
  abort(): void {
    if (this.#state !== State.OPEN) return;
    this.#outbox.flush();
    // Closed by the flush if the peer does not read.
    if ((this.#state as State) !== State.OPEN) return;
    this.#state = State.ABORTED;
    this.#transport.end();
  }

  /** Closes at once. What waits for answers fails before this returns. */
  close(): void {
    if (this.#state === State.CLOSED) return;
    this.#transport.close();
    this.#finish(null);
  }

  #onTransportClosed(reason: Error | null): void {
    if (this.#state === State.CLOSED) return;
    if (this.#state === State.OPEN) this.#process(true);
    this.#finish(reason);
  }

  #finish(reason: Error | null): void {
    // A handler of the last messages may have closed.
    if (this.#state === State.CLOSED) return;
    this.#state = State.CLOSED;
    if (this.#counters !== null) this.#counters.connections--;
    this.#lifeSigns?.cancel();
    this.#outbox.close();
    const text = reason === null ? "" : `: ${errorText(reason)}`;
    const error = new ConnectionClosed(`connection to ${this} was lost${text}`);
    for (const { onError } of this.#pending.takeAll()) this.#isolate(() => onError(error));
    this.#isolate(() => this.#onClosed(reason));
  }

  #isolate(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      const stack = error instanceof Error && error.stack !== undefined ? error.stack : `${error}`;
      this.#env.log.error(`handling the loss of ${this} failed: ${stack}`);
    }
  }
}
