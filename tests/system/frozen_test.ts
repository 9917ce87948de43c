/**
 * Nodes are frozen while clients commit: they are connected, and say nothing.
 *
 * @module
 */

import assert from "node:assert/strict";
import { PING_INTERVAL } from "../../network/life_signs.ts";
import { ProcessCluster, until } from "../support/processes.ts";
import { Workload } from "./workload.ts";

const CLIENTS = 2;
/** Milliseconds until clients commit again: 10 to 15 s, and some more on a slow machine. */
const PATIENCE = 40_000;

Deno.test("a cluster does without a storage that is frozen, and without a primary that is", async () => {
  const folder = await Deno.makeTempDir();
  const databases = ["1", "2"].map((name) => (
    { adapter: "SQLite", database: `${folder}/${name}.sqlite` }
  ));
  await using cluster = new ProcessCluster({ partitions: 4, replicas: 1, masters: 2, databases })
    .start();
  try {
    await using workload = await Workload.open(cluster.uri, CLIENTS);
    workload.start();
    /** Each client has begun and committed a transaction since. */
    const progress = async (what: string) => {
      const before = [...workload.acknowledgedTo];
      await until(
        what,
        () => workload.acknowledgedTo.every((count, n) => count >= (before[n] ?? 0) + 2),
        PATIENCE,
      );
    };
    const complete = () =>
      until("all copies are complete", async () => {
        const { stdout } = await cluster.neoctl("print", "pt");
        return /U/.test(stdout) && !/O/.test(stdout.replace(/^#.*$/gm, ""));
      });
    await progress("clients commit");
    // Since they have pinged each other, nodes know what silence means.
    await new Promise((resolve) => setTimeout(resolve, PING_INTERVAL));
    const [storage] = cluster.storages;
    assert(storage);
    for (const node of [storage, await cluster.primary()]) {
      node.signal("SIGSTOP");
      const start = performance.now();
      await progress(`clients commit without ${node.name}, which is frozen`);
      const seconds = (performance.now() - start) / 1000;
      console.log(`clients commit again ${seconds.toFixed(1)} s after ${node.name} was frozen`);
      node.signal("SIGCONT");
      await progress(`clients commit after ${node.name} woke up`);
      await cluster.running();
      await complete();
      // Also the master, which has been replaced: who is not there is not told to stop.
      await until("all nodes are back", async () => {
        const { stdout } = await cluster.neoctl("print", "node");
        return !/\bDOWN\b/.test(stdout);
      });
    }
    await workload.stop();
    await workload.check(cluster.uri);
    await cluster.stop();
  } catch (error) {
    console.error(cluster.output());
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
