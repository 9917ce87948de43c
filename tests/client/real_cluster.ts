/** The nodes of this repository, in this process, on a network without sockets. */

import { Admin } from "../../admin/mod.ts";
import type { ClientOptions } from "../../client/mod.ts";
import { Client } from "../../client/client.ts";
import { checkOptions } from "../../client/options.ts";
import type { Environment } from "../../network/environment.ts";
import type { Tracer } from "../../network/tracer.ts";
import { type Link, MemoryNetwork } from "../../network/memory.ts";
import { realEnvironment } from "../../network/real.ts";
import { Master } from "../../master/mod.ts";
import { runCommand, type RunOptions } from "../../neoctl/run.ts";
import { type Database, openDatabase } from "../../storage/database/mod.ts";
import { Storage } from "../../storage/mod.ts";
import { formatAddress } from "../../protocol/nodes.ts";
import { MemoryLog, until } from "../network/support.ts";
import { databaseOptions } from "../storage/database/support.ts";

const NAME = "test";
const MASTER = { host: "10.0.0.1", port: 10000 };
const ADMIN = { host: "10.0.0.9", port: 9999 };

export interface RealClusterOptions {
  readonly partitions?: number;
  readonly replicas?: number;
  /** Storages to start with; without, operators start the cluster later. */
  readonly storages?: number;
  /**
   * Milliseconds that bytes take. Without, they travel in microtasks: clients that never wait for
   * anything else then keep timers from being called.
   */
  readonly delay?: number | (() => number);
  /** Of all nodes and clients. */
  readonly tracer?: Tracer;
  /** Opens the database of a storage, numbered from 1. Default: SQLite in memory. */
  readonly openDatabase?: (number: number) => Promise<Database>;
}

export interface RealStorageOptions {
  /** Opens its database, instead of the usual ones of the cluster. */
  readonly openDatabase?: (number: number) => Promise<Database>;
  /** Whether it only asks for an id for the copy of a database. */
  readonly newNid?: boolean;
}

/** A new SQLite database in memory. */
export function openMemoryDatabase(): Promise<Database> {
  return openDatabase("SQLite", databaseOptions(":memory:"));
}

/** Runs a cluster until it is disposed of. */
export class RealCluster implements AsyncDisposable {
  readonly logs: MemoryLog[] = [];
  /** Whether no timer of a node or client fires any more. */
  timersOff = false;
  readonly network: MemoryNetwork;
  /** Those of the storages that run, in order. */
  readonly databases: Database[] = [];
  /** The logs of the last lives of the storages, in order. */
  readonly storageLogs: MemoryLog[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #clients: Client[] = [];
  readonly #storages = new Map<number, () => Promise<void>>();
  #stopMaster: () => Promise<void> = () => Promise.resolve();
  #options: RealClusterOptions = {};
  readonly #real: Environment;

  private constructor(delay: number | (() => number)) {
    this.#real = realEnvironment({ log: new MemoryLog() });
    this.network = new MemoryNetwork(this.#real, {
      delay: () => typeof delay === "number" ? delay : delay(),
    });
  }

  static async start(options: RealClusterOptions = {}): Promise<RealCluster> {
    const cluster = new RealCluster(options.delay ?? 0);
    await cluster.#start(options);
    return cluster;
  }

