/**
 * All the nodes of a cluster as workers of this process.
 *
 * @module
 */

import { Connection } from "../network/connection.ts";
import { delay } from "../network/environment.ts";
import { ErrorAnswer } from "../network/handler.ts";
import { errorText, type Log } from "../network/log.ts";
import { realEnvironment } from "../network/real.ts";
import { ConfigError } from "../node/errors.ts";
import { ClusterState, NodeType } from "../protocol/enums.ts";
import { type Address, nidOf } from "../protocol/nodes.ts";
import { createMysqlDatabase } from "../storage/database/mod.ts";
import type { DataFolder } from "./folder.ts";
import type { LogSpec, NodeSpec } from "./messages.ts";
import { NodeWorker } from "./node_worker.ts";
import type { ClusterOptions } from "./options.ts";

/** Milliseconds that nodes have to end by themselves once they are told to. */
const STOP_TIME = 5_000;
/** Milliseconds between two looks at the state of the cluster that starts. */
const STATE_INTERVAL = 20;
/** Milliseconds a start may take before the user is told what is waited for. */
const SLOW_START = 5_000;

/** A running local cluster. */
export class LocalCluster {
  private constructor(
    readonly name: string,
    /** Addresses of the masters. */
    readonly masters: readonly Address[],
    /** Address of the admin. */
    readonly admin: Address,
    readonly nodes: Nodes,
  ) {}

  /**
   * Starts all nodes.
   *
   * @param folder where the data is, `null` for memory.
   * @throws {ConfigError} if an address is in use or a database can't be used.
   */
  static async start(
    options: ClusterOptions,
    folder: DataFolder | null,
    log: LogSpec,
  ): Promise<LocalCluster> {
    const { name: cluster, bind, partitions, replicas, storages } = options;
    const databases = await storageDatabases(options, folder?.path ?? null);
    const isNew = folder?.isNew ?? true;
    const common = { cluster, log };
    const nodes = new Nodes();
    const masters: Address[] = [];
    try {
      while (masters.length < options.masters) {
        const number = masters.length + 1;
        const master = nodes.add({
          ...common,
          type: "master",
          name: `M${number}`,
          bind: { ...bind, port: bind.port === 0 ? 0 : bind.port + number - 1 },
          masters: [...masters],
          partitions,
          replicas,
          storages,
        });
        masters.push(await master.listening);
      }
      const admin = nodes.add({
        ...common,
        type: "admin",
        name: "A1",
        bind: options.admin,
        masters,
      });
      for (const [index, database] of databases.entries()) {
        const number = index + 1;
        nodes.add({
          ...common,
          type: "storage",
          name: `S${number}`,
          // An id that is known would be taken for the storage that has the data.
          nid: isNew ? nidOf(NodeType.STORAGE, number) : null,
          bind: { host: bind.host, port: 0 },
          masters,
          ...database,
        });
      }
      await Promise.all(nodes.all.map(({ listening }) => listening));
      return new LocalCluster(cluster, masters, await admin.listening, nodes);
    } catch (error) {
      await nodes.stop();
      // The node has told why.
      throw new ConfigError(`${errorText(error)}, for the reason above`);
    }
  }

  /** Waits until clients are served. Rejects with the signal's reason, or if a node ends. */
  async ready(log: Log, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    this.watch(either).then(
      () => over.abort(new Error("the cluster was stopped before it was ready")),
      (error) => over.abort(error),
    );
    try {
      await this.#running(log, either);
    } catch (error) {
      either.throwIfAborted();
      throw error;
    } finally {
      over.abort();
    }
  }

