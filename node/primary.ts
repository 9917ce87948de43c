/**
 * Finding the primary master, from any other node.
 *
 * @module
 */

import { Connection } from "../network/connection.ts";
import type { Environment } from "../network/environment.ts";
import { ConnectionClosed, ErrorAnswer, type Handler, type Handlers } from "../network/handler.ts";
import { ConnectionLimiter, FIRST_RETRY_DELAY } from "../network/limiter.ts";
import { SilentPeer } from "../network/life_signs.ts";
import { errorText } from "../network/log.ts";
import type { Transport } from "../network/transport.ts";
import { ErrorCode, NodeType } from "../protocol/enums.ts";
import type { AnswerArgsOf, ArgsOf } from "../protocol/messages.ts";
import { type Address, formatAddress, nodeName, sameAddress } from "../protocol/nodes.ts";

/**
 * Milliseconds a master has to answer: another one may be the primary while this one hangs. Each time
 * it does not, it is given twice as long the next time, because it may be the primary and slow.
 */
const MIN_PATIENCE = 3_000;
const MAX_PATIENCE = 60_000;
/** Masters that others may make a node remember: they are not all to be believed. */
const MAX_MASTERS = 1000;

/** What a node does with the primary master it looks for. */
export interface PrimarySearch {
  readonly env: Environment;
  /** Addresses of the known masters, in the order to try them. Read again for each attempt. */
  masters(): readonly Address[];
  /** A peer told about this master. */
  learn(master: Address): void;
  /** How the node presents itself. */
  identify(): ArgsOf<"RequestIdentification">;
  /**
   * The primary accepted. Called before any message that follows is handled; returns what handles
   * them.
   *
   * @throws {Error} to refuse that master: the search goes on.
   */
  accepted(connection: Connection, answer: AnswerArgsOf<"RequestIdentification">): Handler;
  /** An accepted connection was lost. */
  closed(reason: Error | null): void;
  /** A master refused. Returns what the search is to throw, or `null` to try again. */
  refused?(error: ErrorAnswer): Error | null;
}

type Outcome =
  | { readonly connection: Connection }
  | { readonly error: Error }
  | { readonly redirect: Address | null };

/** Looks for the primary master; keeps what must not be forgotten from one search to the next. */
export class PrimaryFinder {
  readonly #search: PrimarySearch;
  readonly #limiter: ConnectionLimiter;
  #next = 0;
  /** When the last primary accepted, on the monotonic clock. */
  #acceptedAt: number | null = null;
  /** Where the primary is believed to be. */
  #hint: Address | null = null;
  /** Milliseconds that masters have to answer which did not at first. */
  readonly #patience = new Map<string, number>();
  /** Until when masters are avoided that did not answer, on the monotonic clock. */
  readonly #avoided = new Map<string, number>();
  /** The last refusal logged for each master, to say each only once. */
  readonly #told = new Map<string, string>();

  constructor(search: PrimarySearch) {
    this.#search = search;
    this.#limiter = new ConnectionLimiter(search.env, FIRST_RETRY_DELAY);
  }

