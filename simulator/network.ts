/**
 * The virtual network: delays, breaking streams, hosts that can't reach each other.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import type { Listener, Transport } from "../network/transport.ts";
import { type Address, formatAddress } from "../protocol/nodes.ts";
import type { VirtualClock } from "./clock.ts";
import type { Random } from "./random.ts";
import { type Medium, StreamEnd } from "./stream.ts";

/** Milliseconds between two attempts to open a stream to a host that does not answer. */
const RETRY_TIME = 1_000;
/** Milliseconds after which a system gives up. */
const CONNECT_TIME = 127_000;
/** Ports given to those who do not choose start here. */
const FIRST_PORT = 49_152;

/** How a network behaves when nothing goes wrong. */
export interface NetworkOptions {
  /** The shortest delay, in milliseconds. */
  readonly latency: number;
  /** Mean of what comes on top. */
  readonly jitter: number;
  /** Probability that what is written arrives in two pieces. */
  readonly fragmentation: number;
}

/** Who sees and may change all that passes. */
export interface Observer {
  readonly tamper: Medium["tamper"];
  readonly arrived: Medium["arrived"];
}

/** The functions of an environment that reach other hosts, as long as their process lives. */
export interface Port extends Pick<Environment, "connect" | "listen"> {
  /** The process is gone. With `power`, the whole machine is. */
  kill(power: boolean): void;
}

/** Who accepts streams at an address. */
interface Acceptor {
  readonly accept: (transport: Transport) => void;
  /** The ends of its process. */
  readonly ends: Set<StreamEnd>;
}

/** A stream that is open, at least on one side. */
interface Link {
  readonly near: StreamEnd;
  readonly far: StreamEnd;
  open: number;
}

/** A network of hosts, known by name. */
export class Network implements Medium {
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #options: NetworkOptions;
  readonly #observer: Observer;
  readonly #listeners = new Map<string, Acceptor>();
  readonly #links = new Map<number, Link>();
  /** Who owns the ends of streams. */
  readonly #owners = new WeakMap<StreamEnd, Set<StreamEnd>>();
  /** From one host to another: how many reasons there are for nothing to pass. */
  readonly #blocked = new Map<string, number>();
  readonly #down = new Set<string>();
  /** Milliseconds on top of the delays of a host. */
  readonly #slow = new Map<string, number>();
  #nextPort = FIRST_PORT;
  #nextLink = 1;

  constructor(clock: VirtualClock, random: Random, options: NetworkOptions, observer: Observer) {
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
    this.#observer = observer;
  }

  // Hosts

