import { type Client, MAX_TID, type Tid, type TransactionRecord, ZERO_TID } from "../client/mod.ts";
import type { Amount, TransactionSource } from "./endpoints.ts";
import { prefetchRecords } from "./prefetch.ts";

/** A cluster to copy from. */
export class NeoSource implements TransactionSource {
  /** A cluster keeps one record of an object by transaction. */
  readonly repeatsOids = false;

  /**
   * @param client is closed with the source.
   * @param signal stops what waits for the cluster.
   */
  constructor(
    private readonly client: Client,
    private readonly signal?: AbortSignal,
  ) {}

  describe(): string {
    return `cluster ${this.client.name}`;
  }

  async lastTid(): Promise<Tid> {
    await this.client.sync({ signal: this.signal });
    return this.client.lastTransaction;
  }

  transactions(from: Tid = ZERO_TID, to: Tid = MAX_TID): AsyncIterable<TransactionRecord> {
    if (from > MAX_TID) return ReadableStream.from([]);
    const stop = to < MAX_TID ? to : MAX_TID;
    return prefetchRecords(
      this.client.iterator({ start: from, stop, signal: this.signal }),
    );
  }

  /** Nobody knows without reading everything. */
  measure(): Promise<Amount | null> {
    return Promise.resolve(null);
  }

  close(): Promise<void> {
    return this.client.close();
  }
}
