/**
 * Recovery: the master finds the last version of the partition table, and waits until the storages
 * that it needs are there.
 *
 * @module
 */

import { type ConnectionClosed, ErrorAnswer, Refusal } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import { ConfigError } from "../node/errors.ts";
import { ClusterState, ErrorCode, isReadable, NodeState, NodeType } from "../protocol/enums.ts";
import type { Tid } from "../protocol/ids.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import type { Lifecycle, Phase } from "./phase.ts";
import { IdleStorageHandler } from "./storage_handler.ts";
import { OlderTables, type SavedTable } from "./older_tables.ts";
import { RecoveryIds } from "./recovery_ids.ts";
import { RecoveryTruncation, type Report } from "./recovery_truncation.ts";
import { TableSearch } from "./table_search.ts";

/** The phase that every primary master begins with, and falls back to. */
export class Recovery implements Phase {
  readonly state = ClusterState.RECOVERING;
  readonly #cluster: Cluster;
  readonly #lifecycle: Lifecycle;
  readonly #reports = new Map<Node, Report>();
  /** Storages that have not answered yet, with the number of answers they owe. */
  readonly #asked = new Map<Node, number>();
  /**
   * After a fall-back, this master knows better than storages that were away, or killed before they
   * saved the last version: to believe them would be to forget what was committed without them.
   */
  readonly #search: TableSearch;
  readonly #older: OlderTables;
  readonly #ids: RecoveryIds;
  /** An operator ordered the start. */
  #ordered = false;
  readonly #truncation: RecoveryTruncation;
  /** The only storages there may be, if this master has given way to another one; else `null`. */
  readonly #kept: ReadonlySet<Nid> | null;
  /** Storages to wait for whatever the table says, unless an operator orders the start. */
  readonly #awaited: ReadonlySet<Nid>;
  /** Several things are being changed: what is missing is evaluated when that is done. */
  #busy = false;