  /** The network as a process of a host sees it. */
  port(host: string): Port {
    const ends = new Set<StreamEnd>();
    const own = new Set<string>();
    let alive = true;
    return {
      connect: (address, signal) => {
        const from = { host, port: this.#nextPort++ };
        return this.#connect(from, address, () => alive, ends, signal);
      },
      listen: (address, accept) =>
        // What is thrown becomes a rejection.
        new Promise((resolve) => resolve(this.#listen(address, { accept, ends }, own))),
      kill: (power) => {
        alive = false;
        for (const key of own) this.#listeners.delete(key);
        for (const end of [...ends]) {
          if (power) end.unplug((parcels) => this.#random.int(0, parcels));
          else end.kill();
        }
      },
    };
  }

  /** Whether a host answers at all. */
  setPower(host: string, on: boolean): void {
    if (on) this.#down.delete(host);
    else this.#down.add(host);
    if (on) this.#deliverAll();
  }

  // Faults

  /** Nothing passes from one host to another, until the result is called. */
  block(from: string, to: string): () => void {
    const key = `${from}>${to}`;
    this.#blocked.set(key, (this.#blocked.get(key) ?? 0) + 1);
    let blocked = true;
    return () => {
      if (!blocked) return;
      blocked = false;
      const left = (this.#blocked.get(key) ?? 1) - 1;
      if (left === 0) this.#blocked.delete(key);
      else this.#blocked.set(key, left);
      this.#deliverAll();
    };
  }

  /** Breaks the open streams between two hosts; each end notices on its own. */
  cut(one: string, other: string): number {
    let count = 0;
    for (const { near, far } of [...this.#links.values()]) {
      const hosts = [near.from.host, far.from.host];
      if (!hosts.includes(one) || !hosts.includes(other)) continue;
      count++;
      for (const end of [near, far]) {
        this.#clock.after(this.#random.exponential(20), () => {
          end.reset(new Error("the network broke the connection"));
        });
      }
    }
    return count;
  }

  /** Adds a delay to all that a host sends and receives, until called with 0. */
  slow(host: string, delay: number): void {
    this.#slow.set(host, delay);
  }

  /** Descriptions of what is open. */
  *open(): Iterable<string> {
    for (const key of this.#listeners.keys()) yield `listener at ${key}`;
    for (const { near, far } of this.#links.values()) {
      yield `stream from ${formatAddress(near.from)} to ${formatAddress(far.from)}`;
    }
  }

  // What streams need

  get now(): number {
    return this.#clock.now;
  }

  after(delay: number, callback: () => void): () => void {
    return this.#clock.after(delay, callback);
  }

  delay(from: string, to: string): number {
    const slow = (this.#slow.get(from) ?? 0) + (this.#slow.get(to) ?? 0);
    const { latency, jitter } = this.#options;
    return latency + this.#random.exponential(jitter) +
      (slow > 0 ? this.#random.exponential(slow) : 0);
  }

  blocked(from: string, to: string): boolean {
    return this.#blocked.size > 0 && this.#blocked.has(`${from}>${to}`) || this.#down.has(to);
  }

  fragment(length: number): number {
    const { fragmentation } = this.#options;
    if (length < 2 || fragmentation === 0 || !this.#random.chance(fragmentation)) return length;
    return this.#random.int(1, length - 1);
  }

  tamper(from: StreamEnd, bytes: Uint8Array): Uint8Array[] {
    return this.#observer.tamper(from, bytes);
  }

  arrived(from: StreamEnd, bytes: Uint8Array): void {
    this.#observer.arrived(from, bytes);
  }

  closed(end: StreamEnd): void {
    this.#owners.get(end)?.delete(end);
    const link = this.#links.get(end.number);
    if (link !== undefined && --link.open === 0) this.#links.delete(end.number);
  }

  // Opening

  #connect(
    from: Address,
    to: Address,
    alive: () => boolean,
    ends: Set<StreamEnd>,
    signal: AbortSignal | undefined,
  ): Promise<Transport> {
    return new Promise((resolve, reject) => {
      const end = this.#clock.now + CONNECT_TIME;
      let cancel = () => {};
      const onAbort = () => {
        cancel();
        reject(signal?.reason);
      };
      const settle = () => signal?.removeEventListener("abort", onAbort);
      const refuse = (text: string) => {
        settle();
        if (alive()) reject(new Error(`connection to ${formatAddress(to)} ${text}`));
      };
      const attempt = () => {
        if (!alive()) return settle();
        const unreachable = this.blocked(from.host, to.host) || this.blocked(to.host, from.host);
        if (unreachable && this.#clock.now < end) {
          cancel = this.after(RETRY_TIME, attempt);
          return;
        }
        if (unreachable) return refuse("timed out");
        const listener = this.#listeners.get(formatAddress(to));
        if (listener === undefined) return refuse("refused");
        const near = this.#open(from, to, ends, listener);
        cancel = this.after(this.delay(to.host, from.host), () => {
          settle();
          if (alive()) resolve(near);
          else near.kill();
        });
        if (signal !== undefined) {
          const previous = cancel;
          cancel = () => {
            previous();
            near.close();
          };
        }
      };
      if (signal?.aborted) return onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
      cancel = this.after(this.delay(from.host, to.host), attempt);
    });
  }

  #open(from: Address, to: Address, ends: Set<StreamEnd>, acceptor: Acceptor): StreamEnd {
    const number = this.#nextLink++;
    const near = new StreamEnd(this, number, from, to);
    const far = new StreamEnd(this, number, to, from);
    StreamEnd.join(near, far);
    this.#links.set(number, { near, far, open: 2 });
    this.#own(near, ends);
    this.#own(far, acceptor.ends);
    acceptor.accept(far);
    return near;
  }

  #own(end: StreamEnd, ends: Set<StreamEnd>): void {
    ends.add(end);
    this.#owners.set(end, ends);
  }

  #listen(address: Address, acceptor: Acceptor, own: Set<string>): Listener {
    const real = { host: address.host, port: address.port === 0 ? this.#nextPort++ : address.port };
    const key = formatAddress(real);
    if (this.#listeners.has(key)) throw new Error(`address ${key} is already in use`);
    this.#listeners.set(key, acceptor);
    own.add(key);
    return {
      address: real,
      close: () => {
        if (this.#listeners.get(key) === acceptor) this.#listeners.delete(key);
        own.delete(key);
      },
    };
  }

  #deliverAll(): void {
    for (const { near, far } of [...this.#links.values()]) {
      near.deliver();
      far.deliver();
    }
  }
}
