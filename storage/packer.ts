/**
 * Execution of pack orders in the background, one after the other, partition by partition.
 *
 * Each own cell remembers the last order that was completed in it. Those that are behind the last
 * approved order get the next one, which the master knows. An order that was interrupted starts again
 * in the partition it was at: what is deleted already is simply not there any more.
 *
 * @module
 */

import type { Connection } from "../network/connection.ts";
import { delay, type Environment } from "../network/environment.ts";
import type { PartitionTable } from "../node/partition_table.ts";
import { CellState } from "../protocol/enums.ts";
import { add64, hexId, type Oid, partitionOf, type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { AnswerArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import { type Database, PACK_START, type PackPosition } from "./database/database.ts";
import type { Packs } from "./packs.ts";
import type { Watch } from "./transactions.ts";

/** Milliseconds between two slices at least, in which the node has nothing but the others in mind. */
const MIN_PAUSE = 1;

type PackOrder = AnswerArgsOf<"AskPackOrders">["orders"][number];

/** What packing works on. */
export interface PackerContext {
  readonly env: Environment;
  readonly database: Database;
  readonly table: PartitionTable;
  readonly nid: Nid;
  readonly master: Connection;
  readonly packs: Packs;
  readonly watch: Watch;
}

/** What is being packed. */
export interface PackInProgress {
  readonly partition: number;
  readonly id: Tid;
}

/** Packs during one operation. */
export class Packer {
  readonly #context: PackerContext;
  readonly #stop = new AbortController();
  #running = false;
  #again = false;
  #order: PackOrder | null = null;
  /** The order that `#order` is the next one of. */
  #after: Tid = ZERO_TID;
  #current: PackInProgress | null = null;
  /** Resolved when `#current` is over. */
  #over = Promise.withResolvers<void>();

  constructor(context: PackerContext) {
    this.#context = context;
  }

  /** The partition that is being packed, and by which order; `null` between partitions. */
  get current(): PackInProgress | null {
    return this.#current;
  }

  /** Waits until a partition is not being packed. */
  async idle(partition: number): Promise<void> {
    while (this.#current?.partition === partition) await this.#over.promise;
  }

  /** There may be something to pack: an order was approved, or the cells changed. */
  wake(): void {
    if (this.#stopped || this.#context.packs.disabled) return;
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    this.#context.watch(this.#run());
  }

  /** Ends with the operation: nothing is deleted any more. */
  stop(): void {
    this.#stop.abort();
  }

  get #stopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        let executed = false;
        while (await this.#executeNext()) executed = true;
        if (executed) await this.#report();
      }
    } finally {
      this.#running = false;
    }
  }

  async #report(): Promise<void> {
    const { master, packs } = this.#context;
    await packs.report((id) => {
      if (!this.#stopped) master.notify("NotifyPackCompleted", { id });
    }, false);
  }

  /** Executes the next order where it was not. Returns whether there may be more. */
  async #executeNext(): Promise<boolean> {
    const { database, packs } = this.#context;
    const cells = (await database.completedPacks()).filter(({ partition }) =>
      this.#mayPack(partition)
    );
    const [first] = cells.map(({ pack }) => pack).sort((a, b) => a < b ? -1 : 1);
    if (this.#stopped || first === undefined || first >= packs.last) {
      this.#order = null;
      return false;
    }
    const order = await this.#orderAfter(first);
    if (order === null || this.#stopped) return false;
    const partitions = cells.filter(({ pack }) => pack < order.id).map((cell) => cell.partition);
    await this.#execute(order, partitions);
    return true;
  }

  /** The first approved order after another one, `null` if the master does not know any. */
  async #orderAfter(id: Tid): Promise<PackOrder | null> {
    // A cell that just got up to date may be behind the others, and must not leave out any.
    if (this.#order !== null && this.#after <= id && id < this.#order.id) return this.#order;
    const orders = await new Promise<readonly PackOrder[]>((resolve) => {
      const minId = add64(id, 1);
      this.#context.master.request(
        "AskPackOrders",
        { minId },
        (answer) => resolve(answer.orders),
        () => resolve([]),
      );
    });
    this.#after = id;
    this.#order = orders.find((order) => order.id > id && order.approved === true) ?? null;
    return this.#order;
  }

  async #execute(order: PackOrder, partitions: readonly number[]): Promise<void> {
    const { env } = this.#context;
    const name = `pack ${hexId(order.id)}`;
    const what = order.oids === null ? "all objects" : `${order.oids.length} objects`;
    env.log.info(
      `${name} starts: old revisions up to ${hexId(order.tid)} of ${what} ` +
        `in ${partitions.length} partitions`,
    );
    const start = env.monotonic();
    let deleted = 0;
    let done = 0;
    for (const partition of partitions) {
      this.#current = { partition, id: order.id };
      try {
        if (await this.#pack(partition, order, (count) => deleted += count)) done++;
      } finally {
        this.#current = null;
        this.#over.resolve();
        this.#over = Promise.withResolvers();
      }
    }
    const seconds = ((env.monotonic() - start) / 1000).toFixed(1);
    const state = done === partitions.length
      ? "is done"
      : this.#stopped
      ? "is interrupted"
      : `is done in ${done} of ${partitions.length} partitions, others are not up to date any more`;
    env.log.info(`${name} ${state}: ${deleted} revisions deleted in ${seconds} s`);
  }

  /** Packs a partition, and returns whether it is done to its end. */
  async #pack(
    partition: number,
    { id, tid: packTid, oids }: PackOrder,
    deleted: (count: number) => void,
  ): Promise<boolean> {
    const { database, env } = this.#context;
    if (!this.#mayPack(partition)) return false;
    // Who is fed from here relies on it that what has begun also ends, as long as the cell is read.
    const wanted = () => !this.#stopped && database.isReadable(partition);
    const scope = { packTid, oids: oids && this.#oidsOf(partition, oids) };
    let position: PackPosition | null = PACK_START;
    while (position !== null) {
      if (!wanted()) return false;
      const start = env.monotonic();
      const slice = await database.packSlice(partition, scope, position, wanted);
      deleted(slice.deleted);
      position = slice.next;
      if (position === null) break;
      // Half of the time belongs to others, even if packing is all there is to do on the machine.
      const pause = Math.max(env.monotonic() - start, MIN_PAUSE);
      await delay(env, pause, this.#stop.signal).catch(() => {});
    }
    if (!wanted()) return false;
    await database.setCompletedPack(partition, id);
    return true;
  }

  /** In order, and each once, whatever the client sent. */
  #oidsOf(partition: number, oids: readonly Oid[]): Oid[] {
    const { partitions } = this.#context.table;
    return [...new Set(oids)].filter((oid) => partitionOf(oid, partitions) === partition)
      .sort((a, b) => a < b ? -1 : a > b ? 1 : 0);
  }

  /**
   * Whether a pack may begin: cells that are not up to date get what others have packed, and those that
   * feed are leaving.
   */
  #mayPack(partition: number): boolean {
    const { table, nid } = this.#context;
    return table.cellState(partition, nid) === CellState.UP_TO_DATE;
  }
}
