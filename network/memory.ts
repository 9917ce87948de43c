/**
 * Streams between nodes of one process, without sockets. With a virtual clock, everything that
 * happens is determined by it.
 *
 * @module
 */

import { type Address, formatAddress } from "../protocol/nodes.ts";
import type { CancelTimer, Environment } from "./environment.ts";
import {
  HIGH_WATER_MARK,
  type Listener,
  LOW_WATER_MARK,
  type Transport,
  type TransportReceiver,
} from "./transport.ts";

/**
 * Bytes of one direction that the network itself holds, like the buffers of a system. Longer writes
 * are cut into pieces of this length.
 */
export const NETWORK_CAPACITY = 1 << 16;
/** Milliseconds given to the peer to take what is queued when a transport ends. */
const LINGER_TIME = 5_000;
/** Ports given to those who do not choose start here. */
const FIRST_PORT = 49_152;

/** What the network needs of an environment. */
export type Clock = Pick<Environment, "monotonic" | "setTimer">;

/** How a {@linkcode MemoryNetwork} behaves. All is perfect by default. */
export interface MemoryNetworkOptions {
  /**
   * Milliseconds that bytes take from one address to another; the order of a stream is kept. With 0,
   * they arrive in a microtask: only nodes with a virtual clock may talk endlessly like that.
   */
  readonly delay?: (from: Address, to: Address) => number;
  /** Whether a new stream may be opened between two addresses. */
  readonly reachable?: (from: Address, to: Address) => boolean;
}

/** An open stream between two nodes, as seen by the one who breaks networks. */
export interface Link {
  readonly from: Address;
  readonly to: Address;
  /** Breaks the stream: both ends notice, and what was on its way is lost. */
  cut(): void;
  /** Nothing arrives any more, and nobody notices. */
  freeze(): void;
  /** What waited continues. */
  thaw(): void;
}

/** The two functions of an {@linkcode Environment} that reach other nodes. */
export type MemoryHost = Pick<Environment, "connect" | "listen">;

/**
 * A network of hosts.
 *
 * @example
 * ```ts
 * import { MemoryNetwork } from "./memory.ts";
 * import { realEnvironment } from "./real.ts";
 * import { silentLog } from "./log.ts";
 * const real = realEnvironment({ log: silentLog });
 * const network = new MemoryNetwork(real);
 * const environment = { ...real, ...network.host("10.0.0.1") };
 * const listener = await environment.listen({ host: "10.0.0.1", port: 0 }, () => {});
 * listener.close();
 * ```
 */
export class MemoryNetwork {
  readonly #clock: Clock;
  readonly #options: MemoryNetworkOptions;
  readonly #listeners = new Map<string, (transport: Transport) => void>();
  readonly #links = new Set<Link>();
  #nextPort = FIRST_PORT;

  constructor(clock: Clock, options: MemoryNetworkOptions = {}) {
    this.#clock = clock;
    this.#options = options;
  }

  /** The open streams, in the order they were opened. */
  get links(): ReadonlySet<Link> {
    return this.#links;
  }

  /** The functions of the environment of a node whose streams come from an address. */
  host(host: string): MemoryHost {
    return {
      connect: (address, signal) => {
        return this.#connect({ host, port: this.#nextPort++ }, address, signal);
      },
      // What is thrown becomes a rejection, as for real networks.
      listen: (address, accept) => new Promise((done) => done(this.#listen(address, accept))),
    };
  }

  #connect(from: Address, to: Address, signal?: AbortSignal): Promise<Transport> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = after(this.#clock, this.#delay(from, to), () => {
        signal?.removeEventListener("abort", onAbort);
        const accept = this.#listeners.get(formatAddress(to));
        if (accept === undefined || this.#options.reachable?.(from, to) === false) {
          reject(new Error(`connection to ${formatAddress(to)} refused`));
          return;
        }
        const [near, far] = this.#open(from, to);
        accept(far);
        resolve(near);
      });
      if (signal?.aborted) onAbort();
      else signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #listen(address: Address, accept: (transport: Transport) => void): Listener {
    const { host } = address;
    const real = { host, port: address.port === 0 ? this.#nextPort++ : address.port };
    const key = formatAddress(real);
    if (this.#listeners.has(key)) throw new Error(`address ${key} is already in use`);
    this.#listeners.set(key, accept);
    let closed = false;
    return {
      address: real,
      close: () => {
        if (!closed) this.#listeners.delete(key);
        closed = true;
      },
    };
  }

  #open(from: Address, to: Address): [Transport, Transport] {
    const clock = this.#clock;
    const near = new MemoryTransport(clock, to, () => this.#delay(from, to));
    const far = new MemoryTransport(clock, from, () => this.#delay(to, from));
    near.peer = far;
    far.peer = near;
    const link: Link = {
      from,
      to,
      cut() {
        const reason = new Error("the network broke the connection");
        near.cut(reason);
        far.cut(reason);
      },
      freeze() {
        near.frozen = far.frozen = true;
      },
      thaw() {
        near.frozen = far.frozen = false;
        near.deliver();
        far.deliver();
      },
    };
    this.#links.add(link);
    let open = 2;
    near.onClosed = far.onClosed = () => {
      if (--open === 0) this.#links.delete(link);
    };
    return [near, far];
  }

  #delay(from: Address, to: Address): number {
    return this.#options.delay?.(from, to) ?? 0;
  }
}

function after(clock: Clock, delay: number, callback: () => void): CancelTimer {
  if (delay > 0) return clock.setTimer(delay, callback);
  let cancelled = false;
  queueMicrotask(() => {
    if (!cancelled) callback();
  });
  return () => {
    cancelled = true;
  };
}

/** A piece of a stream on its way; `null` is its end. */
interface Parcel {
  readonly bytes: Uint8Array | null;
  /** On the clock of the network. */
  readonly arrival: number;
}

/** One end of a stream, with what it sent and the other end has not received. */
class MemoryTransport implements Transport {
  readonly remote: Address;
  peer: MemoryTransport | null = null;
  frozen = false;
  onClosed: () => void = () => {};
  readonly #clock: Clock;
  readonly #delay: () => number;
  #receiver: TransportReceiver | null = null;
  /** Written, and not yet taken by the network. */
  readonly #queue: Uint8Array[] = [];
  #buffered = 0;
  /** Taken by the network, in the order of arrival. */
  readonly #parcels: Parcel[] = [];
  #inTransit = 0;
  #lastArrival = 0;
  #cancelDelivery: CancelTimer | null = null;
  #cancelLinger: CancelTimer | null = null;
  #drainOwed = false;
  #paused = false;
  /** Whether more may be written. */
  #ending = false;
  #endSent = false;
  #closed = false;

