/**
 * The storage node.
 *
 * @module
 */

import { delay, type Environment } from "../network/environment.ts";
import { errorText } from "../network/log.ts";
import { acceptConnections, type Server } from "../network/server.ts";
import { ConfigError } from "../node/errors.ts";
import { KnownMasters } from "../node/known_masters.ts";
import type { NodeMeasures } from "../node/measures.ts";
import { type Address, formatAddress, type Nid, nodeName } from "../protocol/nodes.ts";
import type { Database } from "./database/database.ts";
import { Identification } from "./identification.ts";
import { Session } from "./session.ts";

/** Milliseconds between two attempts to open a database that failed. */
const REOPEN_DELAY = 1000;
/** Milliseconds that a database has to close when the node ends. */
const CLOSE_TIME = 10_000;

/** What a storage node is told by its operator. */
export interface StorageOptions {
  /** Name of the cluster. */
  readonly cluster: string;
  /** Where to listen, port 0 meaning any free port. Other nodes are given the real address. */
  readonly bind: Address;
  /** Masters to start with, at least one. */
  readonly masters: readonly Address[];
  /** Called with all the masters of the cluster whenever one comes, changes or goes. */
  readonly onMasters?: (masters: readonly Address[]) => void;
  /** Id to ask for if the database has none. */
  readonly nid: Nid | null;
  /** Only asks for a new id, for the copy of a database. */
  readonly newNid: boolean;
  /** Does not execute pack orders, and says that it did. */
  readonly disablePack: boolean;
  /** Opens the database, again after each failure. */
  readonly openDatabase: () => Promise<Database>;
}

/**
 * A storage node.
 *
 * When its database fails, it leaves the cluster and comes back as soon as the database does: replicas
 * serve meanwhile, and nobody waits for a node that can't answer.
 *
 * @example
 * ```ts ignore
 * const storage = new Storage(env, {
 *   cluster: "test",
 *   bind: { host: "127.0.0.1", port: 0 },
 *   masters: [{ host: "127.0.0.1", port: 10000 }],
 *   nid: null,
 *   newNid: false,
 *   disablePack: false,
 *   openDatabase: () => openDatabase("SQLite", options),
 * });
 * await storage.run(AbortSignal.timeout(60_000));
 * ```
 */
export class Storage {
  /** The real listening address, once listening. Rejects if the node ends before. */
  readonly address: Promise<Address>;
  readonly #env: Environment;
  readonly #options: StorageOptions;
  readonly #masters: KnownMasters;
  readonly #identification: Identification;
  #settleAddress: PromiseWithResolvers<Address>;
  #server: Server | null = null;
  #session: Session | null = null;

