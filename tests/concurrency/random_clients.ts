/**
 * Clients that do random things with the same objects, and remember what they were told.
 *
 * @module
 */

import {
  type Client,
  ConflictError,
  type ConflictResolver,
  NEOUndoPackError,
  type Oid,
  POSKeyError,
  type Snapshot,
  type Tid,
  toOid,
  type Transaction,
  UndoError,
  ZERO_TID,
} from "../../client/mod.ts";
import type { Committed, Effect, ReadValue, StoredValue, Value } from "./history_checker.ts";

/** A seeded source of random numbers, so that a failure can be repeated more or less. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to 1, not included. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ t >>> 15, t | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("there is nothing to choose from");
    return item;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encode(value: number | string): Uint8Array {
  return encoder.encode(typeof value === "number" ? `#${value}` : value);
}

export function decode(data: Uint8Array | null): Value {
  if (data === null) return null;
  const text = decoder.decode(data);
  return text.startsWith("#") ? Number(text.slice(1)) : text;
}

/** Counters add up; registers can't be merged. */
export const addUp: ConflictResolver = ({ oldData, newData, committedData }) => {
  const [old, own, committed] = [oldData, newData, committedData].map(decode);
  if (typeof own !== "number" || typeof old === "string" || typeof committed === "string") {
    return null;
  }
  return encode((committed ?? 0) + own - (old ?? 0));
};

/** How many objects and what clients do with them. */
export interface WorkOptions {
  readonly clients: readonly Client[];
  readonly objects: number;
  /** Transactions that all the clients try together. */
  readonly transactions: number;
  readonly random: Random;
  /** Order packs now and then. */
  readonly packs: boolean;
}

/** What clients try. */
type Plan = "transfer" | "set" | "delete" | "check" | "undo" | "abort" | "pack";
const PLANS: readonly Plan[] = [
  ...Array<Plan>(8).fill("transfer"),
  ...Array<Plan>(5).fill("set"),
  "delete",
  ...Array<Plan>(3).fill("check"),
  ...Array<Plan>(3).fill("undo"),
  ...Array<Plan>(2).fill("abort"),
];
/** One plan of so many is a pack. */
const PACK_PERIOD = 200;

/** The clients at work. */
export class RandomClients {
  readonly committed: Committed[] = [];
  readonly reads: ReadValue[] = [];
  readonly packs: Tid[] = [];
  /** How attempts ended, by what was tried. */
  readonly outcomes = new Map<string, number>();
  readonly #options: WorkOptions;
  #left: number;
  #lastTold: Tid = ZERO_TID;
  #labels = 0;

  constructor(options: WorkOptions) {
    this.#options = options;
    this.#left = options.transactions;
  }

  async run(): Promise<void> {
    await Promise.all(this.#options.clients.map((client) => this.#work(client)));
  }

  /** Even oids are counters, odd ones registers. */
  #someOid(kind: "counter" | "register"): Oid {
    const n = this.#options.random.below(this.#options.objects / 2);
    return toOid(1 + 2 * n + (kind === "counter" ? 1 : 0));
  }

