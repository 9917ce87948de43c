/**
 * A client that only reads, and checks all the time that what it sees makes sense.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  type Client,
  connect,
  NEOStorageError,
  NEOStorageWrongChecksum,
  POSKeyError,
} from "../../../client/mod.ts";
import { hexId, type Oid, type Tid, ZERO_TID } from "../../../protocol/ids.ts";
import { oidsOfLabel, textOf, type Workload } from "../workload.ts";

/** Transactions whose objects are looked at together. */
const RECENT = 30;

const decoder = new TextDecoder();

/** Reads what a workload commits, one consistent state after the other. */
export class Observer implements AsyncDisposable {
  readonly #client: Client;
  readonly #workload: Workload;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** The newest serial seen of each object. */
  readonly #seen = new Map<Oid, Tid>();
  /** What was met first that must not be. */
  #wrong: unknown = null;
  /** Number of states that were read. */
  states = 0;

  private constructor(client: Client, workload: Workload) {
    this.#client = client;
    this.#workload = workload;
  }

  static async open(uri: string, workload: Workload): Promise<Observer> {
    // A small cache: most is read from storages.
    return new Observer(await connect(uri, { cacheSize: 2000 }), workload);
  }

  start(): void {
    this.#running = this.#observe();
  }

  /** @throws what was wrong. */
  check(): void {
    if (this.#wrong !== null) throw this.#wrong;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.check();
  }

  async #observe(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#look(signal);
        this.states++;
      } catch (error) {
        // There may be no storage to read from, or no master to say that a state is the last one.
        const isFailure = error instanceof NEOStorageError &&
          !(error instanceof NEOStorageWrongChecksum);
        if (!isFailure && !signal.aborted) this.#wrong ??= error;
      }
      // Mostly others are to be busy.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Reads a state, and compares it with itself, with former ones and with what was acknowledged. */
  async #look(signal: AbortSignal): Promise<void> {
    const acknowledged = this.#workload.attempts.slice(-RECENT).filter(({ tid }) => tid);
    await this.#client.sync({ signal });
    const snapshot = this.#client.snapshot();
    const state = new Map<Oid, { serial: Tid; label: string }>();
    const load = async (oid: Oid) => {
      if (state.has(oid)) return;
      try {
        const { serial, data } = await snapshot.load(oid, { signal });
        const text = decoder.decode(data);
        const label = text.slice(0, text.lastIndexOf(" "));
        assert.equal(text, textOf(label, oid), `object ${hexId(oid)} at ${hexId(serial)}`);
        state.set(oid, { serial, label });
      } catch (error) {
        if (!(error instanceof POSKeyError)) throw error;
      }
    };
    const assertSeen = async (label: string, tid: Tid, oids: readonly Oid[], why: string) => {
      for (const oid of oids) {
        await load(oid);
        const serial = state.get(oid)?.serial ?? ZERO_TID;
        assert(serial >= tid, `'${label}' is ${why}, but object ${hexId(oid)} is older`);
      }
    };
    for (const { label, tid, oids } of acknowledged) {
      if (tid) await assertSeen(label, tid, oids, "acknowledged");
    }
    for (const { serial, label } of [...state.values()]) {
      await assertSeen(label, serial, oidsOfLabel(label), "seen");
    }
    for (const [oid, { serial }] of state) {
      assert(serial >= (this.#seen.get(oid) ?? ZERO_TID), `object ${hexId(oid)} went back`);
      this.#seen.set(oid, serial);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#client.close();
    await this.#running;
  }
}
