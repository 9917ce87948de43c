/**
 * What a node counts while it works: plain numbers, which whoever wants to know reads.
 *
 * @module
 */

import type { MessageCodec } from "../protocol/codec.ts";
import { ErrorCode } from "../protocol/enums.ts";
import type { SendAnswer } from "./incoming.ts";

/** Upper bounds of the buckets of histograms, in seconds; the last bucket has none. */
export const BOUNDS: readonly number[] = [
  ...[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025],
  ...[0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
];

/** How long things took. */
export class Histogram {
  /** How many there were in each bucket, not counting those in the buckets before. */
  readonly counts: Float64Array = new Float64Array(BOUNDS.length + 1);
  count = 0;
  /** Seconds of all together. */
  sum = 0;

  add(seconds: number): void {
    let bucket = 0;
    while (bucket < BOUNDS.length && seconds > (BOUNDS[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.count++;
    this.sum += seconds;
  }
}

/** Counts of all connections of a node. */
export class NetworkCounters {
  /** Connections that are open. */
  connections = 0;
  bytesReceived = 0;
  bytesSent = 0;
  messagesReceived = 0;
  /** How long it took to answer the requests of peers, by name of message. */
  readonly requests: Map<string, Histogram> = new Map();
  /** How many requests were answered by an error, by name of message and error. */
  readonly errors: Map<string, number> = new Map();
  readonly #monotonic: () => number;

  /** @param monotonic milliseconds since some fixed moment. */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Measures the time from now on to the answer of a request. */
  measure(request: MessageCodec, send: SendAnswer): SendAnswer {
    const start = this.#monotonic();
    return (codec, id, args) => {
      if (codec.name === "Error" && args.code !== ErrorCode.ACK) {
        const key = `${request.name} ${ErrorCode[args.code as ErrorCode] ?? "?"}`;
        this.errors.set(key, (this.errors.get(key) ?? 0) + 1);
      } else this.#histogram(request.name).add((this.#monotonic() - start) / 1000);
      send(codec, id, args);
    };
  }

  #histogram(name: string): Histogram {
    let histogram = this.requests.get(name);
    if (histogram === undefined) this.requests.set(name, histogram = new Histogram());
    return histogram;
  }
}
