/**
 * A connection that a master opens to another one.
 *
 * @module
 */

import { Connection } from "../network/connection.ts";
import type { CancelTimer, Environment } from "../network/environment.ts";
import { ErrorAnswer, type Handler, type Handlers } from "../network/handler.ts";
import { errorText } from "../network/log.ts";
import { NodeType } from "../protocol/enums.ts";
import type { AnswerArgsOf, ArgsOf } from "../protocol/messages.ts";
import { type Address, formatAddress, type Nid, nodeName, nodeTypeOf } from "../protocol/nodes.ts";

/** Milliseconds that a master has to answer. Those that work do it at once. */
const ANSWER_TIME = 5_000;

/** Ids of a primary that accepted, and the one it gave. */
export interface Acceptance {
  readonly nid: Nid;
  readonly yourNid: Nid;
}

/** Told what becomes of a link. Each call may close it. */
export interface LinkObserver {
  /** The other master is a primary and accepts this one; returns what handles its messages. */
  accepted(link: MasterLink, acceptance: Acceptance): Handler;
  /** The other one is a secondary. */
  redirected(link: MasterLink, args: ArgsOf<"NotPrimaryMaster">): void;
  /** It can't be reached, refuses, does not answer, or was lost. Not called after `close`. */
  lost(link: MasterLink, reason: string): void;
}

/** Connects to another master and introduces itself. */
export class MasterLink {
  readonly #env: Environment;
  readonly #connecting = new AbortController();
  readonly #cancelTimer: CancelTimer;
  #connection: Connection | null = null;
  #over = false;

  /** @param observer may be replaced as long as the link is not over. */
  constructor(
    env: Environment,
    readonly address: Address,
    request: ArgsOf<"RequestIdentification">,
    public observer: LinkObserver,
  ) {
    this.#env = env;
    this.#cancelTimer = env.setTimer(ANSWER_TIME, () => this.#lose("it does not answer"));
    this.#open(request);
  }

  /** Whether nothing will happen any more. */
  get over(): boolean {
    return this.#over;
  }

  /** The open connection, `null` if there is none. */
  get connection(): Connection | null {
    return this.#over ? null : this.#connection;
  }

  /** Closes it, without a word to the observer. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#connecting.abort(new Error("not needed any more"));
    this.#connection?.close();
  }

  #lose(reason: string): void {
    if (this.#over) return;
    this.close();
    this.observer.lost(this, reason);
  }

  async #open(request: ArgsOf<"RequestIdentification">): Promise<void> {
    let transport;
    try {
      transport = await this.#env.connect(this.address, this.#connecting.signal);
    } catch (error) {
      return this.#lose(errorText(error));
    }
    if (this.#over) return transport.close();
    const handler: Handlers<"NotPrimaryMaster"> = {
      notPrimaryMaster: (args) => {
        if (!this.#over) this.observer.redirected(this, args);
      },
    };
    const connection: Connection = new Connection(this.#env, transport, {
      connecting: true,
      handler,
      peerName: formatAddress(this.address),
      onClosed: (reason) => this.#lose(reason === null ? "disconnected" : errorText(reason)),
    });
    this.#connection = connection;
    connection.request(
      "RequestIdentification",
      request,
      (answer) => this.#answered(connection, answer),
      (error) => {
        // Otherwise it is lost, or redirects and then closes.
        if (error instanceof ErrorAnswer) this.#lose(error.message);
      },
    );
  }

  #answered(connection: Connection, answer: AnswerArgsOf<"RequestIdentification">): void {
    if (this.#over) return;
    const { type, nid, yourNid } = answer;
    if (type !== NodeType.MASTER || !isMaster(nid) || !isMaster(yourNid)) {
      return this.#lose("it accepted, but not as a master accepts a master");
    }
    this.#cancelTimer();
    connection.identified(nodeName(nid), NodeType.MASTER);
    connection.handler = this.observer.accepted(this, { nid, yourNid });
  }
}

function isMaster(nid: Nid | null): nid is Nid {
  return nid !== null && nodeTypeOf(nid) === NodeType.MASTER;
}
