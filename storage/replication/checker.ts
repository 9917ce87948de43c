/**
 * Compares the cells of partitions with their copies on other nodes, and what this node has with its
 * checksums.
 *
 * Copies are compared by digests of the ids they hold, range after range. Where they differ, those that
 * differ from the source are wrong; without source, those that differ from what most nodes have. If
 * there is no majority, nobody can tell, and that is what is said.
 *
 * @module
 */

import type { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import { errorText } from "../../network/log.ts";
import type { NodeTable } from "../../node/node_table.ts";
import type { PartitionTable } from "../../node/partition_table.ts";
import { addTid, hexId, type Oid, type Tid, ZERO_OID } from "../../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf } from "../../protocol/messages.ts";
import { type Nid, nodeName, sameAddress } from "../../protocol/nodes.ts";
import { isIntact } from "../checksum.ts";
import type { Database } from "../database/mod.ts";
import type { LowPriority } from "../low_priority.ts";
import type { ReadLocks } from "../read_locks.ts";
import type { Watch } from "../transactions.ts";
import type { Peers } from "./peers.ts";
import { following, type Ranges } from "./ranges.ts";

/** Rows compared at once. */
const LENGTH = 40_000;
/** Records of which the data is verified before clients come first. */
const PART = 100;
/** Corrupted records that are told one by one. */
const MAX_TOLD = 20;
/** Checks that wait. */
const MAX_WAITING = 1 << 17;

/** What checks work with. */
export interface CheckerContext {
  readonly env: Environment;
  readonly database: Database;
  readonly nodes: NodeTable;
  readonly table: PartitionTable;
  readonly nid: Nid;
  readonly master: Connection;
  readonly peers: Peers;
  readonly ranges: Ranges;
  readonly readLocks: ReadLocks;
  readonly priority: LowPriority;
  readonly watch: Watch;
}

type Order = ArgsOf<"CheckPartition">;
type Serials = AnswerArgsOf<"AskCheckSerialRange">;
type Answer = AnswerArgsOf<"AskCheckTIDRange"> | Serials;

/** A check that can't go on. */
class CheckError extends Error {}

/** Executes the checks that the master orders, one after the other. */
export class Checker {
  readonly #context: CheckerContext;
  #orders: Order[] = [];
  #running = false;
  #stopped = false;

  constructor(context: CheckerContext) {
    this.#context = context;
  }

  /** Number of partitions that remain to be checked. */
  get waiting(): number {
    return this.#orders.length;
  }

  /** `CheckPartition` */
  check(order: Order): void {
    const { env: { log }, watch } = this.#context;
    if (this.#orders.length >= MAX_WAITING) return log.error("too many checks are waiting");
    this.#orders.push(order);
    if (this.#running) return;
    this.#running = true;
    watch(this.#run().finally(() => this.#running = false));
  }

  /** The operation has ended. */
  stop(): void {
    this.#stopped = true;
    this.#orders = [];
  }

  async #run(): Promise<void> {
    const { env: { log } } = this.#context;
    for (let order = this.#orders[0]; order !== undefined; order = this.#orders[0]) {
      try {
        await this.#check(order);
      } catch (error) {
        if (!(error instanceof CheckError)) throw error;
        if (!this.#stopped) log.warning(`partition ${order.partition}: ${error.message}`);
      }
      this.#orders.shift();
    }
  }

  async #check(order: Order): Promise<void> {
    const { env: { log }, ranges, readLocks } = this.#context;
    const { partition, max } = order;
    if (!ranges.checkable(partition)) {
      throw new CheckError("it is not checked: no complete cell here");
    }
    await readLocks.committed(max);
    await this.#verifyData(order);
    await using comparison = await this.#compare(order);
    const same = await comparison.run();
    if (same.length > 1) log.info(`partition ${partition}: ${names(same)} have the same`);
  }

  /** Opens the connections to those that have a copy. */
  async #compare(order: Order): Promise<CopyComparison> {
    const { env: { log }, nodes, table, nid: self, peers } = this.#context;
    const { partition, source: { upstream, address } } = order;
    if (upstream !== "") {
      throw new CheckError("checks against other clusters are not supported yet");
    }
    const others = table.readableCells(partition).map(({ nid }) => nid).filter((nid) =>
      nid !== self
    );
    const source = address === null
      ? null
      : [self, ...others].find((nid) => sameAddress(nodes.get(nid)?.address ?? null, address));
    if (source === undefined) throw new CheckError("it is not compared: the source has no copy");
    const copies = new Map<Nid, Connection>();
    await Promise.all(others.map(async (nid) => {
      try {
        copies.set(nid, await peers.acquire(nid));
      } catch (error) {
        log.warning(
          `partition ${partition}: not compared with ${nodeName(nid)}: ${errorText(error)}`,
        );
      }
    }));
    return new CopyComparison(this.#context, order, source, copies, () => this.#stopped);
  }

  /** Verifies the checksums of what this node has. */
  async #verifyData({ partition, min, max }: Order): Promise<void> {
    const { env: { log }, database, master, nid, priority } = this.#context;
    let [verified, corrupted] = [0, 0];
    let next = { tid: min, oid: ZERO_OID };
    for (;;) {
      await priority.turn();
      if (this.#stopped) throw new CheckError("the operation has ended");
      const records = await database.cells.records(partition, next, max, PART);
      for (const { oid, tid } of records) {
        const data = (await database.object(oid, tid, null))?.data ?? null;
        verified++;
        if (data === null || isIntact(data)) continue;
        if (++corrupted <= MAX_TOLD) {
          log.error(`partition ${partition}: oid ${hexId(oid)} at ${hexId(tid)} is corrupted here`);
        }
      }
      const last = records.at(-1);
      if (last === undefined || records.length < PART) break;
      next = following(last);
    }
    const text = `partition ${partition}: ${verified} records are verified, ${corrupted} corrupted`;
    if (corrupted === 0) return log.info(text);
    log.error(text);
    master.notify("NotifyPartitionCorrupted", { partition, nids: [nid] });
  }
}

/** The comparison of one partition. */
class CopyComparison implements AsyncDisposable {
  readonly #context: CheckerContext;
  readonly #order: Order;
  readonly #source: Nid | null;
  readonly #acquired: ReadonlyMap<Nid, Connection>;
  /** Those that are still compared, besides this node. */
  readonly #copies: Map<Nid, Connection>;
  readonly #stopped: () => boolean;
  /** Whether this node itself is still compared. */
  #selfCompared = true;

  constructor(
    context: CheckerContext,
    order: Order,
    source: Nid | null,
    copies: ReadonlyMap<Nid, Connection>,
    stopped: () => boolean,
  ) {
    this.#context = context;
    this.#order = order;
    this.#source = source;
    this.#acquired = copies;
    this.#copies = new Map(copies);
    this.#stopped = stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const [nid, connection] of this.#acquired) this.#context.peers.release(nid, connection);
    return Promise.resolve();
  }

  /** Returns the nodes that have the same. */
  async run(): Promise<Nid[]> {
    const { ranges } = this.#context;
    const { partition, max } = this.#order;
    const range = { partition, length: LENGTH, max };
    const turn = () => this.#turn();
    for (let min: Tid | null = this.#order.min; min !== null && min <= max;) {
      const args: ArgsOf<"AskCheckTIDRange"> = { ...range, min };
      const answer: AnswerArgsOf<"AskCheckTIDRange"> | null = await this.#round(
        (connection) => connection.ask("AskCheckTIDRange", args),
        () => ranges.tids(args, turn),
      );
      if (answer === null) return [];
      min = answer.count < LENGTH ? null : addTid(answer.maxTid, 1);
    }
    let next: { tid: Tid; oid: Oid } | null = { tid: this.#order.min, oid: ZERO_OID };
    while (next !== null) {
      const args: ArgsOf<"AskCheckSerialRange"> = { ...range, min: next.tid, minOid: next.oid };
      const answer: Serials | null = await this.#round(
        (connection) => connection.ask("AskCheckSerialRange", args),
        () => ranges.serials(args, turn),
      );
      if (answer === null) return [];
      next = answer.count < LENGTH ? null : following({ tid: answer.maxTid, oid: answer.maxOid });
    }
    return [...this.#selfCompared ? [this.#context.nid] : [], ...this.#copies.keys()];
  }

  async #turn(): Promise<number | null> {
    const end = await this.#context.priority.turn();
    return this.#stopped() ? null : end;
  }

  /** Asks all for the same. Returns what those that are right have; `null` if no two remain. */
  async #round<A extends Answer>(
    ask: (connection: Connection) => Promise<A>,
    own: () => Promise<A | null>,
  ): Promise<A | null> {
    const { env: { log }, nid: self } = this.#context;
    const { partition } = this.#order;
    const answers = new Map<Nid, A>();
    await Promise.all([
      ...[...this.#copies].map(async ([nid, connection]) => {
        try {
          answers.set(nid, await ask(connection));
        } catch (error) {
          this.#copies.delete(nid);
          if (this.#stopped()) return;
          log.warning(
            `partition ${partition}: ${nodeName(nid)} can't be compared: ${errorText(error)}`,
          );
        }
      }),
      this.#selfCompared && own().then((answer) => {
        if (answer !== null) answers.set(self, answer);
      }),
    ]);
    if (this.#stopped()) throw new CheckError("the operation has ended");
    return this.#judge(answers);
  }

  #judge<A extends Answer>(answers: ReadonlyMap<Nid, A>): A | null {
    const { partition } = this.#order;
    if (this.#source !== null && !answers.has(this.#source)) {
      throw new CheckError("the comparison stops: the source is lost");
    }
    if (answers.size < 2) throw new CheckError("there is nothing to compare with");
    const groups = Map.groupBy(answers.keys(), (nid) => describe(answers.get(nid)));
    if (groups.size === 1) return [...answers.values()][0] ?? null;
    const right = this.#right([...groups.values()], answers.size);
    const wrong = right === null ? [] : [...answers.keys()].filter((nid) => !right.includes(nid));
    const who = right === null
      ? `${names(answers.keys())} differ, nobody can tell which one is right`
      : `${names(wrong)} differ from ${names(right)}`;
    this.#context.env.log.error(`partition ${partition}: ${who}`);
    this.#context.master.notify("NotifyPartitionCorrupted", { partition, nids: wrong });
    for (const nid of wrong) {
      this.#copies.delete(nid);
      if (nid === this.#context.nid) this.#selfCompared = false;
    }
    const [first] = right ?? [];
    return right === null || right.length < 2 || first === undefined
      ? null
      : answers.get(first) ?? null;
  }

  /** Those that must be right: the source, or the majority. */
  #right(groups: readonly Nid[][], count: number): Nid[] | null {
    const source = this.#source;
    const right = source === null
      ? groups.find((nids) => nids.length * 2 > count)
      : groups.find((nids) => nids.includes(source));
    return right ?? null;
  }
}

/** Text that is equal for equal answers. */
function describe(answer: Answer | undefined): string {
  return Object.values(answer ?? {})
    .map((value) => value instanceof Uint8Array ? value.toHex() : String(value)).join();
}

function names(nids: Iterable<Nid>): string {
  return [...nids].sort((a, b) => a - b).map(nodeName).join(", ");
}
