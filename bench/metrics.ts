/**
 * What it costs to be watched: the same commits with and without metrics on all nodes, by turns.
 *
 * @module
 */

import { type Client, connect } from "../client/mod.ts";
import {
  freePort,
  ProcessCluster,
  type ProcessClusterOptions,
} from "../tests/support/processes.ts";
import type { Figure } from "./report.ts";

const CLIENTS = 16;
/** Turns of each of the two clusters: many short ones, as what else the machine does changes all the time. */
const ROUNDS = 100;
/** Milliseconds of a turn, and of the beginning of it that does not count. */
const TURN = 300;
const WARM_UP = 50;
/** The metrics of all nodes are looked at in one of so many turns: about once in a second of them. */
const SCRAPED_TURNS = 3;
const LENGTH = 300;

type Databases = ProcessClusterOptions["databases"];

/** A cluster and its clients. */
class Site implements AsyncDisposable {
  /** Commits per second in each turn. */
  readonly rates: number[] = [];
  /** Commits of all turns, with those that do not count. */
  commits = 0;
  readonly #clients: Client[] = [];

  private constructor(
    readonly cluster: ProcessCluster,
    /** Where nodes tell their metrics. */
    readonly urls: readonly string[],
  ) {}

  static async start(databases: Databases, watched: boolean): Promise<Site> {
    const addresses: string[] = [];
    const extra = () => {
      if (!watched) return [];
      const address = `127.0.0.1:${freePort()}`;
      addresses.push(address);
      return ["--metrics", address];
    };
    const cluster = new ProcessCluster({ partitions: 12, databases, extra });
    const site = new Site(cluster.start(), addresses.map((address) => `http://${address}/metrics`));
    while (site.#clients.length < CLIENTS) site.#clients.push(await connect(cluster.uri));
    return site;
  }

  /** Lets all clients commit for a while. */
  async turn(): Promise<void> {
    let stop = false;
    const work = async (client: Client) => {
      while (!stop) {
        await using txn = await client.begin();
        await txn.store(
          await client.newOid(),
          null,
          crypto.getRandomValues(new Uint8Array(LENGTH)),
        );
        await txn.commit();
        this.commits++;
      }
    };
    const working = Promise.all(this.#clients.map(work));
    await sleep(WARM_UP);
    const before = this.commits;
    const start = performance.now();
    await sleep(TURN - WARM_UP);
    this.rates.push((this.commits - before) * 1000 / (performance.now() - start));
    stop = true;
    await working;
  }

  /** Seconds of processor time that the main threads of the nodes have used since they were started. */
  async processorTime(): Promise<number> {
    const files = this.cluster.processes.map(({ pid }) => `/proc/${pid}/schedstat`);
    // Deno does not let files of other processes in /proc be read.
    const { stdout } = await new Deno.Command("cat", { args: files }).output();
    const times = new TextDecoder().decode(stdout).trim().split("\n");
    return times.reduce((sum, line) => sum + Number(line.split(" ")[0]), 0) / 1e9;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.cluster[Symbol.asyncDispose]();
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** Reads all metrics as Prometheus does, and fails if it can't. */
async function scrape(urls: readonly string[]): Promise<void> {
  for (const url of urls) {
    const response = await fetch(url);
    const text = await response.text();
    if (!text.includes("\nneo_serving 1\n")) throw new Error(`${url}: no metrics: ${text}`);
  }
}

/** One turn of a cluster whose metrics are looked at. */
async function watchedTurn(site: Site, due: boolean): Promise<void> {
  const scraped = due ? scrape(site.urls) : null;
  await site.turn();
  await scraped;
}

/** Measures two clusters that only differ by metrics, by turns. */
export async function measureMetrics(
  backend: string,
  plainDatabases: Databases,
  watchedDatabases: Databases,
): Promise<Figure[]> {
  await using plain = await Site.start(plainDatabases, false);
  await using watched = await Site.start(watchedDatabases, true);
  // What nodes do once is not compared.
  for (const site of [plain, watched]) {
    await site.turn();
    site.rates.length = site.commits = 0;
  }
  const before = [await plain.processorTime(), await watched.processorTime()] as const;
  for (let round = 0; round < ROUNDS; round++) {
    const due = round % SCRAPED_TURNS === 0;
    if (round % 2 === 0) await plain.turn();
    await watchedTurn(watched, due);
    if (round % 2 === 1) await plain.turn();
  }
  const cost = async (site: Site, start: number) =>
    (await site.processorTime() - start) * 1e6 / site.commits;
  return [
    {
      backend,
      what: `commits with ${CLIENTS} clients and metrics`,
      value: middle(watched.rates),
      unit: "/s",
      raw: { what: "without metrics", value: middle(plain.rates) },
      target: { atLeast: 0.97 },
    },
    ...Deno.build.os !== "linux" ? [] : [{
      backend,
      what: "processor time of all nodes for it",
      value: await cost(watched, before[1]),
      unit: "µs",
      raw: { what: "without metrics", value: await cost(plain, before[0]) },
    }],
  ];
}
