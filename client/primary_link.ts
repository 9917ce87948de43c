/**
 * The connection to the primary master, found again whenever it is lost.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import { ConnectionClosed, type ErrorAnswer, type Handler } from "../network/handler.ts";
import { errorText } from "../network/log.ts";
import { type NodeChange, NodeTable } from "../node/node_table.ts";
import { PrimaryFinder } from "../node/primary.ts";
import { ErrorCode, NodeType } from "../protocol/enums.ts";
import type { AnswerArgsOf, ArgsOf, RequestName } from "../protocol/messages.ts";
import type { Tid } from "../protocol/ids.ts";
import { type Address, formatAddress, type Nid } from "../protocol/nodes.ts";
import { ClientClosedError, NEOStorageError, POSError, ReadOnlyError } from "./errors.ts";
import { fromAnswer } from "./answers.ts";
import type { Settings } from "./options.ts";
import { PrimaryHandler } from "./primary_handler.ts";
import { Session } from "./session.ts";
import type { View } from "./view.ts";
import { abortable } from "./waiting.ts";

/** Told about sessions. */
export interface SessionObserver {
  /** A session begins: the client has another identity for storage nodes. */
  begun(): void;
  /** A node changed. */
  nodeChanged(change: NodeChange): void;
  /** A session is over. */
  ended(session: Session): void;
}

/**
 * Keeps a session with the primary master, for ever. It looks for it again by itself, so that those
 * who only listen to invalidations learn that they missed some.
 */
export class PrimaryLink {
  readonly nodes: NodeTable = new NodeTable();
  readonly #env: Environment;
  readonly #settings: Settings;
  readonly #view: View;
  readonly #observer: SessionObserver;
  readonly #finder: PrimaryFinder;
  readonly #closing = new AbortController();
  #session: Session | null = null;
  #usable = false;
  #connecting: Promise<Session> | null = null;
  /** The id of the last session is asked again. */
  #nid: Nid | null = null;

  constructor(env: Environment, settings: Settings, view: View, observer: SessionObserver) {
    this.#env = env;
    this.#settings = settings;
    this.#view = view;
    this.#observer = observer;
    this.#finder = new PrimaryFinder({
      env,
      masters: () => this.#masters(),
      learn: (address) => void this.nodes.ensureMaster(address),
      identify: () => this.#identify(),
      accepted: (connection, answer) => this.#accepted(connection, answer),
      closed: (reason) => this.#closed(reason),
      refused: (error) => this.#fatal(error),
    });
  }

  /** The session, if there is one that can be used. */
  get session(): Session | null {
    const session = this.#session;
    return session !== null && this.#usable && session.open ? session : null;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /**
   * Waits for a session that can be used.
   *
   * @throws {ReadOnlyError} if the cluster is read-only and the client is not.
   * @throws {NEOStorageError} if the master refuses the client for good.
   * @throws {ClientClosedError} if the client is closed.
   */
  ready(signal?: AbortSignal): Promise<Session> {
    const { session } = this;
    if (session !== null) return Promise.resolve(session);
    if (this.closed) return Promise.reject(new ClientClosedError());
    return abortable(this.#connect(), signal);
  }

  /**
   * Asks the primary master. When it is lost before the answer, the next one is asked: only for
   * requests that may be repeated.
   *
   * @throws what {@linkcode ready} throws, and a NEO error for an error.
   */
  async ask<N extends RequestName>(
    name: N,
    args: ArgsOf<N>,
    signal?: AbortSignal,
  ): Promise<AnswerArgsOf<N>> {
    for (;;) {
      const { connection } = await this.ready(signal);
      try {
        return await abortable(connection.ask(name, args), signal);
      } catch (error) {
        if (!(error instanceof ConnectionClosed)) throw fromAnswer(error);
      }
    }
  }

  /** Waits until everything that the master did before is known here. */
  async sync(signal?: AbortSignal): Promise<void> {
    await this.ask("Ping", {}, signal);
  }

  close(): void {
    this.#closing.abort(new ClientClosedError());
    this.#session?.connection.close();
  }

  #connect(): Promise<Session> {
    this.#connecting ??= this.#open().finally(() => this.#connecting = null);
    return this.#connecting;
  }

  async #open(): Promise<Session> {
    for (;;) {
      const connection = await this.#finder.find(this.#closing.signal);
      const session = this.#session;
      if (session === null || session.connection !== connection) continue;
      if (await session.opened && session.open) return session;
      // Such a master may be usable later: nothing of this connection is kept.
      connection.close();
    }
  }

  #masters(): Address[] {
    const masters = new Map<string, Address>();
    for (const address of this.#settings.masters) masters.set(formatAddress(address), address);
    for (const { address } of this.nodes.list(NodeType.MASTER)) {
      if (address !== null) masters.set(formatAddress(address), address);
    }
    return [...masters.values()];
  }

  #identify(): ArgsOf<"RequestIdentification"> {
    const { name, readOnly } = this.#settings;
    return {
      type: NodeType.CLIENT,
      nid: this.#nid,
      address: null,
      cluster: name,
      idTimestamp: null,
      extra: new Map(readOnly ? [["read_only", true]] : []),
    };
  }

  #accepted(connection: Connection, answer: AnswerArgsOf<"RequestIdentification">): Handler {
    if (answer.yourNid === null) throw new Error("the master gave no id to this client");
    const session = new Session(connection, answer.yourNid, this.nodes);
    this.#session = session;
    this.#nid = answer.yourNid;
    this.nodes.beginSession();
    this.#observer.begun();
    this.#env.log.identify(this.#settings.name, session.nid);
    connection.request(
      "AskLastTransaction",
      {},
      ({ tid }) => this.#start(session, tid),
      () => connection.close(),
    );
    return new PrimaryHandler(
      session,
      this.#view,
      this.#env.log,
      (change) => this.#observer.nodeChanged(change),
    );
  }

  #start(session: Session, lastTid: Tid): void {
    this.#view.connected(lastTid);
    this.#usable = session.start();
  }

  #closed(reason: Error | null): void {
    const session = this.#session;
    this.#session = null;
    this.#usable = false;
    if (session === null) return;
    session.end();
    this.#observer.ended(session);
    if (this.closed) return;
    this.#env.log.warning(
      `primary master lost${reason === null ? "" : `: ${errorText(reason)}`}; looking for it`,
    );
    this.#connect().catch((error) => {
      if (!this.closed) this.#env.log.error(`gave up reconnecting: ${errorText(error)}`);
    });
  }

  #fatal(error: ErrorAnswer): POSError | null {
    switch (error.code) {
      case ErrorCode.READ_ONLY_ACCESS:
        return new ReadOnlyError("the cluster is read-only: connect with readOnly");
      case ErrorCode.PROTOCOL_ERROR:
        return new NEOStorageError(`the master refuses this client: ${error.message}`);
      default:
        return null;
    }
  }
}
