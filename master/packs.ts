/**
 * Pack orders: recorded when a transaction carries one, told to the storages that pack, and forgotten
 * once all of them have.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { type Command, Refusal, type Request } from "../network/handler.ts";
import type { NodeTable } from "../node/node_table.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { add64, hexId, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { MasterPartitionTable } from "./partition_table.ts";

/** A pack order as it travels; its id is the tid of the transaction that carried it. */
export type PackOrder = AnswerArgsOf<"AskPackOrders">["orders"][number];
/** What a client asks for. */
export type PackRequest = NonNullable<ArgsOf<"AskFinishTransaction">["pack"]>;

/** Requests that may wait for the same pack. */
const MAX_WAITERS = 10_000;

/** Orders that may remain to be completed, and the oids in all of them. */
export const MAX_ORDERS = 1000;
const MAX_OIDS = 1 << 22;

/** What pack orders depend on. */
export interface PackContext {
  readonly nodes: NodeTable;
  readonly table: MasterPartitionTable;
}

/** The pack orders that are not known to be completed. */
export class PackOrders {
  readonly #context: PackContext;
  /** Their order is that of insertion: sort before use. */
  #orders = new Map<Tid, PackOrder>();
  /** Those of transactions that are not committed yet: nobody may execute them. */
  #uncommitted = new Set<Tid>();
  /** The greatest id known to be completed: older orders are forgotten. */
  #maxCompleted: Tid | null = null;
  /** What each storage has completed. */
  #completed = new Map<Nid, Tid>();
  #waiters = new Map<Tid, Request<"WaitForPack">[]>();
  #inquiries = new Set<Inquiry>();

  constructor(context: PackContext) {
    this.#context = context;
  }

  /** Forgets everything: operation stops. */
  clear(): void {
    this.#orders = new Map();
    this.#uncommitted = new Set();
    this.#maxCompleted = null;
    this.#completed = new Map();
    this.#waiters = new Map();
    this.#inquiries = new Set();
  }

