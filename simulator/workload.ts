/**
 * What clients do: transactions on a few objects, all recorded.
 *
 * @module
 */

import {
  Client,
  type Conflict,
  type Oid,
  POSKeyError,
  type Tid,
  toTid,
  type Transaction,
  UnknownOutcomeError,
  ZERO_TID,
} from "../client/mod.ts";
import { checkOptions } from "../client/options.ts";
import { errorText } from "../network/log.ts";
import { type Address, formatAddress } from "../protocol/nodes.ts";
import type { Attempt, History, Outcome } from "./history.ts";
import type { Process } from "./machine.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import { CLUSTER } from "./servers.ts";
import { decodeValue, encodeValue, merge, type Value } from "./value.ts";

/** How many of the last transactions may be undone. */
const UNDOABLE = 10;
/** How many of the last transactions may be the limit of a pack. */
const PACKABLE = 50;

/** What the clients of a run share. */
export interface WorkloadContext {
  readonly plan: Plan;
  readonly history: History;
  readonly masters: readonly Address[];
  /** The objects that exist. */
  readonly oids: Oid[];
  /** Tells about something that must never happen. */
  readonly fail: (text: string) => void;
}

/** A client and its workers. */
export class SimulatedClient {
  readonly client: Client;
  readonly #name: string;
  readonly #process: Process;
  readonly #random: Random;
  readonly #context: WorkloadContext;
  readonly #workers: Promise<void>[] = [];
  /** The transactions in progress, by ttid, for the resolution of conflicts. */
  readonly #attempts = new Set<Attempt>();
  #stopping = false;
  #lastSeen: Tid = ZERO_TID;

  constructor(name: string, process: Process, random: Random, context: WorkloadContext) {
    this.#name = name;
    this.#process = process;
    this.#random = random;
    this.#context = context;
    const { cache, compress, merge } = context.plan;
    this.client = new Client(
      process.env,
      checkOptions({
        name: CLUSTER,
        masters: context.masters.map(formatAddress),
        compress,
        ...(!cache && { cacheSize: 0 }),
        ...(merge && { resolveConflict: (conflict) => this.#resolve(conflict) }),
      }),
    );
    this.client.listen({ invalidate: (tid) => this.#see(tid, "it was told about") });
  }

  /** Starts the workers. */
  start(): void {
    for (let i = 0; i < this.#context.plan.workers; i++) this.#workers.push(this.#work());
  }

  /** Makes the workers stop, and waits for them. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#workers);
  }

  /** Creates the objects. */
  async create(): Promise<void> {
    const { objects } = this.#context.plan;
    while (this.#context.oids.length < objects) await this.#createObject();
  }

  /** A transaction that has to succeed, however often it takes. */
  async prove(): Promise<void> {
    for (;;) {
      await this.client.connected();
      const outcome = await this.#transfer(1);
      if (outcome.kind === "committed") break;
      await this.#pause(200);
    }
    await this.#audit();
  }

  async #work(): Promise<void> {
    const { plan: { pause } } = this.#context;
    while (!this.#stopping) {
      await this.#pause(pause);
      try {
        await this.#act();
      } catch (error) {
        // Only reads get here: a storage failed, or an object is gone.
        if (error instanceof TypeError || error instanceof RangeError) throw error;
      }
    }
  }

  async #act(): Promise<void> {
    const random = this.#random;
    const chance = random.float();
    if (chance < 0.15) await this.#audit();
    else if (chance < 0.25) await this.#sync();
    else if (chance < 0.32) await this.#createObject();
    else if (chance < 0.42) await this.#check();
    else if (chance < 0.46) await this.#delete();
    else if (chance < 0.52) await this.#undo();
    else if (chance < 0.52 + this.#context.plan.packing) await this.#pack();
    else await this.#transfer(random.int(1, 3));
  }

  // Reading

  /** Reads several objects as of the same moment. */
  async #audit(): Promise<void> {
    const last = this.#last();
    const oids = this.#context.oids.slice(0, this.#context.plan.objects);
    if (this.#random.chance(0.3)) {
      const snapshot = this.client.at(last);
      const revisions = await Promise.all(oids.map((oid) => snapshot.load(oid)));
      for (const [i, oid] of oids.entries()) this.#record(oid, last, last, revisions[i] ?? null);
    } else for (const oid of oids) await this.#loadBefore(oid, last);
  }

  async #sync(): Promise<void> {
    const { history } = this.#context;
    const began = history.tick();
    await this.client.sync();
    history.syncs.push({ client: this.#name, began, last: this.#last() });
  }

  async #load(oid: Oid): Promise<{ serial: Tid; value: Value }> {
    const from = this.#last();
    let revision;
    try {
      revision = await this.client.load(oid);
    } catch (error) {
      if (error instanceof POSKeyError) this.#record(oid, from, this.#last(), null);
      throw error;
    }
    const { serial, data } = revision;
    this.#record(oid, from, this.#last(), { serial, data });
    return { serial, value: decodeValue(data) };
  }

  async #loadBefore(oid: Oid, last: Tid): Promise<{ serial: Tid; value: Value } | null> {
    let revision;
    try {
      revision = await this.client.loadBefore(oid, toTid(last + 1n));
    } catch (error) {
      if (error instanceof POSKeyError) this.#record(oid, last, last, null);
      throw error;
    }
    this.#record(oid, last, last, revision);
    if (revision === null) return null;
    return { serial: revision.serial, value: decodeValue(revision.data) };
  }

  #record(oid: Oid, from: Tid, to: Tid, seen: { serial: Tid; data: Uint8Array } | null): void {
    const data = seen === null ? null : new TextDecoder().decode(seen.data);
    this.#context.history.reads.push({
      client: this.#name,
      oid,
      from,
      to,
      seen: seen === null ? null : { serial: seen.serial, data },
    });
  }