  async #start(options: RealClusterOptions) {
    this.#options = options;
    const { storages = 2 } = options;
    await this.startMaster();
    for (let i = 1; i <= storages; i++) this.startStorage(i);
    // Before that, clients are told to come back a second later.
    if (storages > 0) await this.operational();
  }

  /** Starts a master. */
  async startMaster(): Promise<void> {
    const { partitions = 3, replicas = 1, storages = 2 } = this.#options;
    const master = new Master(this.#env(MASTER.host), {
      cluster: NAME,
      bind: MASTER,
      masters: [],
      nid: null,
      partitions,
      replicas,
      autostart: storages === 0 ? null : storages,
    });
    const stop = new AbortController();
    const running = master.run(AbortSignal.any([this.#stop.signal, stop.signal]));
    this.#running.push(running);
    this.#stopMaster = () => {
      stop.abort();
      return running;
    };
    await master.address;
    this.describe = () => master.dump();
  }

  /** Ends the master. */
  async stopMaster(): Promise<void> {
    await this.#stopMaster();
  }

  /** Waits until the cluster serves clients. */
  async operational(): Promise<void> {
    await until(() => this.describe().includes(", RUNNING\n"), "a cluster that runs");
  }

  /** What the master knows. */
  describe: () => string = () => "";

  /** Starts a storage, numbered from 1. Resolves when it has ended. */
  startStorage(number: number, given: RealStorageOptions = {}): Promise<void> {
    const { openDatabase: open = openMemoryDatabase } = this.#options;
    const { openDatabase = open, newNid = false } = given;
    const host = storageHost(number);
    const env = this.#env(host);
    this.storageLogs[number - 1] = env.log;
    const storage = new Storage(env, {
      cluster: NAME,
      bind: { host, port: 0 },
      masters: [MASTER],
      nid: null,
      newNid,
      disablePack: false,
      openDatabase: async () => {
        const database = await openDatabase(number);
        this.databases[number - 1] = database;
        return database;
      },
    });
    const stop = new AbortController();
    const running = storage.run(AbortSignal.any([this.#stop.signal, stop.signal]));
    this.#running.push(running);
    this.#storages.set(number, () => {
      stop.abort();
      return running;
    });
    return running;
  }

  /** Stops a storage, as if it was killed for those who are connected to it. */
  async stopStorage(number: number): Promise<void> {
    await this.#storages.get(number)?.();
    delete this.databases[number - 1];
  }

  /** The open streams from a client to the master, or to a storage. */
  links(client: Client, to: "master" | number): Link[] {
    const from = clientHost(this.#clients.indexOf(client));
    return this.#linksBetween(from, to === "master" ? MASTER.host : storageHost(to));
  }

  /** The open streams from a storage to the master. */
  storageLinks(storage: number): Link[] {
    return this.#linksBetween(storageHost(storage), MASTER.host);
  }

  #linksBetween(from: string, to: string): Link[] {
    return [...this.network.links].filter((link) => link.from.host === from && link.to.host === to);
  }

  /** Starts an admin, and waits until it has found the master. */
  async startAdmin(): Promise<void> {
    const admin = new Admin(this.#env(ADMIN.host), {
      cluster: NAME,
      bind: ADMIN,
      masters: [MASTER],
    });
    this.#running.push(admin.run(this.#stop.signal));
    await until(
      () => /cluster state R/.test(admin.dump()),
      "an admin that knows the cluster",
    );
  }

  /** Runs a command of operators. */
  async neoctl(command: string, options: Pick<RunOptions, "wait"> = {}): Promise<string> {
    const endpoint = { address: ADMIN, timeout: 30, ...options };
    const { stdout, stderr } = await runCommand(
      this.#env("10.0.3.1"),
      endpoint,
      command.split(" "),
    );
    return stdout + stderr;
  }

  /** A client that is connected. */
  async connect(options: Partial<ClientOptions> = {}): Promise<Client> {
    const client = new Client(
      this.#env(clientHost(this.#clients.length)),
      checkOptions({ name: NAME, masters: [formatAddress(MASTER)], ...options }),
    );
    this.#clients.push(client);
    await client.connected();
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client.close();
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  #env(host: string): Environment & { readonly log: MemoryLog } {
    const log = new MemoryLog();
    this.logs.push(log);
    const setTimer: Environment["setTimer"] = (milliseconds, callback) =>
      this.#real.setTimer(milliseconds, () => {
        if (!this.timersOff) callback();
      });
    const { tracer } = this.#options;
    return {
      ...this.#real,
      ...this.network.host(host),
      log,
      setTimer,
      ...tracer !== undefined && { tracer },
    };
  }
}

function clientHost(index: number): string {
  return `10.0.2.${index + 1}`;
}

function storageHost(number: number): string {
  return `10.0.1.${number}`;
}
