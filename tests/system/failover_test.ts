/**
 * Masters are killed and frozen while clients commit.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connect } from "../../client/mod.ts";
import { type NodeProcess, ProcessCluster, until } from "../support/processes.ts";
import { Workload } from "./workload.ts";

const CLIENTS = 4;
const ROUNDS = 3;

/** The states of the masters as an operator sees them, the primary first. */
async function masterStates(cluster: ProcessCluster): Promise<string[]> {
  const { stdout } = await cluster.neoctl("print", "node", "master");
  return stdout.trimEnd().split("\n").map((line) => {
    const [, , , state, date] = line.split("|").map((cell) => cell.trim());
    return date === "None" && state === "RUNNING" ? "PRIMARY" : state ?? "";
  }).sort();
}

/** Waits until an operator sees these states. */
async function mastersAre(cluster: ProcessCluster, ...expected: string[]): Promise<void> {
  let seen: string[] = [];
  try {
    await until(`masters are ${expected}`, async () => {
      seen = await masterStates(cluster);
      return seen.join() === expected.join();
    });
  } catch (error) {
    throw new Error(`${error}: they are ${seen}`);
  }
}

async function commitOne(uri: string): Promise<void> {
  await using client = await connect(uri);
  await using txn = await client.begin({ description: "not of the workload" });
  await txn.commit();
}

Deno.test("a cluster of three masters loses nothing when its primary is killed, or frozen", async () => {
  const folder = await Deno.makeTempDir();
  const databases = ["1", "2"].map((name) => (
    { adapter: "SQLite", database: `${folder}/${name}.sqlite` }
  ));
  const listOf = (name: string) => `${folder}/${name}.json`;
  await using cluster = new ProcessCluster({
    partitions: 4,
    replicas: 1,
    masters: 3,
    databases,
    extra: (name) => ["--dynamic-master-list", listOf(name)],
  }).start();
  try {
    await using workload = await Workload.open(cluster.uri, CLIENTS);
    workload.start();
    const progress = async (what: string) => {
      const before = workload.acknowledged;
      await until(what, () => workload.acknowledged >= before + 3 * CLIENTS);
    };
    await progress("clients commit");
    await mastersAre(cluster, "PRIMARY", "RUNNING", "RUNNING");

    for (let round = 1; round <= ROUNDS; round++) {
      const primary = await cluster.primary();
      await primary.kill("SIGKILL");
      await progress(`clients commit again after ${primary.name} was killed (round ${round})`);
      assert.notEqual(await cluster.primary(), primary);
      primary.start();
      await mastersAre(cluster, "PRIMARY", "RUNNING", "RUNNING");
    }

    const primary = await cluster.primary();
    primary.signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 500));
    primary.signal("SIGCONT");
    await progress("clients commit after a pause of the primary");
    assert.equal(await cluster.primary(), primary);

    // All others are restarted while it is frozen: it has no way to notice.
    primary.signal("SIGSTOP");
    const others: NodeProcess[] = cluster.processes.filter((process) => process !== primary);
    await Promise.all(others.map((process) => process.kill("SIGKILL")));
    for (const process of others) process.start();
    await mastersAre(cluster, "DOWN", "PRIMARY", "RUNNING");
    await cluster.running();
    const next = await cluster.primary();
    primary.signal("SIGCONT");
    await progress("clients commit after the frozen primary woke up");
    await mastersAre(cluster, "PRIMARY", "RUNNING", "RUNNING");
    assert.equal(await cluster.primary(), next);

    await Promise.all(cluster.masters.map((master) => master.kill("SIGKILL")));
    for (const master of cluster.masters) master.start();
    await progress("clients commit after all masters were killed");

    await workload.stop();
    await workload.check(cluster.uri);
    assert(workload.acknowledged > 50);
    await commitOne(cluster.uri);
    await cluster.stop();
    const masters = cluster.masterAddresses.map(({ host, port }) => [host, port]);
    for (const { name } of cluster.processes) {
      const list: unknown[] = JSON.parse(await Deno.readTextFile(listOf(name)));
      assert.deepEqual(list.toSorted(), masters.toSorted(), `masters remembered by ${name}`);
    }
  } catch (error) {
    console.error(cluster.output());
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
