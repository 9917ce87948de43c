/**
 * Noticing peers that are dead, frozen or out of reach. Kernels wait for hours by default, which can't
 * be set from here, and answer for a process that is frozen.
 *
 * Both ends of a connection say something at least every {@linkcode PING_INTERVAL}: a `Ping`, if they
 * have nothing else to say. Silence thus tells something, but not the same of everybody: other
 * implementations only ping as clients, and may be busy with their database for minutes. So a
 * connection begins with a `Ping`, and a server node that pings is known to answer at any time.
 *
 * @module
 */

import { NodeType } from "../protocol/enums.ts";
import type { CancelTimer, Environment } from "./environment.ts";

/** Milliseconds within which each end says something. */
export const PING_INTERVAL = 2_500;
/** Milliseconds until the first `Ping`, so that the other end soon knows whom it deals with. */
export const FIRST_PING = 250;
/** Milliseconds of silence after which a peer that pings is taken for dead. */
export const PROMPT_PATIENCE = 10_000;
/** The same for masters that do not ping: they never wait for anything. */
export const MASTER_PATIENCE = 30_000;
/** The same for others that do not ping, and clients: they may compute, or wait for a database. */
export const PATIENCE = 300_000;

/** Why a connection was closed: its peer was silent. */
export class SilentPeer extends Error {
  override readonly name = "SilentPeer";
}

/** What is watched. */
export interface WatchedPeer {
  readonly type: NodeType;
  /** Grows with everything that is received. */
  received(): number;
  /** Grows with everything that is sent. */
  sent(): number;
  /** Whether nothing is read at the moment, so that silence means nothing. */
  deaf(): boolean;
  /** Whether it is not read because it lets much wait: it may be busy with what it was sent. */
  congested(): boolean;
  /** Sends a `Ping`, and calls back when it is answered. */
  ping(onPong: () => void): void;
  /** The peer is taken for dead. */
  dead(): void;
}

/** Watches a peer, and gives it signs of life, until cancelled. */
export class LifeSigns {
  readonly #env: Environment;
  readonly #peer: WatchedPeer;
  /** Whether the peer has pinged. */
  #pings = false;
  /** Milliseconds since the peer was heard; time during which this node was frozen does not count. */
  #silence = 0;
  #unanswered = 0;
  #received: number;
  /** `null` before the first look, which pings whatever was sent. */
  #sent: number | null = null;
  #cancelTimer: CancelTimer;

  constructor(env: Environment, peer: WatchedPeer) {
    this.#env = env;
    this.#peer = peer;
    this.#received = peer.received();
    this.#cancelTimer = this.#wait(FIRST_PING);
  }

  cancel(): void {
    this.#cancelTimer();
  }

  /** The peer has sent a `Ping`. */
  pinged(): void {
    this.#pings = true;
  }

  #wait(time: number): CancelTimer {
    return this.#env.setTimer(time, () => this.#look(time));
  }

  #look(passed: number): void {
    const peer = this.#peer;
    const received = peer.received();
    const silent = received === this.#received && !peer.deaf();
    this.#received = received;
    this.#silence = silent ? this.#silence + passed : 0;
    if (this.#silence >= this.#patience) return peer.dead();
    const saidNothing = this.#sent === null || this.#sent === peer.sent();
    if (saidNothing || (silent && this.#unanswered === 0)) {
      this.#unanswered++;
      peer.ping(() => this.#unanswered--);
    }
    this.#sent = peer.sent();
    this.#cancelTimer = this.#wait(PING_INTERVAL);
  }

  get #patience(): number {
    const { type } = this.#peer;
    // The program of a client is somebody else's, and may keep its thread busy.
    if (type === NodeType.CLIENT || this.#peer.congested()) return PATIENCE;
    if (this.#pings) return PROMPT_PATIENCE;
    return type === NodeType.MASTER ? MASTER_PATIENCE : PATIENCE;
  }
}
