/**
 * Clients that commit without pause, remember what they were told, and check it in the end.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Client, ConflictError, connect, UnknownOutcomeError } from "../../client/mod.ts";
import { hexId, type Oid, type Tid, toOid } from "../../protocol/ids.ts";

/** Objects that all clients write, so that they conflict. */
const SHARED = 4;
/** Objects that one client writes alone. */
const OWN = 6;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a client tried to commit. */
interface Attempt {
  /** Also the description of the transaction. */
  readonly label: string;
  readonly oids: readonly Oid[];
  /** `undefined` while unknown, `null` if the client was told that it failed. */
  tid: Tid | null | undefined;
}

/** What one transaction of a client writes. */
function oidsOf(client: number, transaction: number): Oid[] {
  const own = (n: number) => toOid(100 + client * OWN + n % OWN);
  // Each client at its own pace: in step, the one that begins first would always win.
  const shared = transaction + Math.floor(transaction / (client + 2));
  return [toOid(1 + shared % SHARED), own(transaction), own(transaction + 1)];
}

/** What the transaction with that label writes. */
export function oidsOfLabel(label: string): Oid[] {
  const [, client, transaction] = /^client (\d+) transaction (\d+)$/.exec(label) ?? [];
  assert(client !== undefined && transaction !== undefined, `unknown transaction '${label}'`);
  return oidsOf(Number(client), Number(transaction));
}

/** What a client writes into an object. */
export function textOf(label: string, oid: Oid): string {
  return `${label} ${hexId(oid)}`;
}

/** Clients at work on one cluster. */
export class Workload implements AsyncDisposable {
  readonly attempts: Attempt[] = [];
  /** Number of transactions that were acknowledged so far, to each client. */
  readonly acknowledgedTo: number[];
  readonly #clients: Client[];
  readonly #stop = new AbortController();
  #running: Promise<void>[] = [];
  /** Errors met while committing, by message, to tell what the clients went through. */
  readonly errors = new Map<string, number>();

  private constructor(clients: Client[]) {
    this.#clients = clients;
    this.acknowledgedTo = clients.map(() => 0);
  }

  /** Connects the clients. */
  static async open(uri: string, clients: number): Promise<Workload> {
    return new Workload(
      await Promise.all(Array.from({ length: clients }, () => connect(uri))),
    );
  }

  /** Number of transactions that were acknowledged so far. */
  get acknowledged(): number {
    return this.acknowledgedTo.reduce((sum, count) => sum + count, 0);
  }

  start(): void {
    this.#running = this.#clients.map((client, index) => this.#work(client, index));
  }

  /** Lets every client end the transaction it is at. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  async #work(client: Client, index: number): Promise<void> {
    for (let n = 0; !this.#stop.signal.aborted; n++) {
      const label = `client ${index} transaction ${n}`;
      const attempt: Attempt = { label, oids: oidsOf(index, n), tid: undefined };
      this.attempts.push(attempt);
      try {
        attempt.tid = await this.#commit(client, attempt);
        this.acknowledgedTo[index] = (this.acknowledgedTo[index] ?? 0) + 1;
      } catch (error) {
        if (!(error instanceof UnknownOutcomeError)) attempt.tid = null;
        if (error instanceof ConflictError) continue;
        const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        this.errors.set(text, (this.errors.get(text) ?? 0) + 1);
      }
    }
  }

  async #commit(client: Client, { label, oids }: Attempt): Promise<Tid> {
    await using txn = await client.begin({ description: label });
    for (const oid of oids) {
      await txn.store(oid, await serialOf(client, oid), encoder.encode(textOf(label, oid)));
    }
    return await txn.commit();
  }

  /**
   * Checks that everything acknowledged is there, that nothing else is but transactions whose outcome
   * was never told, that all are whole, and that all clients read the same.
   */
  async check(uri: string): Promise<void> {
    const byLabel = new Map(this.attempts.map((attempt) => [attempt.label, attempt]));
    const found = new Map<string, Tid>();
    const last = new Map<Oid, { label: string; tid: Tid }>();
    await using reader = await connect(uri);
    for await (const transaction of reader.iterator()) {
      const label = decoder.decode(transaction.description);
      const attempt = byLabel.get(label);
      assert(attempt !== undefined, `unknown transaction '${label}'`);
      assert(!found.has(label), `'${label}' was committed twice`);
      found.set(label, transaction.tid);
      assert.notEqual(attempt.tid, null, `'${label}' was reported as failed`);
      if (attempt.tid !== undefined) assert.equal(transaction.tid, attempt.tid, label);
      const records = new Map<Oid, string>();
      for await (const { oid, data } of transaction.records()) {
        records.set(oid, data === null ? "" : decoder.decode(data));
        last.set(oid, { label, tid: transaction.tid });
      }
      const expected = new Map(attempt.oids.map((oid) => [oid, textOf(label, oid)]));
      assert.deepEqual(records, expected, `'${label}' is not whole`);
    }
    for (const { label, tid } of this.attempts) {
      if (tid) assert(found.has(label), `'${label}' was acknowledged and is lost`);
    }
    for (const client of this.#clients) {
      await client.sync();
      for (const [oid, { label, tid }] of last) {
        const { data, serial } = await client.load(oid);
        assert.equal(serial, tid);
        assert.equal(decoder.decode(data), textOf(label, oid));
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients.map((client) => client.close()));
    await Promise.allSettled(this.#running);
  }
}

async function serialOf(client: Client, oid: Oid): Promise<Tid | null> {
  try {
    return (await client.load(oid)).serial;
  } catch (error) {
    if (error instanceof Error && error.name === "POSKeyError") return null;
    throw error;
  }
}