  async #running(log: Log, signal: AbortSignal): Promise<void> {
    const env = realEnvironment({ log });
    const told = env.setTimer(SLOW_START, () =>
      log.warning(
        "the cluster waits for storages with all the data: is a file or database missing? " +
          "'neoctl print node' and 'neoctl print pt' tell more; 'neoctl start' goes on without them",
      ));
    try {
      // An admin that does not know the state yet closes the connection.
      while (await this.#withAdmin(log, stateOf) !== ClusterState.RUNNING) {
        await delay(env, STATE_INTERVAL, signal);
      }
    } finally {
      told();
    }
  }

  /**
   * Waits for the signal, or for the end of a cluster that is stopped by an operator.
   *
   * @throws {Error} (a rejection) if a node fails before.
   */
  async watch(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
      for (const node of this.nodes.all) {
        node.ended.then((status) => {
          if (status !== 0) reject(new Error(`${node.name} ended with status ${status}`));
        });
      }
      // One of several may be stopped by an operator.
      this.nodes.mastersEnded.then(() => resolve());
    });
  }

  /** Stops the cluster as an operator would, so that no cell gets outdated; by force if it must. */
  async stop(log: Log): Promise<void> {
    try {
      await this.#withAdmin(
        log,
        (admin) => admin.command("SetClusterState", { state: ClusterState.STOPPING }),
      );
      if (await inTime(this.nodes.ended, STOP_TIME)) return;
      log.warning("a transaction does not end: stopping without it");
    } catch (error) {
      // An operator may have been first.
      if (await inTime(this.nodes.mastersEnded, 0)) return void await this.nodes.stop();
      log.warning(`the cluster can't be stopped by its admin: ${errorText(error)}`);
    }
    await this.nodes.stop();
  }

  async #withAdmin<T>(log: Log, use: (admin: Connection) => Promise<T>): Promise<T> {
    const env = realEnvironment({ log });
    const transport = await env.connect(this.admin);
    const connection = new Connection(env, transport, { connecting: true, handler: {} });
    try {
      return await use(connection);
    } finally {
      connection.close();
    }
  }
}

/** The state of the cluster, `null` if the admin does not know. */
async function stateOf(admin: Connection): Promise<ClusterState | null> {
  try {
    return (await admin.ask("AskClusterState", {})).state;
  } catch (error) {
    if (error instanceof ErrorAnswer) return null;
    throw error;
  }
}

/** The workers of a cluster. */
class Nodes {
  readonly all: NodeWorker[] = [];
  readonly #masters: NodeWorker[] = [];

  /** Starts one more. */
  add(spec: NodeSpec): NodeWorker {
    const node = new NodeWorker(spec);
    this.all.push(node);
    if (spec.type === "master") this.#masters.push(node);
    return node;
  }

  /** Resolves when all have ended. */
  get ended(): Promise<unknown> {
    return Promise.all(this.all.map(({ ended }) => ended));
  }

  /** Resolves when all masters have ended. */
  get mastersEnded(): Promise<unknown> {
    return Promise.all(this.#masters.map(({ ended }) => ended));
  }

  /** Stops them one by one. */
  async stop(): Promise<void> {
    // Masters go first, and alone: they must not see storages leave.
    for (const master of this.#masters) master.stop();
    await inTime(this.mastersEnded, STOP_TIME);
    for (const node of this.all) node.stop();
    await inTime(this.ended, STOP_TIME);
  }
}

/** Whether something ended before a time in milliseconds. */
async function inTime(ended: Promise<unknown>, time: number): Promise<boolean> {
  let timer;
  const late = new Promise<false>((resolve) => timer = setTimeout(() => resolve(false), time));
  try {
    return await Promise.race([ended.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}

interface StorageDatabase {
  readonly adapter: "SQLite" | "MySQL";
  readonly database: string;
}

async function storageDatabases(
  { storages, database }: ClusterOptions,
  folder: string | null,
): Promise<StorageDatabase[]> {
  const numbers = Array.from({ length: storages }, (_, index) => index + 1);
  if (database === null) {
    return numbers.map((number) => ({
      adapter: "SQLite",
      database: folder === null ? ":memory:" : `${folder}/storage${number}.sqlite`,
    }));
  }
  const databases: StorageDatabase[] = [];
  for (const number of numbers) {
    const url = database + number;
    try {
      await createMysqlDatabase(url);
    } catch (error) {
      throw new ConfigError(`can't create the database of storage ${number}: ${errorText(error)}`);
    }
    databases.push({ adapter: "MySQL", database: url });
  }
  return databases;
}