  constructor(env: Environment, options: StorageOptions) {
    this.#env = env;
    this.#options = options;
    this.#masters = new KnownMasters(options.masters, options.onMasters);
    this.#settleAddress = Promise.withResolvers();
    this.address = this.#settleAddress.promise;
    this.address.catch(() => {}); // Whoever does not wait for it does not care.
    this.#identification = new Identification({
      log: env.log,
      cluster: options.cluster,
      context: () => this.#session,
      hold: (connection) => this.#server?.hold(connection),
    });
  }

  /**
   * Serves until the master tells the node to stop, or the signal aborts.
   *
   * @throws {ConfigError} if the options do not fit together, or do not fit the database, or the
   * address can't be listened to.
   * @throws {Error} if the database can't be opened at first.
   */
  async run(signal: AbortSignal): Promise<void> {
    let database: Database | null = null;
    try {
      if (this.#options.masters.length === 0) throw new ConfigError("no master is given");
      database = await this.#openDatabase(signal);
      if (database === null) throw signal.reason;
      const server = await this.#listen();
      this.#server = server;
      this.#settleAddress.resolve(server.address);
      this.#env.log.info(`listening at ${formatAddress(server.address)}`);
      while (database !== null && await this.#serve(database, server.address, signal)) {
        database = await this.#reopenDatabase(signal);
      }
    } catch (error) {
      this.#settleAddress.reject(error);
      if (database !== null || !signal.aborted) throw error;
    } finally {
      this.#server?.stop();
      if (database !== null) await this.#close(database);
      this.#env.log.flush();
    }
  }

  /** Closes a database that works, unless it hangs: nothing acknowledged depends on it. */
  async #close(database: Database): Promise<void> {
    let cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#env.setTimer(CLOSE_TIME, () => {
        this.#env.log.warning("the database does not answer: ending without closing it");
        resolve();
      });
    });
    await Promise.race([database.close(), late]);
    cancel();
  }

  async #listen(): Promise<Server> {
    const { bind } = this.#options;
    try {
      return await acceptConnections(this.#env, {
        address: bind,
        handler: this.#identification,
        onClosed: (connection) => {
          this.#identification.closed(connection);
          this.#session?.operation?.disconnected(connection);
        },
      });
    } catch (error) {
      const text = `can't listen to ${formatAddress(bind)}: ${errorText(error)}`;
      throw new ConfigError(text, { cause: error });
    }
  }

  /** Serves as long as the database works. Returns whether to go on with another one. */
  async #serve(database: Database, address: Address, signal: AbortSignal): Promise<boolean> {
    const { log } = this.#env;
    const { cluster, nid, newNid, disablePack } = this.#options;
    const session = new Session(this.#env, database, {
      cluster,
      address,
      nid,
      newNid,
      disablePack,
      masters: this.#masters,
      closeConnections: () => this.#closeConnections(),
      nodesChanged: () => this.#identification.retry(),
    });
    const stop = () => session.end({ kind: "stopped" });
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    this.#session = session;
    try {
      const ending = await session.run();
      if (ending.kind === "removed") {
        log.info("erasing the database");
        await database.erase();
      }
      if (ending.kind !== "failed") return false;
      log.error(`the database failed, leaving the cluster: ${errorText(ending.error)}`);
      await closeFailed(database);
      return true;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#session = null;
    }
  }

  /** Opens the database, or returns `null` if the node has to stop before it is open. */
  async #openDatabase(signal: AbortSignal): Promise<Database | null> {
    const stopped = Promise.withResolvers<null>();
    const stop = () => stopped.resolve(null);
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    const opening = this.#openOwnDatabase();
    try {
      const database = await Promise.race([opening, stopped.promise]);
      if (database === null) opening.then(closeFailed, () => {});
      return database;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** @throws {ConfigError} if it is not the database of this node. */
  async #openOwnDatabase(): Promise<Database> {
    const { cluster, nid } = this.#options;
    const database = await this.#options.openDatabase();
    try {
      const { clusterName } = database;
      if (clusterName === null) await database.setClusterName(cluster);
      else if (clusterName !== cluster) {
        throw new ConfigError(`the database belongs to cluster '${clusterName}', not '${cluster}'`);
      }
      if (nid !== null && database.nid !== null && database.nid !== nid) {
        throw new ConfigError(
          `the database belongs to node ${nodeName(database.nid)}, not ${nodeName(nid)}`,
        );
      }
      return database;
    } catch (error) {
      await closeFailed(database);
      throw error;
    }
  }

  /** Tries for ever; returns `null` if the node has to stop meanwhile. */
  async #reopenDatabase(signal: AbortSignal): Promise<Database | null> {
    const { log } = this.#env;
    let told: string | null = null;
    for (;;) {
      try {
        await delay(this.#env, REOPEN_DELAY, signal);
      } catch (error) {
        if (signal.aborted) return null;
        throw error;
      }
      try {
        const database = await this.#openDatabase(signal);
        if (database !== null) log.warning("the database is back");
        return database;
      } catch (error) {
        const text = errorText(error);
        if (text !== told) log.error(`the database can't be opened, trying again: ${text}`);
        told = text;
      }
    }
  }

  #closeConnections(): void {
    for (const connection of [...this.#server?.connections ?? []]) connection.close();
  }

  /** The state of the node, for those who watch over it. */
  measure(): NodeMeasures {
    const measures = this.#session?.measure() ?? { serving: false, cluster: null, values: {} };
    const { waitingRequests = 0 } = measures.values;
    const waiting = waitingRequests + this.#identification.waiting;
    return { ...measures, values: { ...measures.values, waitingRequests: waiting } };
  }

  /** The state of the node, for logs. */
  dump(): string {
    const lines = [
      `${this.#server?.connections.size ?? 0} connections were opened to this node, ` +
      `${this.#identification.waiting} peers wait for the master`,
      ...this.#session?.dump() ?? ["no database"],
    ];
    return lines.join("\n");
  }
}

async function closeFailed(database: Database): Promise<void> {
  try {
    await database.close();
  } catch {
    // Its failure was told already.
  }
}