  constructor(clock: Clock, remote: Address, delay: () => number) {
    this.#clock = clock;
    this.remote = remote;
    this.#delay = delay;
  }

  get buffered(): number {
    return this.#buffered;
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver;
    if (this.#closed) queueMicrotask(() => receiver.closed(null));
    else this.peer?.deliver();
  }

  write(chunk: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    this.#queue.push(chunk);
    this.#buffered += chunk.length;
    this.#send();
    if (this.#buffered > HIGH_WATER_MARK) this.#drainOwed = true;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.peer?.deliver();
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.#cancelLinger = this.#clock.setTimer(LINGER_TIME, () => this.close());
    this.resume();
    this.#send();
  }

  close(): void {
    if (this.#closed) return;
    // What the network took already still arrives, and then the end.
    this.#queue.length = 0;
    this.#buffered = 0;
    this.#sendEnd();
    this.#finish(null);
  }

  /** Loses everything, on this side. */
  cut(reason: Error): void {
    this.#queue.length = 0;
    this.#buffered = 0;
    this.#parcels.length = 0;
    this.#cancelDelivery?.();
    this.#cancelDelivery = null;
    this.#endSent = true;
    this.#finish(reason);
  }

  #finish(reason: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLinger?.();
    const receiver = this.#receiver;
    if (receiver !== null) queueMicrotask(() => receiver.closed(reason));
    this.onClosed();
    // Nobody will receive what the peer sends.
    this.peer?.deliver();
  }

  /** Gives the network as much as it takes. */
  #send(): void {
    for (let chunk = this.#queue[0]; chunk !== undefined; chunk = this.#queue[0]) {
      const room = NETWORK_CAPACITY - this.#inTransit;
      // Never in tiny pieces: the room they leave would be filled with pieces as tiny, for ever.
      if (chunk.length > room && room < NETWORK_CAPACITY / 2) break;
      const length = Math.min(chunk.length, room);
      if (length === chunk.length) this.#queue.shift();
      else this.#queue[0] = chunk.subarray(length);
      this.#buffered -= length;
      this.#inTransit += length;
      // A copy, because nodes share no memory.
      this.#ship(chunk.slice(0, length));
    }
    if (this.#ending && this.#queue.length === 0) this.#sendEnd();
  }

  #sendEnd(): void {
    if (this.#endSent) return;
    this.#endSent = true;
    this.#ship(null);
  }

  #ship(bytes: Uint8Array | null): void {
    this.#lastArrival = Math.max(this.#lastArrival, this.#clock.monotonic() + this.#delay());
    this.#parcels.push({ bytes, arrival: this.#lastArrival });
    this.deliver();
  }

  /** Makes what was sent arrive, when it is time and as long as the other end reads. */
  deliver(): void {
    const parcel = this.#parcels[0];
    if (parcel === undefined || this.#cancelDelivery !== null || !this.#peerReads()) return;
    const delay = parcel.arrival - this.#clock.monotonic();
    this.#cancelDelivery = after(this.#clock, delay, () => {
      this.#cancelDelivery = null;
      if (!this.#peerReads()) return;
      this.#parcels.shift();
      this.peer?.arrive(parcel.bytes);
      this.#inTransit -= parcel.bytes?.length ?? 0;
      this.#send();
      this.deliver();
      if (this.#drainOwed && this.#buffered < LOW_WATER_MARK) {
        this.#drainOwed = false;
        if (!this.#closed) this.#receiver?.drained();
      }
    });
  }

  /** Whether the other end takes what arrives: an end that is closed does, and ignores it. */
  #peerReads(): boolean {
    const { peer } = this;
    return !this.frozen && peer !== null &&
      (peer.#closed || (peer.#receiver !== null && !peer.#paused));
  }

  arrive(bytes: Uint8Array | null): void {
    if (this.#closed) return;
    if (bytes === null) this.close();
    else if (!this.#ending) this.#receiver?.received(bytes);
  }
}
