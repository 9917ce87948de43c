/**
 * How long a client is without service when the primary master is killed.
 *
 * @module
 */

import { type Client, connect } from "../client/mod.ts";
import { ProcessCluster, type ProcessClusterOptions, until } from "../tests/support/processes.ts";
import type { Figure } from "./report.ts";

const MASTERS = 3;
/** Times that the primary is killed. */
const ROUNDS = 5;
/** Milliseconds of service before each: nodes that connected a moment ago are less eager to do it again. */
const PEACE = 1500;

/** Commits without pause, and remembers the longest time between two successes. */
class Witness {
  longest = 0;
  committed = 0;
  readonly #client: Client;
  #stopped = false;
  readonly #work: Promise<void>;

  constructor(client: Client) {
    this.#client = client;
    this.#work = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#work;
  }

  async #run(): Promise<void> {
    let last = performance.now();
    while (!this.#stopped) {
      try {
        await using txn = await this.#client.begin();
        await txn.commit();
      } catch {
        continue; // The transaction that was in progress is lost with the master.
      }
      const now = performance.now();
      this.longest = Math.max(this.longest, now - last);
      last = now;
      this.committed++;
    }
  }
}

/** Measures with storages on these databases, each partition having a copy on all of them. */
export async function measureFailover(
  backend: string,
  databases: ProcessClusterOptions["databases"],
): Promise<Figure[]> {
  const replicas = databases.length - 1;
  await using cluster = new ProcessCluster({ masters: MASTERS, replicas, databases }).start();
  await cluster.running();
  await using client = await connect(cluster.uri);
  const gaps: number[] = [];
  while (gaps.length < ROUNDS) {
    const primary = await cluster.primary();
    const witness = new Witness(client);
    const progress = async (count: number) => {
      const goal = witness.committed + count;
      await until("the client commits", () => witness.committed >= goal);
    };
    await progress(10);
    await new Promise((resolve) => setTimeout(resolve, PEACE));
    await primary.kill();
    await progress(10);
    await witness.stop();
    gaps.push(witness.longest);
    primary.start();
    await until("all masters are back", async () => {
      const { stdout } = await cluster.neoctl("print", "node", "master");
      return stdout.split("\n").filter((line) => line.includes("RUNNING")).length === MASTERS;
    });
  }
  gaps.sort((a, b) => a - b);
  return [
    {
      backend,
      what: "no service after the primary of 3 masters is killed",
      value: gaps[gaps.length >> 1] ?? NaN,
      unit: "ms",
    },
    { backend, what: `the worst of ${ROUNDS} times`, value: gaps.at(-1) ?? NaN, unit: "ms" },
  ];
}