  #last(): Tid {
    const { lastTransaction } = this.client;
    this.#see(lastTransaction, "it sees");
    return lastTransaction;
  }

  /** What a client sees only advances. */
  #see(tid: Tid, what: string): void {
    if (tid < this.#lastSeen) {
      this.#context.fail(`${this.#name}: ${what} ${tid} after ${this.#lastSeen}`);
    }
    if (what === "it sees") this.#lastSeen = tid;
  }

  // Writing

  /** Moves an amount around a few objects. */
  async #transfer(count: number): Promise<Outcome> {
    const oids = this.#random.sample(this.#context.oids, count + 1);
    const amount = this.#random.int(1, 9);
    return await this.#transaction(async (transaction, attempt) => {
      const snapshot = this.#random.chance(0.5) ? this.#last() : null;
      for (const [index, oid] of oids.entries()) {
        const known = snapshot === null
          ? await this.#load(oid)
          : await this.#loadBefore(oid, snapshot);
        if (known === null) continue;
        const change = index === 0 ? -amount * (oids.length - 1) : amount;
        const value = { balance: known.value.balance + change, by: [attempt.id] };
        if (this.#random.chance(0.2)) await this.#pause(this.#context.plan.pause / 4);
        this.#store(transaction, attempt, oid, known.serial, value);
      }
    });
  }

  /** Stores one object, provided that another one does not change. */
  async #check(): Promise<void> {
    const [stored, checked] = this.#random.sample(this.#context.oids, 2);
    if (stored === undefined || checked === undefined) return;
    await this.#transaction(async (transaction, attempt) => {
      const read = await this.#load(checked);
      const { serial, value } = await this.#load(stored);
      attempt.checks.set(checked, read.serial);
      transaction.checkCurrentSerial(checked, read.serial).catch(() => {});
      this.#store(transaction, attempt, stored, serial, { ...value, by: [attempt.id] });
    });
  }

  async #createObject(): Promise<void> {
    const oid = await this.client.newOid();
    const outcome = await this.#transaction((transaction, attempt) => {
      this.#store(transaction, attempt, oid, null, { balance: 0, by: [attempt.id] });
      return Promise.resolve();
    });
    if (outcome.kind === "committed") this.#context.oids.push(oid);
  }

  /** Deletes an object that is not one of the first. */
  async #delete(): Promise<void> {
    const { oids, plan: { objects } } = this.#context;
    if (oids.length <= objects) return;
    const oid = this.#random.pick(oids.slice(objects));
    const outcome = await this.#transaction(async (transaction, attempt) => {
      const { serial } = await this.#load(oid);
      attempt.writes.set(oid, { base: serial, data: null });
      await transaction.deleteObject(oid, serial);
    });
    // Others may be about to use it, and a deletion may be undone: that it is there is not certain.
    if (outcome.kind === "committed") oids.splice(oids.indexOf(oid), 1);
  }

  /** Undoes one of the last changes of objects that existed before. */
  async #undo(): Promise<void> {
    const { history: { attempts }, plan: { merge } } = this.#context;
    const undoable = attempts.slice(-UNDOABLE).flatMap(({ outcome, undone, writes }) => {
      const old = [...writes.values()].every(({ base }) => base !== ZERO_TID);
      return outcome.kind === "committed" && undone === null && old ? [outcome.tid] : [];
    });
    if (undoable.length === 0) return;
    const tid = this.#random.pick(undoable);
    await this.#transaction(async (transaction, attempt) => {
      attempt.undone = tid;
      attempt.merges = merge;
      await transaction.undo(tid);
    });
  }

  /** Forgets what is not current any more, of all objects or some, up to one of the last moments. */
  async #pack(): Promise<void> {
    const { history: { attempts }, oids } = this.#context;
    const tids = attempts.slice(-PACKABLE).flatMap(({ outcome }) =>
      outcome.kind === "committed" && outcome.tid <= this.client.lastTransaction
        ? [outcome.tid]
        : []
    );
    if (tids.length === 0 || oids.length === 0) return;
    const tid = this.#random.pick(tids);
    const some = this.#random.chance(0.3)
      ? this.#random.sample(oids, this.#random.int(1, oids.length))
      : null;
    await this.#transaction((transaction) => Promise.resolve(transaction.setPackOrder(tid, some)));
  }

  #store(
    transaction: Transaction,
    attempt: Attempt,
    oid: Oid,
    serial: Tid | null,
    value: Value,
  ): void {
    const data = encodeValue(value);
    attempt.writes.set(oid, {
      base: serial ?? ZERO_TID,
      data: new TextDecoder().decode(data),
    });
    // A failure is told by the vote too.
    transaction.store(oid, serial, data).catch(() => {});
  }

  /** Merges with what another transaction committed. */
  #resolve({ oid, committedSerial, oldData, newData, committedData }: Conflict): Uint8Array | null {
    if (oldData === null || newData === null || committedData === null) return null;
    const [old, mine, committed] = [oldData, newData, committedData].map(decodeValue);
    if (old === undefined || mine === undefined || committed === undefined) return null;
    const result = encodeValue(merge(old, committed, mine));
    for (const { id, writes } of this.#attempts) {
      if (!mine.by.includes(id)) continue;
      writes.set(oid, { base: committedSerial, data: new TextDecoder().decode(result) });
    }
    return result;
  }

  /** Begins, does something, commits, and records how it ended. */
  async #transaction(
    write: (transaction: Transaction, attempt: Attempt) => Promise<void>,
  ): Promise<Outcome> {
    const { history } = this.#context;
    const attempt = history.begin(this.#name);
    this.#attempts.add(attempt);
    let transaction: Transaction | null = null;
    let outcome: Outcome;
    try {
      transaction = await this.client.begin({ description: attempt.id });
      attempt.ttid = transaction.ttid;
      await write(transaction, attempt);
      outcome = await this.#commit(transaction);
    } catch (error) {
      await transaction?.abort();
      outcome = error instanceof UnknownOutcomeError
        ? await this.#inquire(error.ttid)
        : { kind: "failed", why: errorText(error) };
    }
    this.#attempts.delete(attempt);
    history.end(attempt, outcome);
    return outcome;
  }

  async #commit(transaction: Transaction): Promise<Outcome> {
    const random = this.#random;
    const { pause } = this.#context.plan;
    if (random.chance(0.3)) {
      await transaction.vote();
      await this.#pause(pause / 3);
      if (random.chance(0.2)) {
        await transaction.abort();
        return { kind: "failed", why: "aborted" };
      }
    }
    const interruption = new AbortController();
    const { env } = this.#process;
    const cancel = random.chance(0.05)
      ? env.setTimer(random.exponential(30), () => interruption.abort(new Error("interrupted")))
      : () => {};
    let seen: Tid | null = null;
    try {
      const tid = await transaction.commit({
        signal: interruption.signal,
        onCommitted: (tid) => seen = tid,
      });
      if (seen !== tid) this.#context.fail(`${this.#name}: committed ${tid}, was told ${seen}`);
      return { kind: "committed", tid };
    } finally {
      cancel();
    }
  }

  async #inquire(ttid: Tid): Promise<Outcome> {
    const tid = await this.client.finalTid(ttid);
    return tid === null
      ? { kind: "failed", why: "it was not committed" }
      : { kind: "committed", tid };
  }

  #pause(mean: number): Promise<void> {
    return new Promise((resolve) => {
      this.#process.env.setTimer(this.#random.exponential(mean), resolve);
    });
  }
}