  async #work(client: Client): Promise<void> {
    const { random, packs } = this.#options;
    while (this.#left-- > 0) {
      const plan = packs && random.below(PACK_PERIOD) === 0 ? "pack" : random.pick(PLANS);
      let outcome = "committed";
      try {
        if (random.below(3) === 0) await client.sync();
        outcome = await this.#try(client, plan);
      } catch (error) {
        const expected = error instanceof ConflictError || error instanceof UndoError ||
          error instanceof NEOUndoPackError;
        if (!expected) throw error;
        outcome = error.name;
      }
      const key = `${plan}: ${outcome}`;
      this.outcomes.set(key, (this.outcomes.get(key) ?? 0) + 1);
    }
  }

  async #try(client: Client, plan: Plan): Promise<string> {
    const { random } = this.#options;
    const snapshot = client.snapshot();
    for (let n = random.below(4); n > 0; n--) {
      await this.#read(snapshot, this.#someOid(random.pick(["counter", "register"])));
    }
    if (plan === "pack") {
      const candidates = this.committed.slice(0, -20);
      if (candidates.length === 0) return "nothing";
      const { tid } = random.pick(candidates);
      const after = this.#lastTold;
      this.packs.push(tid);
      const id = await client.pack(tid);
      if (id !== null) this.#told({ tid: id, after });
      return "committed";
    }
    const after = this.#lastTold;
    await using transaction = await client.begin({ resolveConflict: addUp });
    if (plan === "undo") return await this.#undo(transaction, after);
    const effects = new Map<Oid, Effect>();
    const checks = new Map<Oid, Tid>();
    if (plan === "transfer" || plan === "check") {
      const [from, to] = [this.#someOid("counter"), this.#someOid("counter")];
      if (from !== to) {
        const amount = 1 + random.below(9);
        await this.#add(transaction, snapshot, effects, from, -amount);
        await this.#add(transaction, snapshot, effects, to, amount);
      }
    }
    if (plan === "check") {
      const oid = this.#someOid("register");
      const serial = await this.#read(snapshot, oid);
      if (serial !== null) {
        checks.set(oid, serial);
        await transaction.checkCurrentSerial(oid, serial);
      }
    }
    if (plan === "set" || plan === "abort") {
      const oids = new Set([this.#someOid("register"), this.#someOid("register")]);
      for (const oid of oids) {
        await this.#set(transaction, snapshot, effects, oid, `text ${++this.#labels}`);
      }
    }
    if (plan === "delete") {
      await this.#set(transaction, snapshot, effects, this.#someOid("register"), null);
    }
    if (plan === "abort") {
      if (random.below(2) === 0) await transaction.vote();
      await transaction.abort();
      return "aborted";
    }
    return await this.#commit(transaction, { effects, checks, undone: null, after });
  }

  async #undo(transaction: Transaction, after: Tid): Promise<string> {
    const { random } = this.#options;
    const recent = this.committed.slice(-60);
    if (recent.length === 0) return "nothing";
    const { tid } = random.pick(recent);
    const oids = await transaction.undo(tid);
    const [effects, checks] = [new Map(), new Map()];
    return await this.#commit(transaction, { effects, checks, undone: { tid, oids }, after });
  }

  async #commit(
    transaction: Transaction,
    what: Omit<Committed, "tid" | "resolved">,
  ): Promise<string> {
    const resolved = new Map(await transaction.vote());
    const tid = await transaction.finish();
    this.#told({ tid, ...what, resolved });
    return resolved.size > 0 ? "merged" : "committed";
  }

  #told(transaction: Pick<Committed, "tid" | "after"> & Partial<Committed>): void {
    const { tid } = transaction;
    if (tid > this.#lastTold) this.#lastTold = tid;
    const nothing = new Map();
    this.committed.push({
      effects: nothing,
      resolved: nothing,
      checks: nothing,
      undone: null,
      ...transaction,
    });
  }

  /** Returns the serial, `null` if the object does not exist. */
  async #read(snapshot: Snapshot, oid: Oid): Promise<Tid | null> {
    const { serial, value } = await load(snapshot, oid);
    this.reads.push({ snapshot: snapshot.tid, oid, value });
    return serial;
  }

  async #add(
    transaction: Transaction,
    snapshot: Snapshot,
    effects: Map<Oid, Effect>,
    oid: Oid,
    amount: number,
  ): Promise<void> {
    const { serial, value } = await load(snapshot, oid);
    this.reads.push({ snapshot: snapshot.tid, oid, value });
    effects.set(oid, { kind: "add", amount, base: serial ?? ZERO_TID });
    await transaction.store(oid, serial, encode(Number(value ?? 0) + amount));
  }

  async #set(
    transaction: Transaction,
    snapshot: Snapshot,
    effects: Map<Oid, Effect>,
    oid: Oid,
    text: string | null,
  ): Promise<void> {
    const serial = await this.#read(snapshot, oid);
    if (serial === null && text === null) return;
    effects.set(oid, { kind: "set", text, base: serial ?? ZERO_TID });
    if (text === null) await transaction.deleteObject(oid, serial);
    else await transaction.store(oid, serial, encode(text));
  }
}

async function load(
  snapshot: Snapshot,
  oid: Oid,
): Promise<{ serial: Tid | null; value: Value }> {
  try {
    const { data, serial } = await snapshot.load(oid);
    return { serial, value: decode(data) };
  } catch (error) {
    if (!(error instanceof POSKeyError)) throw error;
    return { serial: null, value: null };
  }
}

/** All that a database has, as a client that connects at the end finds it. */
export async function everything(
  client: Client,
): Promise<{ tids: Tid[]; stored: StoredValue[] }> {
  const tids: Tid[] = [];
  const stored: StoredValue[] = [];
  for await (const transaction of client.iterator()) {
    tids.push(transaction.tid);
    for await (const { oid, tid, data } of transaction.records()) {
      stored.push({ oid, tid, value: decode(data) });
    }
  }
  return { tids, stored };
}