  /**
   * @param truncateTid what an operator has ordered: maybe no storage had the time to save it.
   * @param kept the storages that are kept from joining another primary, which serves: nothing starts
   * unless an operator orders it. `null` if there is none.
   * @param awaited storages that may start alone later, without what was committed since they left.
   */
  constructor(
    cluster: Cluster,
    lifecycle: Lifecycle,
    truncateTid: Tid | null = null,
    kept: ReadonlySet<Nid> | null = null,
    awaited: ReadonlySet<Nid> = new Set(),
  ) {
    this.#cluster = cluster;
    this.#lifecycle = lifecycle;
    this.#truncation = new RecoveryTruncation(cluster, truncateTid);
    this.#kept = kept;
    this.#awaited = awaited;
    const { log } = cluster.env;
    this.#older = new OlderTables(cluster.table);
    this.#search = new TableSearch(cluster.table, {
      ask: (storage) => this.#askTable(storage, (table) => this.#search.answered(storage, table)),
      loaded: () => this.#tableLoaded(),
      doubted: (storage, version) =>
        log.warning(
          `partition table ${version} of ${storage} is doubted: the storages that it calls up to ` +
            "date only know an older one",
        ),
      unreachable: (storage, version) =>
        log.warning(`partition table ${version} is only known by ${storage}: waiting`),
    });
    this.#ids = new RecoveryIds(cluster, {
      reports: this.#reports,
      tables: this.#older,
      search: this.#search,
      askTable: (storage) => this.#askTable(storage),
    });
  }

  enter(): void {
    const { notifier } = this.#cluster;
    this.#cluster.truncateTid = null;
    notifier.changeState(this.state, (storage) => this.storageJoined(storage));
  }

  storageHandler(): IdleStorageHandler {
    return new IdleStorageHandler(this.#cluster);
  }

  clientHandler(): never {
    return this.admitClient();
  }

  /** Whether this master runs for primary. */
  get candidate(): boolean {
    return this.#kept === null;
  }

  admitStorage(nid: Nid | null): NodeState {
    if (this.#kept !== null && (nid === null || !this.#kept.has(nid))) this.admitMaster();
    return NodeState.PENDING;
  }

  admitMaster(): void {
    if (this.#kept === null) return;
    throw new Refusal(ErrorCode.NOT_READY, "this master has given way to another one");
  }

  admitClone(): never {
    throw new Refusal(ErrorCode.NOT_READY, "the cluster is recovering");
  }

  admitClient(): never {
    throw new Refusal(ErrorCode.NOT_READY, "the cluster is recovering");
  }

  clientLost(): void {}

  storageJoined(storage: Node): void {
    this.#ask(storage, (done) => {
      storage.connection?.request("AskRecovery", {}, (report) => {
        done();
        this.#reported(storage, report);
      }, (error) => this.#failed(storage, error));
    });
  }

  storageLost(storage: Node): void {
    const { notifier } = this.#cluster;
    this.#reports.delete(storage);
    this.#asked.delete(storage);
    this.#truncation.lost(storage);
    this.#older.lost(storage);
    this.#search.lost(storage);
    // Announced already if an operator removed it.
    if (storage.state === NodeState.PENDING) {
      storage.state = NodeState.DOWN;
      notifier.changeNodes(storage);
    }
    this.evaluate();
  }

  /**
   * An operator lets the cluster start, as soon as it can.
   *
   * @throws {Refusal} if there is nothing to start with yet.
   */
  start(): void {
    const storages = this.#cluster.notifier.identified(NodeType.STORAGE);
    if (storages.length === 0) {
      throw new Refusal(ErrorCode.DENIED, "Cannot exit recovery without any storage node");
    }
    for (const storage of storages) {
      if (!this.#asked.has(storage)) continue;
      const text = `Cannot exit recovery now: node ${storage} is entering cluster`;
      throw new Refusal(ErrorCode.DENIED, text);
    }
    if (this.#cluster.exists && this.#search.version === 0) {
      // They would begin another database, and what there is could not join any more.
      const text = "Cannot exit recovery: no storage with data is there, but there is a cluster. " +
        "If all of it is lost, restart the masters to begin a new one";
      throw new Refusal(ErrorCode.DENIED, text);
    }
    this.#cluster.startupAllowed = true;
    this.#ordered = true;
  }

  #ask(storage: Node, send: (done: () => void) => void): void {
    this.#asked.set(storage, (this.#asked.get(storage) ?? 0) + 1);
    send(() => {
      const count = (this.#asked.get(storage) ?? 0) - 1;
      if (count > 0) this.#asked.set(storage, count);
      else this.#asked.delete(storage);
    });
  }

  #failed(storage: Node, error: ErrorAnswer | ConnectionClosed): void {
    // Otherwise it is lost, see `storageLost`.
    if (!(error instanceof ErrorAnswer)) return;
    this.#cluster.env.log.error(`${storage} can't be recovered: ${error.message}`);
    storage.connection?.close();
  }

  #reported(storage: Node, report: Report): void {
    // One that was removed is nobody's.
    if (this.#lifecycle.phase !== this || storage.connection === null) return;
    if (!this.#cluster.leftBehind.admits(storage.nid, report.ptid)) {
      return storage.connection?.close();
    }
    this.#reports.set(storage, report);
    this.#search.reported(storage, report.ptid ?? 0);
    if (report.ptid === null) this.#cluster.temporaryIds.doubt(storage);
    this.#ids.examine(storage);
    this.evaluate();
  }

  #askTable(storage: Node, told: (table: SavedTable) => void = () => {}): void {
    this.#older.begin(storage);
    this.#ask(storage, (done) => {
      storage.connection?.request("AskPartitionTable", {}, (table) => {
        done();
        if (this.#lifecycle.phase !== this) return;
        this.#older.add(storage, table);
        told(table);
        this.#ids.examine(storage);
        this.evaluate();
      }, (error) => this.#failed(storage, error));
    });
  }

  #tableLoaded(): void {
    const { env, nodes, notifier, table, unproven } = this.#cluster;
    unproven.clear();
    for (const nid of table.nodes()) unproven.add(nid);
    const known = new Set(nodes.list());
    for (const nid of table.nodes()) nodes.ensureStorage(nid);
    const created = [...nodes.list()].filter((node) => !known.has(node));
    env.log.info(`partition table ${table.ptid} is loaded`);
    for (const admin of notifier.identified(NodeType.ADMIN)) {
      admin.connection?.notify("NotifyNodeInformation", {
        timestamp: notifier.now(),
        nodes: created.map((node) => node.describe()),
      });
      notifier.sendTable(admin);
    }
    this.#busy = true;
    for (const storage of notifier.identified(NodeType.STORAGE)) {
      this.#ids.examine(storage);
    }
    this.#busy = false;
  }

  /** An operator removed a storage. */
  tableChanged(): void {
    this.#search.changed();
  }

  /** Whether a storage may have cells in a table that is not known yet. */
  mayHaveCells(storage: Node): boolean {
    return this.#asked.has(storage) ||
      !this.#search.loaded && (this.#search.version > 0 || this.#cluster.exists);
  }

  /**
   * Whether no storage may know a later table than the one that is loaded, except for one that an
   * operator knows better.
   */
  knowsLastTable(except: Node): boolean {
    const { nodes, startupAllowed, table } = this.#cluster;
    if (this.#asked.size > 0) return false;
    return startupAllowed || [...table.readableNodes()].every((nid) => {
      const node = nodes.get(nid);
      return node !== undefined && (node === except || this.#reports.has(node));
    });
  }

  /** Ends recovery if nothing is missing. To be called after anything that may matter. */
  evaluate(): void {
    if (this.#busy || this.#lifecycle.phase !== this) return;
    if (this.#kept !== null && !this.#ordered) return;
    const needed = this.#needed();
    if (needed === null || needed.size === 0) return;
    // Even one that is not needed may be about to report a newer table.
    if (this.#asked.size > 0) return;
    const { truncateTid } = this.#cluster;
    if (this.#search.loaded && truncateTid !== null) {
      const ask = (storage: Node) => this.storageJoined(storage);
      if (this.#truncation.tell(truncateTid, this.#reports, ask)) return;
    }
    this.#leave(this.#search.loaded);
  }

  /** The storages to start with, `null` if some are missing. */
  #needed(): Set<Node> | null {
    const { exists, nodes, notifier, options: { autostart }, startupAllowed, table } =
      this.#cluster;
    if (this.#search.version > 0) {
      // Never an older table, nor a new one, when a storage has reported this version.
      if (!this.#search.loaded || !table.filled) return null;
      const pending = (nid: number) => {
        const node = nodes.get(nid);
        return node?.state === NodeState.PENDING && (this.#ordered || !this.#ids.isBlank(node));
      };
      if (!table.operational(pending)) return null;
      // An operator who removed one knows better.
      const awaited = [...this.#awaited].filter((nid) => nodes.get(nid) !== undefined);
      if (!this.#ordered && !awaited.every(pending)) return null;
      this.#cluster.truncateTid = this.#truncation.tid(this.#reports);
      const readable = table.readableNodes();
      const wanted = !startupAllowed && this.#cluster.truncateTid !== null
        ? [...table.nodes()].filter((nid) => readable.has(nid) || !this.#ids.isOwnerless(nid))
        : readable;
      const needed = new Set<Node>();
      for (const nid of wanted) {
        const node = nodes.get(nid);
        if (node !== undefined && pending(nid)) needed.add(node);
        else if (!startupAllowed) return null;
      }
      return needed;
    }
    const storages = notifier.identified(NodeType.STORAGE);
    const enough = !exists && autostart !== null && storages.length >= autostart;
    if (!startupAllowed && !enough) return null;
    return new Set(storages);
  }

  #leave(existing: boolean): void {
    const { nodes, notifier, table } = this.#cluster;
    if (existing && this.#isBackup()) {
      this.#lifecycle.fail(
        new ConfigError("this database is a backup: backup clusters are not supported yet"),
      );
      return;
    }
    if (existing) this.#dismissBlank();
    if (existing && this.#ordered) this.#leaveBehind();
    const changed: Node[] = [];
    for (const storage of notifier.identified(NodeType.STORAGE)) {
      if (existing && !table.hasNode(storage.nid ?? 0)) continue;
      storage.state = NodeState.RUNNING;
      changed.push(storage);
    }
    // Storages have not been told about nodes that are only known from the table.
    const absent = existing
      ? [...table.nodes()].map((nid) => nodes.get(nid)).filter((node) => node !== undefined)
        .filter((node) => node.connection === null)
      : [];
    notifier.changeNodes(...changed, ...absent);
    if (existing) this.#outdate();
    else this.#create(changed);
    this.#lifecycle.verify();
  }

  /**
   * Storages that lost their database are disconnected: their cells get outdated with those of absent
   * nodes. Unless nobody else has what they lost, and an operator has ordered the start.
   */
  #dismissBlank(): void {
    const { nodes, notifier, table } = this.#cluster;
    const full = (nid: Nid) => {
      const node = nodes.get(nid);
      return node?.state === NodeState.PENDING && !this.#ids.isBlank(node);
    };
    if (!table.operational(full)) return;
    this.#busy = true;
    for (const storage of notifier.identified(NodeType.STORAGE)) {
      if (this.#ids.isBlank(storage)) storage.connection?.close();
    }
    this.#busy = false;
  }

  /** What is not there, or misses something, is out of date. */
  #outdate(): void {
    const { env, notifier, running, table } = this.#cluster;
    const unseen = this.#older.promotedUnseen();
    for (const { partition, nid } of unseen) {
      env.log.warning(
        `partition ${partition} of ${
          nodeName(nid)
        } is replicated again: a copy without which it would ` +
          "have served has not heard of it",
      );
    }
    const absent = table.outdate(running).filter(({ partition, nid }) =>
      !unseen.some((cell) => cell.partition === partition && cell.nid === nid)
    );
    notifier.changeTable([...unseen, ...absent], [NodeType.ADMIN]);
  }

  /** The operator knows that these are not there. They may be elsewhere. */
  #leaveBehind(): void {
    const { leftBehind, nodes, table } = this.#cluster;
    for (const nid of table.readableNodes()) {
      if ((nodes.get(nid)?.connection ?? null) === null) leftBehind.add(nid, this.#search.version);
    }
  }

  #isBackup(): boolean {
    const { table } = this.#cluster;
    return [...this.#reports].some(([{ nid }, { backupTid }]) =>
      backupTid !== null && nid !== null &&
      table.rows.some((row) => row.some((cell) => cell.nid === nid && isReadable(cell.state)))
    );
  }

  #create(storages: readonly Node[]): void {
    const { env, extraOf, notifier, options, table } = this.#cluster;
    const members = storages.flatMap((storage) =>
      storage.nid === null ? [] : [{ nid: storage.nid, path: extraOf(storage).devpath }]
    );
    if (!table.create(options.partitions, options.replicas, members)) {
      env.log.warning("the topology of the storages does not allow to keep copies apart");
    }
    env.log.info(`created a partition table of ${options.partitions} partitions`);
    notifier.sendTable(...notifier.identified(NodeType.ADMIN));
  }
}
