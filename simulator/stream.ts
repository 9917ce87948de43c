/**
 * The two ends of a stream over the virtual network.
 *
 * @module
 */

import type { CancelTimer } from "../network/environment.ts";
import {
  HIGH_WATER_MARK,
  LOW_WATER_MARK,
  type Transport,
  type TransportReceiver,
} from "../network/transport.ts";
import type { Address } from "../protocol/nodes.ts";

/** Bytes of one direction that the network itself holds. */
const CAPACITY = 1 << 16;
/** Milliseconds given to the peer to take what is queued when a stream ends. */
const LINGER_TIME = 5_000;

/** What a stream needs of the network around it. */
export interface Medium {
  readonly now: number;
  after(delay: number, callback: () => void): CancelTimer;
  /** Milliseconds that the next bytes take from one host to another. */
  delay(from: string, to: string): number;
  /** Whether nothing gets from one host to another at the moment. */
  blocked(from: string, to: string): boolean;
  /** Where to cut what is written, its length for nowhere. */
  fragment(length: number): number;
  /** What is written may be changed on its way. */
  tamper(from: StreamEnd, bytes: Uint8Array): Uint8Array[];
  /** Bytes have arrived. */
  arrived(from: StreamEnd, bytes: Uint8Array): void;
  /** An end is closed. */
  closed(end: StreamEnd): void;
}

/** A piece of a stream on its way; `null` is its end. */
interface Parcel {
  readonly bytes: Uint8Array | null;
  readonly arrival: number;
}

/** One end of a stream, with what it sent and the other end has not received. */
export class StreamEnd implements Transport {
  readonly #medium: Medium;
  #peer: StreamEnd | null = null;
  #receiver: TransportReceiver | null = null;
  #parcels: Parcel[] = [];
  #queued = 0;
  #lastArrival = 0;
  #cancelDelivery: CancelTimer | null = null;
  #cancelLinger: CancelTimer | null = null;
  #drainOwed = false;
  #paused = false;
  #ending = false;
  #closed = false;
  /** The process is gone; what arrives finds nobody. */
  #dead = false;

  /**
   * @param number of the stream, for those who watch.
   * @param from address of this end.
   */
  constructor(
    medium: Medium,
    readonly number: number,
    readonly from: Address,
    readonly remote: Address,
  ) {
    this.#medium = medium;
  }

  /** Makes two ends a stream. */
  static join(one: StreamEnd, other: StreamEnd): void {
    one.#peer = other;
    other.#peer = one;
  }

  get buffered(): number {
    return Math.max(0, this.#queued - CAPACITY);
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver;
    if (this.#closed) queueMicrotask(() => receiver.closed(null));
    else this.#peer?.deliver();
  }

  write(chunk: Uint8Array): void {
    if (this.#closed || this.#ending || this.#dead) return;
    // A copy, because nodes share no memory.
    for (const bytes of this.#medium.tamper(this, chunk.slice())) {
      const cut = this.#medium.fragment(bytes.length);
      this.#ship(bytes.subarray(0, cut));
      if (cut < bytes.length) this.#ship(bytes.subarray(cut));
    }
    if (this.buffered > HIGH_WATER_MARK) this.#drainOwed = true;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#peer?.deliver();
  }

  end(): void {
    if (this.#closed || this.#ending || this.#dead) return;
    this.#ending = true;
    this.#cancelLinger = this.#medium.after(LINGER_TIME, () => this.close());
    this.#ship(null);
    this.resume();
  }

  close(): void {
    if (this.#closed || this.#dead) return;
    if (!this.#ending) this.#ship(null);
    this.#finish(null);
  }

  // What happens to it

  /** The stream breaks on this side; what it sent and did not arrive is lost. */
  reset(reason: Error): void {
    if (this.#closed) return;
    this.#drop();
    this.#finish(reason);
  }

  /** The process is killed: its system still sends what it was given, and then the end. */
  kill(): void {
    if (this.#closed || this.#dead) return;
    if (!this.#ending) this.#ship(null);
    this.#die();
  }

  /** The machine has no power: only the first parcels that were sent are still on their way. */
  unplug(arriving: (parcels: number) => number): void {
    if (this.#closed || this.#dead) return;
    this.#parcels.length = arriving(this.#parcels.length);
    this.#die();
  }

  /** Tries again to make what was sent arrive. */
  deliver(): void {
    const parcel = this.#parcels[0];
    if (parcel === undefined || this.#cancelDelivery !== null || !this.#peerReads()) return;
    this.#cancelDelivery = this.#medium.after(parcel.arrival - this.#medium.now, () => {
      this.#cancelDelivery = null;
      if (!this.#peerReads()) return;
      this.#parcels.shift();
      this.#queued -= parcel.bytes?.length ?? 0;
      if (parcel.bytes !== null) this.#medium.arrived(this, parcel.bytes);
      const peer = this.#peer;
      if (peer !== null) peer.#arrive(parcel.bytes);
      this.deliver();
      if (this.#drainOwed && this.buffered < LOW_WATER_MARK) {
        this.#drainOwed = false;
        if (!this.#closed && !this.#dead) this.#receiver?.drained();
      }
    });
  }

  #die(): void {
    this.#dead = true;
    this.#receiver = null;
    this.#cancelLinger?.();
    this.#medium.closed(this);
    // What the peer sends finds nobody.
    this.#peer?.deliver();
  }

  #ship(bytes: Uint8Array | null): void {
    const { now } = this.#medium;
    const delay = this.#medium.delay(this.from.host, this.remote.host);
    this.#lastArrival = Math.max(this.#lastArrival, now + delay);
    this.#parcels.push({ bytes, arrival: this.#lastArrival });
    this.#queued += bytes?.length ?? 0;
    this.deliver();
  }

  #drop(): void {
    this.#parcels = [];
    this.#queued = 0;
    this.#cancelDelivery?.();
    this.#cancelDelivery = null;
  }

  #finish(reason: Error | null): void {
    this.#closed = true;
    this.#cancelLinger?.();
    const receiver = this.#receiver;
    if (receiver !== null && !this.#dead) queueMicrotask(() => receiver.closed(reason));
    if (!this.#dead) this.#medium.closed(this);
    this.#peer?.deliver();
  }

  #peerReads(): boolean {
    const peer = this.#peer;
    if (peer === null || this.#medium.blocked(this.from.host, this.remote.host)) return false;
    return peer.#closed || peer.#dead || peer.#ending || (peer.#receiver !== null && !peer.#paused);
  }

  #arrive(bytes: Uint8Array | null): void {
    if (this.#dead) this.#answerReset();
    else if (this.#closed) return;
    else if (bytes === null) this.close();
    else if (!this.#ending) this.#receiver?.received(bytes);
  }

  /** The system of a machine that has restarted knows nothing of the stream, and says so. */
  #answerReset(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { from, remote } = this;
    this.#drop();
    this.#medium.after(this.#medium.delay(from.host, remote.host), () => {
      this.#peer?.reset(new Error("connection reset by peer"));
    });
  }
}
