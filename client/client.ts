/**
 * A client of a cluster.
 *
 * @module
 */

import { hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { NodeState, NodeType } from "../protocol/enums.ts";
import { ConnectionClosed } from "../network/handler.ts";
import type { Environment } from "../network/environment.ts";
import { fromAnswer } from "./answers.ts";
import { checkTid } from "./arguments.ts";
import { type CacheStatistics, ObjectCache } from "./cache.ts";
import { encodeData, PreparedData } from "./compression.ts";
import { ClientClosedError, NEOPrimaryMasterLost, ReadOnlyError } from "./errors.ts";
import { finalTid } from "./finish.ts";
import { Objects } from "./objects.ts";
import type { Settings } from "./options.ts";
import { PrimaryLink } from "./primary_link.ts";
import { Reader } from "./reader.ts";
import { Reads } from "./reads.ts";
import type { TransactionInfo } from "./records.ts";
import { type CopySource, type CopySummary, Restoration } from "./restore.ts";
import { StorageLinks } from "./storage_links.ts";
import { metadataOf, Transaction, type TransactionOptions } from "./transaction.ts";
import { Transactions } from "./transactions.ts";
import { type InvalidationListener, View } from "./view.ts";
import { abortable, type WaitOptions } from "./waiting.ts";

/** Options of {@linkcode Client.pack}. */
export interface PackOptions extends WaitOptions {
  /** Pack only these objects. Default: all. */
  readonly oids?: Iterable<Oid> | null;
}

/** Options of {@linkcode Client.copyTransactionsFrom}. */
export interface CopyOptions extends WaitOptions {
  /** Called after each transaction. */
  readonly onCopied?: (transaction: TransactionInfo) => void;
}

/** Description of transactions that only carry a pack order, as all NEO clients write it. */
const PACK = "IStorage.pack";

/** How a client does. */
export interface ClientStatistics {
  /** Of its cache. */
  readonly cache: CacheStatistics;
  /** Whether there is a primary master. */
  readonly connected: boolean;
  /** Number of storage nodes that run. */
  readonly storages: number;
  /** Number of transactions that are not over. */
  readonly transactions: number;
}

/**
 * A client of a cluster, to be shared by everything that a program does with that cluster.
 *
 * It reconnects by itself. Reads wait until the cluster is back; a transaction that was not voted when
 * the primary master is lost fails with {@linkcode NEOPrimaryMasterLost}, and must be done again. What
 * is being committed is found out. Anything that may take long can be stopped by a signal.
 *
 * @example
 * ```ts ignore
 * import { connect } from "https://…/client/mod.ts";
 *
 * await using client = await connect("neo://name@127.0.0.1:10000");
 * const { data, serial } = await client.load(oid);
 * ```
 */
export class Client extends Reader implements AsyncDisposable {
  readonly #transactions: Transactions;
  readonly #restoration: Restoration;

  /** For `connect` only. */
  constructor(env: Environment, settings: Settings) {
    const cache = new ObjectCache({ maxSize: settings.cacheSize });
    const view = new View(cache, env.log);
    const transactions = new Transactions();
    const primary = new PrimaryLink(env, settings, view, {
      begun: () => storages.reset(),
      nodeChanged: (change) => storages.nodeChanged(change),
      ended: (session) =>
        transactions.lost(
          session,
          primary.closed ? new ClientClosedError() : new NEOPrimaryMasterLost(),
        ),
    });
    const { lockHolders } = transactions;
    const storages = new StorageLinks(env, primary, settings.name, lockHolders);
    const reads = new Reads(env, primary, storages);
    const objects = new Objects(view, reads, settings.ignoreWrongChecksum, env.log);
    const { tracer } = env;
    super({
      settings,
      view,
      primary,
      storages,
      reads,
      objects,
      ...tracer !== undefined && { tracer },
    });
    this.#transactions = transactions;
    this.#restoration = new Restoration(this.walk, objects);
  }

  /** Name of the cluster. */
  get name(): string {
    return this.services.settings.name;
  }

  /** Whether the client only reads. */
  get readOnly(): boolean {
    return this.services.settings.readOnly;
  }

  /** How the client does. */
  get statistics(): ClientStatistics {
    const { view, primary } = this.services;
    const storages = [...primary.nodes.list(NodeType.STORAGE)];
    return {
      cache: view.cache.statistics,
      connected: primary.session !== null,
      storages: storages.filter(({ state }) => state === NodeState.RUNNING).length,
      transactions: this.#transactions.lockHolders.size,
    };
  }

  /** Waits for the cluster to be usable. Done by `connect`; later, other operations do it. */
  async connected({ signal }: WaitOptions = {}): Promise<void> {
    await this.services.primary.ready(signal);
  }

  // Writing

  /**
   * An oid for a new object, that nobody else gets as long as the primary master is the same. After the
   * loss of the master, those that were not stored may be given again: take a new one for each attempt.
   *
   * @throws {ReadOnlyError} if the client only reads.
   */
  async newOid({ signal }: WaitOptions = {}): Promise<Oid> {
    if (this.readOnly) throw new ReadOnlyError("the client is read-only");
    for (;;) {
      const { oids } = await this.services.primary.ready(signal);
      const oid = oids.take();
      if (oid !== undefined) return oid;
      try {
        await abortable(oids.fill(), signal);
      } catch (error) {
        if (!(error instanceof ConnectionClosed)) throw fromAnswer(error);
      }
    }
  }

  /**
   * Makes data ready to be stored, which takes time: before a transaction begins, or while another one
   * is committed, it costs nobody anything. The data must not be modified any more.
   */
  prepare(data: Uint8Array): PreparedData {
    return new PreparedData(data, encodeData(data, this.services.settings.compress));
  }

  /**
   * Begins a transaction. Up to 10,000 may be open at once: one that failed is open until it is aborted.
   *
   * @throws {ReadOnlyError} if the client only reads.
   * @throws {StorageTransactionError} if the tid can't be imposed, or too many are open.
   */
  async begin(options: TransactionOptions = {}): Promise<Transaction> {
    const { services } = this;
    const { tid = null, resolveConflict = services.settings.resolveConflict, signal } = options;
    if (tid !== null) checkTid("tid", tid);
    const metadata = metadataOf(options);
    const writes = await this.#transactions.begin(services, tid, resolveConflict, signal);
    return new Transaction(services, this.#transactions, this.walk, writes, metadata);
  }

  /**
   * Orders that revisions which were not current at a tid go, and with them what was deleted by then.
   * Storage nodes do that in the background.
   *
   * @param tid the last one if it is later. Default: the last transaction.
   * @returns the id of the order, for {@linkcode waitForPack}; `null` if there is nothing to do.
   * @throws {ReadOnlyError} if the client only reads.
   *
   * @example
   * ```ts ignore
   * const id = await client.pack(tidFromTime(Date.now() / 1000 - 30 * 86400));
   * if (id !== null) await client.waitForPack(id);
   * ```
   */
  async pack(
    tid: Tid = this.lastTransaction,
    { oids = null, signal }: PackOptions = {},
  ): Promise<Tid | null> {
    checkTid("tid", tid);
    const { lastTransaction } = this;
    const last = tid < lastTransaction ? tid : lastTransaction;
    const chosen = oids === null ? null : [...oids];
    if (last === ZERO_TID || chosen?.length === 0) return null;
    await using transaction = await this.begin({ description: PACK, signal });
    transaction.setPackOrder(last, chosen);
    return await transaction.commit({ signal });
  }

  /**
   * Copies transactions from another database, with their tids, metadata and pointers between
   * revisions. The database must be empty, or hold what the source starts with, which has to be left
   * out then. Nobody else may commit meanwhile.
   *
   * @throws {StorageTransactionError} if a tid is not greater than the last one here.
   * @throws {ConflictError} if somebody else commits.
   *
   * @example
   * ```ts ignore
   * await destination.copyTransactionsFrom({
   *   iterator: () => source.iterator({ start: add64(destination.lastTransaction, 1) }),
   * });
   * ```
   */
  async copyTransactionsFrom(
    source: CopySource,
    { signal, onCopied = () => {} }: CopyOptions = {},
  ): Promise<CopySummary> {
    return await this.#restoration.copy(
      source,
      (options) => this.begin(options),
      signal,
      onCopied,
    );
  }

  /**
   * What became of a transaction whose commit was interrupted: its tid, or `null` if it was not
   * committed. Waits for the outcome.
   *
   * @param ttid that of the `UnknownOutcomeError`.
   */
  async finalTid(ttid: Tid, { signal }: WaitOptions = {}): Promise<Tid | null> {
    checkTid("ttid", ttid);
    return await finalTid(this.services, ttid, () => {}, signal);
  }

  // The rest

  /**
   * Tells a listener what others commit, until the result is disposed of. What this client commits is
   * not told: see `onCommitted` of `Transaction.finish`.
   */
  listen(listener: InvalidationListener): Disposable {
    return this.services.view.listen(listener);
  }

  /** Closes all connections. What goes on fails with {@linkcode ClientClosedError}. */
  close(): Promise<void> {
    this.services.primary.close();
    this.services.storages.close();
    return Promise.resolve();
  }

  /** Closes the client. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** State of the client, for logs. */
  override toString(): string {
    return `client of ${this.name}, last transaction ${hexId(this.lastTransaction)}`;
  }
}
