/** What most lines of the acceptance list do. */

import assert from "node:assert/strict";
import type {
  Client,
  ConflictResolver,
  Oid,
  Revision,
  Tid,
  TransactionOptions,
} from "../../client/mod.ts";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** An object that was stored, and by which transaction. */
export interface Stored {
  readonly oid: Oid;
  readonly tid: Tid;
}

/** What {@linkcode dostore} stores. */
export interface StoreRequest extends TransactionOptions {
  /** Default: a new one. */
  readonly oid?: Oid;
  /** The revision it follows. Default: none. */
  readonly serial?: Tid | null;
  /** Default: some. `null` deletes the object. */
  readonly data?: Uint8Array | string | null;
}

/** Stores one object in a transaction of its own. */
export async function dostore(client: Client, request: StoreRequest = {}): Promise<Stored> {
  const { oid = await client.newOid(), serial = null, data = "7", ...options } = request;
  await using transaction = await client.begin(options);
  if (data === null) await transaction.deleteObject(oid, serial);
  else await transaction.store(oid, serial, typeof data === "string" ? bytes(data) : data);
  return { oid, tid: await transaction.commit() };
}

/** Stores successive revisions of one object. */
export async function dostoreAll(client: Client, ...values: string[]): Promise<Stored[]> {
  const oid = await client.newOid();
  const stored: Stored[] = [];
  for (const data of values) {
    stored.push(await dostore(client, { oid, serial: stored.at(-1)?.tid ?? null, data }));
  }
  return stored;
}

/** Undoes transactions in one, which must concern these objects. */
export async function undo(
  client: Client,
  tids: Tid | readonly Tid[],
  expected: readonly Oid[],
  options: TransactionOptions = {},
): Promise<Tid> {
  await using transaction = await client.begin(options);
  const concerned = new Set<Oid>();
  for (const tid of [tids].flat()) {
    for (const oid of await transaction.undo(tid)) concerned.add(oid);
  }
  for (const oid of (await transaction.vote()).keys()) concerned.add(oid);
  assert.deepEqual(concerned, new Set(expected));
  return await transaction.finish();
}

/** The current data of an object, as a text. */
export async function valueOf(client: Client, oid: Oid): Promise<string> {
  return text((await client.load(oid)).data);
}

/** A revision with its data as a text. */
export function readable(revision: Revision | null) {
  return revision && { ...revision, data: text(revision.data) };
}

/** The tids of the undo log, newest first. */
export async function undoable(client: Client, count = 20): Promise<Tid[]> {
  return (await client.undoLog({ last: -count })).map(({ tid }) => tid);
}

/** An element that must be there. */
export function at<T>(items: readonly T[], index: number): T {
  const item = items.at(index);
  assert.ok(item !== undefined, `no item ${index} of ${items.length}`);
  return item;
}

/** Packs, and waits until that is done. */
export async function pack(client: Client, tid?: Tid, oids: Oid[] | null = null): Promise<void> {
  const id = await client.pack(tid, { oids });
  if (id !== null) await client.waitForPack(id, { signal: AbortSignal.timeout(30_000) });
}

// Objects with a class and a state: "counter 5".

type Merge = (states: { old: string; committed: string; mine: string }) => string | null;

/** What merges the states of two objects of a class. */
const CLASSES: Readonly<Record<string, Merge>> = {
  /** Increments add up. */
  counter: ({ old, committed, mine }) => `${Number(committed) + Number(mine) - Number(old)}`,
  stubborn: () => {
    throw new Error("class stubborn refuses");
  },
  buggy: () => {
    throw new TypeError("undefined is not a function");
  },
  careless: () => 5 as unknown as string,
};

/** How objects look in the records that are stored. */
export interface Form {
  readonly encode: (text: string) => Uint8Array;
  readonly decode: (data: Uint8Array) => string;
}

export const PLAIN: Form = { encode: bytes, decode: text };

/** Merges objects by their class; those of classes that are not known can't be. */
export function resolverFor({ encode, decode }: Form): ConflictResolver {
  return ({ oldData, newData, committedData }) => {
    if (oldData === null || committedData === null) return null;
    const split = (data: Uint8Array): [string, string] => {
      const [name = "", state = ""] = decode(data).split(" ");
      return [name, state];
    };
    const [name, mine] = split(newData);
    const merge = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
    if (merge === undefined) return null;
    const merged = merge({ old: split(oldData)[1], committed: split(committedData)[1], mine });
    if (typeof merged !== "string") return merged;
    return encode(`${name} ${merged}`);
  };
}

export const resolveConflict: ConflictResolver = resolverFor(PLAIN);