  /**
   * Tries the known masters one after the other until one accepts, for ever.
   *
   * @throws {Error} what `refused` returned, or the signal's reason.
   */
  async find(signal: AbortSignal): Promise<Connection> {
    const { env } = this.#search;
    if (this.#acceptedAt !== null) this.#limiter.restart(this.#acceptedAt);
    this.#acceptedAt = null;
    for (;;) {
      signal.throwIfAborted();
      const master = this.#choose();
      await this.#limiter.turn(master, signal);
      const outcome = await this.#try(master, signal);
      if ("connection" in outcome) {
        this.#told.clear();
        this.#avoided.clear();
        this.#hint = master;
        this.#acceptedAt = env.monotonic();
        return outcome.connection;
      }
      if ("redirect" in outcome) {
        // Whoever names a silent one has not noticed yet.
        const { redirect } = outcome;
        this.#hint = redirect !== null && this.#avoidance(redirect) > 0 ? null : redirect;
        continue;
      }
      const { error } = outcome;
      if (error instanceof ErrorAnswer) this.#limiter.postpone(master);
      if (signal.aborted) throw signal.reason;
      const final = error instanceof ErrorAnswer ? this.#search.refused?.(error) ?? null : null;
      if (final !== null) throw final;
      const text = errorText(error);
      const key = formatAddress(master);
      if (this.#told.get(key) === text) continue;
      this.#told.set(key, text);
      const waiting = error instanceof ErrorAnswer && error.code === ErrorCode.NOT_READY;
      if (error instanceof ErrorAnswer && !waiting) {
        env.log.warning(`master ${key} refuses this node: ${text}; trying again`);
      } else env.log.info(`no primary master at ${key}: ${text}; trying again`);
    }
  }

  /**
   * The master to try next: the one that is believed to be primary, else the next of the list. One that
   * was tried a moment ago comes after those that can be tried at once, one that is silent even later.
   */
  #choose(): Address {
    const masters = this.#search.masters();
    const first = this.#next++ % Math.max(1, masters.length);
    const order = [...masters.slice(first), ...masters.slice(0, first)];
    if (this.#hint !== null) order.unshift(this.#hint);
    this.#hint = null;
    const [master] = order
      .map((address) => ({
        address,
        wait: Math.max(this.#limiter.wait(address), this.#avoidance(address)),
      }))
      .sort((a, b) => a.wait - b.wait);
    if (master === undefined) throw new Error("the address of no master is known");
    return master.address;
  }

  /** Milliseconds during which a master is not to be asked if there are others. */
  #avoidance(master: Address): number {
    const until = this.#avoided.get(formatAddress(master)) ?? 0;
    return Math.max(0, until - this.#search.env.monotonic());
  }

  /** A master was silent: it is left alone for as long as it was given. */
  #avoid(master: Address, time: number): void {
    this.#avoided.set(formatAddress(master), this.#search.env.monotonic() + time);
  }

  #learn(masters: readonly Address[]): void {
    const room = Math.max(0, MAX_MASTERS - this.#search.masters().length);
    for (const address of masters.slice(0, room)) this.#search.learn(address);
  }

  async #try(master: Address, signal: AbortSignal): Promise<Outcome> {
    const { env } = this.#search;
    const key = formatAddress(master);
    const patience = this.#patience.get(key) ?? MIN_PATIENCE;
    const silence = new AbortController();
    const cancelTimer = env.setTimer(patience, () => {
      this.#patience.set(key, Math.min(2 * patience, MAX_PATIENCE));
      this.#avoid(master, patience);
      silence.abort(new Error("it does not answer"));
    });
    try {
      const outcome = await this.#identify(master, AbortSignal.any([signal, silence.signal]));
      if (!silence.signal.aborted) this.#patience.delete(key);
      return outcome;
    } finally {
      cancelTimer();
    }
  }

  async #identify(master: Address, signal: AbortSignal): Promise<Outcome> {
    const { env } = this.#search;
    let transport: Transport;
    try {
      transport = await env.connect(master, signal);
    } catch (error) {
      return { error: error instanceof Error ? error : new Error(String(error)) };
    }
    return await new Promise<Outcome>((resolve) => {
      let accepted = false;
      const handler: Handlers<"NotPrimaryMaster"> = {
        notPrimaryMaster: ({ primary, masters }) => {
          this.#learn(masters);
          const redirect = primary === null ? null : masters[primary] ?? null;
          resolve({ redirect: sameAddress(redirect, master) ? null : redirect });
          connection.close();
        },
      };
      const onAbort = () => {
        resolve({ error: signal.reason });
        connection.close();
      };
      const answered = () => signal.removeEventListener("abort", onAbort);
      const connection: Connection = new Connection(env, transport, {
        connecting: true,
        handler,
        onClosed: (reason) => {
          answered();
          if (accepted && reason instanceof SilentPeer) this.#avoid(master, MIN_PATIENCE);
          if (accepted) this.#search.closed(reason);
          else resolve({ error: new ConnectionClosed("connection lost", { cause: reason }) });
        },
      });
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) onAbort();
      connection.request(
        "RequestIdentification",
        this.#search.identify(),
        (answer) => {
          answered();
          try {
            if (answer.type !== NodeType.MASTER || answer.nid === null) {
              throw new Error(`${formatAddress(master)} is not a master`);
            }
            connection.identified(nodeName(answer.nid), NodeType.MASTER);
            connection.handler = this.#search.accepted(connection, answer);
            accepted = true;
            resolve({ connection });
          } catch (error) {
            resolve({ error: error instanceof Error ? error : new Error(String(error)) });
            connection.close();
          }
        },
        (error) => {
          resolve({ error });
          connection.close();
        },
      );
    });
  }
}
