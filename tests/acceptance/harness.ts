/** What the lines of the acceptance list are run with: clusters of several kinds. */

import assert from "node:assert/strict";
import type { Client, ClientOptions } from "../../client/mod.ts";
import { RealCluster } from "../client/real_cluster.ts";
import type { Databases, Place } from "./databases.ts";

/** A kind of cluster. */
export interface Configuration {
  readonly name: string;
  readonly storages: number;
  readonly partitions: number;
  readonly replicas: number;
  readonly databases: Databases;
}

export type Test = (scene: Scene) => Promise<void>;

/** A line that needs a cluster of its own, or of a certain kind. */
export interface SpecialLine {
  readonly test: Test;
  /** The database must be empty, or the test breaks the cluster. */
  readonly own?: true;
  /** As `own`, and nodes are stopped and started again. */
  readonly durable?: true;
  /** Only makes sense if cells have replicas. */
  readonly replicated?: true;
  /** Milliseconds that bytes take, where timers must be called meanwhile. */
  readonly delay?: number;
}

/** The lines of a section, by name. */
export type Lines = Readonly<Record<string, Test | SpecialLine>>;

/** Where one line is run. */
export class Scene implements AsyncDisposable {
  readonly #site: Site;
  readonly #clients: Client[] = [];
  readonly #others: Site[] = [];
  #client: Client | null = null;

  constructor(readonly configuration: Configuration, site: Site) {
    this.#site = site;
  }

  get cluster(): RealCluster {
    return this.#site.cluster;
  }

  /** A client. */
  get client(): Client {
    assert.ok(this.#client !== null);
    return this.#client;
  }

  async start(): Promise<void> {
    this.#client = await this.connect();
  }

  /** Another client of the same cluster. */
  readonly connect = async (options: Partial<ClientOptions> = {}): Promise<Client> => {
    const client = await this.cluster.connect(options);
    this.#clients.push(client);
    return client;
  };

  /** Another cluster, which is empty. */
  readonly otherCluster = async (): Promise<RealCluster> => {
    const site = await Site.open(this.configuration);
    this.#others.push(site);
    return site.cluster;
  };

  /** All nodes stop, and start again with the databases that there are. Clients are closed. */
  readonly restartCluster = async (): Promise<void> => {
    await this.#closeClients();
    await this.#site.restart();
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeClients();
    for (const site of this.#others) await site.close();
  }

  async #closeClients(): Promise<void> {
    for (const client of this.#clients.splice(0)) await client.close();
  }
}

/** A cluster with its databases. */
class Site {
  #cluster: RealCluster | null = null;

  private constructor(
    readonly configuration: Configuration,
    readonly places: readonly Place[],
    readonly delay: number,
  ) {}

  static async open(
    configuration: Configuration,
    { durable = false, delay = 0 }: { durable?: boolean; delay?: number } = {},
  ): Promise<Site> {
    const places = await Promise.all(
      Array.from({ length: configuration.storages }, () => configuration.databases(durable)),
    );
    const site = new Site(configuration, places, delay);
    await site.#start();
    return site;
  }

  get cluster(): RealCluster {
    assert.ok(this.#cluster !== null);
    return this.#cluster;
  }

  async restart(): Promise<void> {
    await this.#stop();
    await this.#start();
  }

  async close(): Promise<void> {
    await this.#stop();
    for (const place of this.places) await place.release();
  }

  async #start(): Promise<void> {
    const { storages, partitions, replicas } = this.configuration;
    this.#cluster = await RealCluster.start({
      storages,
      partitions,
      replicas,
      delay: this.delay,
      openDatabase: (number) => {
        const place = this.places[number - 1];
        assert.ok(place !== undefined);
        return place.open();
      },
    });
  }

  /** Nodes must not have met anything they did not expect. */
  async #stop(): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
    const lines = this.cluster.logs.flatMap(({ lines }) => lines);
    assert.deepEqual(lines.filter((line) => /^ERROR[^]*\n {4}at /.test(line)), []);
  }
}

/** Lines that wait for timers, which are run at the same time. */
const AT_ONCE = 4;

/** Runs the lines of a section as steps of a test. */
export async function runLines(
  context: Deno.TestContext,
  configuration: Configuration,
  lines: Lines,
): Promise<void> {
  /** What most lines share. */
  let shared: Site | null = null;
  const waiting: (() => Promise<unknown>)[] = [];
  for (const [name, line] of Object.entries(lines)) {
    const special: SpecialLine = typeof line === "function" ? { test: line } : line;
    if (special.replicated && configuration.replicas === 0) continue;
    const own = special.own || special.durable || special.delay !== undefined;
    const fn = async () => {
      const site: Site = own
        ? await Site.open(configuration, special)
        : shared ??= await Site.open(configuration);
      try {
        await using scene = new Scene(configuration, site);
        await scene.start();
        await special.test(scene);
      } finally {
        if (own) await site.close();
      }
    };
    // The cluster of a section outlives each of its lines.
    const step = { name, fn, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };
    if (special.delay !== undefined) {
      waiting.push(() => context.step(step));
      continue;
    }
    const passed = await context.step(step);
    if (passed || own || shared === null) continue;
    // Whatever is left of it is no concern of the lines that follow.
    await (shared as Site).close().catch(() => {});
    shared = null;
  }
  await (shared as Site | null)?.close();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) await run();
  }));
}
