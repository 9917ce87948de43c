/** A cluster that changes while transactions are in progress. */

import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { NodeState } from "../../protocol/enums.ts";
import { ClusterModel } from "./cluster_model.ts";
import { withCluster } from "./support.ts";

const OPERATIONS = [
  ...["begin", "begin", "write", "write", "write", "finish", "finish", "abort"] as const,
  ...["add", "tweak", "tweakWithout", "replicate", "replicate", "replicateAll"] as const,
  ...["crash", "return", "return", "kill", "drop", "setReplicas", "setReplicas"] as const,
] as const;

interface Step {
  readonly operation: typeof OPERATIONS[number];
  readonly a: number;
  readonly b: number;
}

/** Executes a step, if it is possible. */
async function execute(model: ClusterModel, { operation, a, b }: Step): Promise<void> {
  const { admin, client: { table }, pending, scene, storages } = model;
  const pick = <T>(list: readonly T[], n: number) => list[n % Math.max(1, list.length)];
  const transaction = pick(pending, a);
  const storage = pick(storages.filter(({ running }) => running), a);
  const gone = pick(storages.filter(({ running }) => !running), a);
  switch (operation) {
    case "begin":
      if (pending.length < 4) await model.begin();
      break;
    case "write":
      if (transaction !== undefined) model.write(transaction, b % model.partitions);
      break;
    case "finish":
      if (transaction !== undefined) await model.finish(transaction);
      break;
    case "abort":
      if (transaction !== undefined) model.abort(transaction);
      break;
    case "add": {
      if (storages.length >= 5) break;
      const peer = await scene.storage();
      model.adopt(peer);
      await admin.order("AddPendingNodes", { nids: [peer.nid] });
      break;
    }
    case "tweak":
    case "tweakWithout": {
      const excluded = storages.filter((other) =>
        !other.running || table.hasNode(other.nid) && (
            operation === "tweakWithout" && other === storage
          )
      ).map(({ nid }) => nid);
      admin.ask("TweakPartitionTable", { dryRun: false, excluded });
      break;
    }
    case "replicate":
      storage?.replicate(b % model.partitions, storages);
      break;
    case "replicateAll":
      for (const other of storages.filter(({ running }) => running)) {
        for (const partition of table.rows.keys()) other.replicate(partition, storages);
      }
      break;
    case "crash":
      if (storage === undefined) break;
      // Not the last one that serves a partition.
      if (!table.operational((nid) => nid !== storage.nid && model.running(nid) !== undefined)) {
        break;
      }
      await storage.kill();
      break;
    case "return": {
      if (gone === undefined) break;
      const peer = await scene.storageWith({}, { nid: gone.nid });
      gone.resume(peer);
      break;
    }
    case "kill":
      if (storage === undefined) break;
      await admin.order("SetNodeState", { nid: storage.nid, state: NodeState.DOWN });
      if (storage.peer.closed) await storage.kill();
      break;
    case "drop":
      if (gone === undefined) break;
      await admin.order("SetNodeState", { nid: gone.nid, state: NodeState.UNKNOWN });
      await model.settle();
      if (!table.hasNode(gone.nid)) storages.splice(storages.indexOf(gone), 1);
      break;
    case "setReplicas":
      await admin.order("SetNumReplicas", { replicas: b % 3 });
      if (a % 2 === 0) await execute(model, { operation: "tweak", a, b });
      break;
  }
}

Deno.test("Master loses nothing when a cluster changes while clients commit", async () => {
  const step = fc.record({
    operation: fc.constantFrom(...OPERATIONS),
    a: fc.nat(1000),
    b: fc.nat(1000),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.nat(1),
      fc.array(step, { minLength: 10, maxLength: 40 }),
      async (replicas, steps) => {
        await withCluster(3, { partitions: 3, replicas }, async (running) => {
          const { scene, admin, client, storages } = running;
          const model = new ClusterModel(scene, admin, client, storages);
          await model.settle();
          for (const step of steps) {
            await execute(model, step);
            await model.settle();
            model.check();
          }
          assert.equal(await scene.clusterState(admin), "RUNNING");
        });
      },
    ),
    { numRuns: 40 },
  );
});