  /** Why a pack can't be ordered after some last transaction, `null` if it can. */
  refusal({ oids, tid }: PackRequest, lastTid: Tid): string | null {
    if (tid === ZERO_TID || tid > lastTid) {
      return `invalid pack time ${hexId(tid)}: there is no such past`;
    }
    // Others take an empty list for the whole database.
    if (oids?.length === 0) return "a list of objects to pack can't be empty";
    let count = oids?.length ?? 0;
    for (const order of this.#orders.values()) count += order.oids?.length ?? 0;
    if (this.#orders.size < MAX_ORDERS && count <= MAX_OIDS) return null;
    return `${this.#orders.size} packs are not completed yet: no more can be ordered`;
  }

  /** Records the order of a transaction being finished; returns whether it is approved at once. */
  create(id: Tid, { oids, tid }: PackRequest): boolean {
    const approve = [...this.#orders.values()].every(({ approved }) => approved !== null);
    const partial = oids !== null;
    this.#orders.set(id, { id, approved: approve ? true : null, partial, oids, tid });
    this.#uncommitted.add(id);
    return approve;
  }

  /** The transaction that carries an order is committed. */
  committed(id: Tid): void {
    this.#uncommitted.delete(id);
  }

  /** Forgets the order of a transaction that was aborted. */
  cancel(id: Tid): void {
    this.#orders.delete(id);
    this.#uncommitted.delete(id);
  }

  /**
   * Rejects the orders that were never signed, and returns their ids. Whoever should have signed them
   * is not there any more, and they would keep all those after them from being approved. It is not
   * known whether they belong to transactions that were committed, so that they can't be executed.
   */
  rejectUnsigned(): Tid[] {
    const unsigned = this.#sorted().filter(({ approved }) => approved === null);
    for (const order of unsigned) this.#orders.set(order.id, { ...order, approved: false });
    return unsigned.map(({ id }) => id);
  }

  /** Records orders that storages remember. */
  add(orders: readonly PackOrder[]): void {
    for (const order of orders) {
      const known = this.#orders.get(order.id);
      if (known === undefined) {
        this.#orders.set(order.id, order);
        if (this.#maxCompleted !== null && order.id < this.#maxCompleted) {
          this.#maxCompleted = add64(order.id, -1);
        }
      } else if (known.approved === null) {
        this.#orders.set(order.id, { ...known, approved: order.approved });
      }
    }
  }

  /** Whether an approved order is known that was given after some transaction. */
  approvedAfter(tid: Tid): boolean {
    // What was completed before operation began is only known as that.
    return [...this.signed()?.approved ?? [], ...this.#completed.values()].some((id) => id > tid);
  }

  /** Whether there is an approved order that some storages may have executed, and others not. */
  get executing(): boolean {
    return [...this.#orders.values()].some(({ approved }) => approved === true);
  }

  /** What a storage that becomes ready must know, `null` if there is nothing. */
  signed(): ArgsOf<"NotifyPackSigned"> | null {
    const orders = this.#sorted();
    const ids = (wanted: boolean) =>
      orders.filter(({ approved }) => approved === wanted).map(({ id }) => id);
    const completed = this.#maxCompleted === null ? [] : [this.#maxCompleted];
    const signed = { approved: [...completed, ...ids(true)], rejected: ids(false) };
    return signed.approved.length + signed.rejected.length === 0 ? null : signed;
  }

  /** Answers a storage, which wants the first approved order from some id on. */
  answerStorage(minId: Tid, from: Request<"AskPackOrders">): void {
    this.#withOrders(minId, from, (orders) => {
      from.answer({ orders: orders.filter(({ approved }) => approved === true).slice(0, 1) });
    });
  }

  /** Answers a client, which wants all orders from some id on. */
  answerClient(minId: Tid, from: Request<"AskPackOrders">): void {
    this.#withOrders(minId, from, (orders) => from.answer({ orders }));
  }

  /** Answers when a pack is completed, or at once if it never will be, or is not known. */
  wait(id: Tid, from: Request<"WaitForPack">): void {
    if ((this.#orders.get(id)?.approved ?? false) === false) return from.answer({});
    const waiters = this.#waiters.get(id) ?? [];
    if (waiters.length >= MAX_WAITERS) {
      throw new Refusal(ErrorCode.PROTOCOL_ERROR, `more than ${MAX_WAITERS} wait for that pack`);
    }
    waiters.push(from);
    this.#waiters.set(id, waiters);
  }

  /** The peer is not interested any more. */
  connectionLost(lost: Connection): void {
    for (const [id, waiters] of this.#waiters) {
      this.#waiters.set(id, waiters.filter(({ connection }) => connection !== lost));
    }
  }

  /** A storage has completed all packs up to an id. */
  completed(nid: Nid, id: Tid): void {
    this.#completed.set(nid, id);
    this.#forgetCompleted();
  }

  /** The greatest id completed by all storages with readable cells, as far as they told. */
  minCompleted(): Tid | null {
    const readable = this.#context.table.readableNodes();
    const ids = [...this.#completed].filter(([nid]) => readable.has(nid)).map(([, id]) => id);
    return ids.length === 0 ? null : ids.reduce((a, b) => a < b ? a : b);
  }

  /** A storage is lost: others are asked what it was asked, and its packs are not waited for. */
  storageLost(nid: Nid): void {
    this.#completed.delete(nid);
    for (const inquiry of [...this.#inquiries]) inquiry.lost(nid);
    this.#forgetCompleted();
  }

  #sorted(minId: Tid = ZERO_TID): PackOrder[] {
    return [...this.#orders.values()]
      .filter(({ id }) => id >= minId && !this.#uncommitted.has(id))
      .sort((a, b) => a.id < b.id ? -1 : 1);
  }

  #forgetCompleted(): void {
    const min = this.minCompleted();
    if (min === null) return;
    for (const { id } of this.#sorted()) {
      if (id > min) break;
      this.#orders.delete(id);
      this.#maxCompleted = id;
      const waiters = this.#waiters.get(id) ?? [];
      this.#waiters.delete(id);
      for (const waiter of waiters) waiter.answer({});
    }
  }

  #withOrders(
    minId: Tid,
    from: Command,
    answer: (orders: PackOrder[]) => void,
  ): void {
    // What was completed before this master started, only storages remember.
    const forgotten = this.#maxCompleted ?? this.minCompleted();
    if (forgotten === null || minId > forgotten) {
      return answer(this.#sorted(minId));
    }
    // Forgotten: storages remember.
    const inquiry = new Inquiry(this.#context, minId, from, (orders) => {
      this.#inquiries.delete(inquiry);
      this.#maxCompleted = minId === ZERO_TID ? null : add64(minId, -1);
      this.add(orders);
      this.rejectUnsigned();
      answer(this.#sorted(minId));
      this.#forgetCompleted();
    });
    this.#inquiries.add(inquiry);
    inquiry.ask();
  }
}

/** What a storage was asked for. */
interface Question {
  readonly nid: Nid;
  readonly partitions: readonly number[];
}

/** Asks storages for orders, so that all partitions are covered. */
class Inquiry {
  readonly #uncovered: Set<number>;
  /** The questions that are not answered. After a loss, a storage may have several. */
  readonly #asked = new Set<Question>();
  readonly #orders: PackOrder[] = [];

  constructor(
    private readonly context: PackContext,
    private readonly minId: Tid,
    private readonly from: Command,
    private readonly done: (orders: readonly PackOrder[]) => void,
  ) {
    this.#uncovered = new Set(context.table.rows.keys());
  }

  ask(): void {
    const { nodes, table } = this.context;
    const asked = new Set([...this.#asked].flatMap(({ partitions }) => partitions));
    const byNode = Map.groupBy(
      [...this.#uncovered].filter((partition) => !asked.has(partition)),
      (partition) =>
        table.readableCells(partition).find(({ nid }) => nodes.get(nid)?.connection?.open)?.nid,
    );
    for (const [nid, partitions] of byNode) {
      // No copy can be read: operation is about to stop, which ends everything.
      if (nid === undefined) continue;
      const question: Question = { nid, partitions };
      this.#asked.add(question);
      nodes.get(nid)?.connection?.request(
        "AskPackOrders",
        { minId: this.minId },
        ({ orders }) => this.#answered(question, orders),
        // A lost storage is reported by `lost`, when the table is up to date.
        () => {},
      );
    }
  }

  lost(nid: Nid): void {
    const lost = [...this.#asked].filter((question) => question.nid === nid);
    for (const question of lost) this.#asked.delete(question);
    if (lost.length > 0 && this.from.connection.open) this.ask();
  }

  #answered(question: Question, orders: readonly PackOrder[]): void {
    this.#asked.delete(question);
    for (const partition of question.partitions) this.#uncovered.delete(partition);
    this.#orders.push(...orders);
    if (this.#uncovered.size === 0) this.done(this.#orders);
  }
}
