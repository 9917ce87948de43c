/**
 * A run: a cluster works while faults happen, and is then examined.
 *
 * @module
 */

import { TooLate } from "./clock.ts";
import { type Alterations, SimulatedCluster } from "./cluster.ts";
import { checkData, checkLeftovers, repair, STOP_TIME } from "./examination.ts";
import { Faults } from "./faults.ts";
import { Guard } from "./guard.ts";
import { drawPlan, type Plan } from "./plan.ts";

/** Milliseconds that the cluster has to be created. */
const CREATION_TIME = 30_000;
/** What came out of a run. */
export interface Outcome {
  readonly plan: Plan;
  /** What is wrong; nothing if all is well. */
  readonly violations: readonly string[];
  /** Identifies everything that happened. */
  readonly hash: number;
  /** Virtual milliseconds. */
  readonly duration: number;
  readonly events: number;
  /** Transactions, by how they ended. */
  readonly transactions: Readonly<Record<"committed" | "failed" | "unknown", number>>;
  /** What happened, one entry a line. */
  story(): Iterable<string>;
}

/** Runs a seed. */
export async function simulate(seed: number, alterations: Alterations = {}): Promise<Outcome> {
  const plan = drawPlan(seed);
  const cluster = new SimulatedCluster(plan, alterations);
  const { clock, trace, history, violations } = cluster;
  using _guard = new Guard(cluster.fail);
  try {
    await work(cluster);
    const last = await repair(cluster);
    checkLeftovers(cluster);
    await checkData(cluster, last);
    await end(cluster);
  } catch (error) {
    if (violations.length === 0) {
      const text = error instanceof Error ? error.stack ?? error.message : String(error);
      cluster.fail(error instanceof TooLate ? `${error.message}\n${describe(cluster)}` : text);
    }
  }
  // What is left over stays asleep for ever.
  cluster.discard();
  const transactions = { committed: 0, failed: 0, unknown: 0 };
  for (const { outcome } of history.attempts) transactions[outcome.kind]++;
  return {
    plan,
    violations,
    hash: trace.hash,
    duration: clock.now,
    events: clock.scheduled,
    transactions,
    story: () => trace.lines(),
  };
}

/** Creates the cluster, and lets clients work while faults happen. */
async function work(cluster: SimulatedCluster): Promise<void> {
  const { clock, plan, masters, storages, admins, clients, disks, random } = cluster;
  for (const node of [...masters, ...storages, ...admins]) node.start();
  const creator = cluster.user("c0");
  await cluster.run(creator.create(), CREATION_TIME, "the cluster is created");
  for (const node of [...cluster.operators, ...clients]) node.start();
  const faults = new Faults(cluster.world, random.fork(), plan, {
    masters,
    storages,
    clients,
    disks,
  });
  faults.start();
  await cluster.run(clock.delay(plan.duration), Infinity, "clients work");
  faults.stop();
}

/** Stops all nodes: nothing may be left of them. */
async function end(cluster: SimulatedCluster): Promise<void> {
  const { clock, fail, network, nodes } = cluster;
  await cluster.run(Promise.all(nodes.map((node) => node.stop())), STOP_TIME, "all nodes stop");
  for (const { name, timersLeft } of nodes) {
    if (timersLeft > 0) fail(`${name} ended and left ${timersLeft} timers`);
  }
  await cluster.run(clock.delay(STOP_TIME), Infinity, "streams close");
  for (const open of network.open()) fail(`all nodes have stopped, but ${open} is open`);
}

function describe({ nodes }: SimulatedCluster): string {
  return nodes.map((node) => `--- ${node.name}\n${node.dump()}`).join("\n");
}
