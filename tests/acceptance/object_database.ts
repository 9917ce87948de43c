/** Objects in memory that follow a client, as those of ZODB do. */

import type { Client, Oid, Snapshot, Tid, TransactionOptions } from "../../client/mod.ts";
import { bytes, text } from "./operations.ts";

interface Loaded {
  readonly value: string;
  readonly serial: Tid;
}

/** The connections of a process that share a client. */
export class ObjectDatabase implements Disposable {
  readonly #connections = new Set<Connection>();
  readonly #listening: Disposable;

  constructor(readonly client: Client) {
    this.#listening = client.listen({
      invalidate: (_, oids) => this.#tell((connection) => connection.invalidate(oids)),
      reset: () => this.#tell((connection) => connection.reset()),
    });
  }

  open(): Connection {
    const connection = new Connection(this.client, (oids) => {
      this.#tell((other) => other.invalidate(oids));
    });
    this.#connections.add(connection);
    return connection;
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }

  #tell(tell: (connection: Connection) => void): void {
    for (const connection of this.#connections) tell(connection);
  }
}

/**
 * Objects as they are at one point of the history, chosen by {@linkcode begin}. They are loaded once,
 * and again only when they were changed.
 */
export class Connection {
  readonly #client: Client;
  readonly #committed: (oids: readonly Oid[]) => void;
  readonly #objects = new Map<Oid, Loaded>();
  readonly #changed = new Map<Oid, string>();
  readonly #readCurrent = new Set<Oid>();
  /** Changed later than the snapshot; `null` if anything may be. */
  #invalid: Set<Oid> | null = new Set();
  #snapshot: Snapshot;

  constructor(client: Client, committed: (oids: readonly Oid[]) => void) {
    this.#client = client;
    this.#committed = committed;
    this.#snapshot = client.snapshot();
  }

  invalidate(oids: readonly Oid[]): void {
    for (const oid of oids) this.#invalid?.add(oid);
  }

  reset(): void {
    this.#invalid = null;
  }

  /** Goes to the present; what was not committed is forgotten. */
  async begin(): Promise<void> {
    await this.#client.sync();
    this.poll();
  }

  /** Goes to what the client knows already. */
  poll(): void {
    this.#changed.clear();
    this.#readCurrent.clear();
    this.#snapshot = this.#client.snapshot();
    if (this.#invalid === null) this.#objects.clear();
    else for (const oid of this.#invalid) this.#objects.delete(oid);
    this.#invalid = new Set();
  }

  /** Loads an object again when it is needed. */
  forget(oid: Oid): void {
    this.#objects.delete(oid);
  }

  async load(oid: Oid): Promise<string> {
    const changed = this.#changed.get(oid);
    if (changed !== undefined) return changed;
    let loaded = this.#objects.get(oid);
    if (loaded === undefined) {
      const { data, serial } = await this.#snapshot.load(oid);
      this.#objects.set(oid, loaded = { value: text(data), serial });
    }
    return loaded.value;
  }

  set(oid: Oid, value: string): void {
    this.#changed.set(oid, value);
  }

  /** The commit fails if somebody changes an object that was only read. */
  readCurrent(oid: Oid): void {
    this.#readCurrent.add(oid);
  }

  async commit(options: TransactionOptions = {}): Promise<Tid> {
    await using transaction = await this.#client.begin(options);
    for (const [oid, value] of this.#changed) {
      await transaction.store(oid, this.#objects.get(oid)?.serial ?? null, bytes(value));
    }
    for (const oid of this.#readCurrent) {
      const loaded = this.#objects.get(oid);
      if (loaded !== undefined && !this.#changed.has(oid)) {
        await transaction.checkCurrentSerial(oid, loaded.serial);
      }
    }
    const oids = [...this.#changed.keys()];
    const tid = await transaction.commit({ onCommitted: () => this.#committed(oids) });
    this.poll();
    return tid;
  }
}
