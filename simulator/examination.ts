/**
 * What has to be true in the end of a run, when faults have stopped.
 *
 * @module
 */

import { decodeData } from "../client/compression.ts";
import { checkHistory } from "./checker.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { Disk } from "./disk.ts";
import { REPLICATION } from "./features.ts";
import { checkIteration } from "./iteration.ts";
import { approvedPacks, packedUntil, unpack } from "./packing.ts";
import type { SimulatedNode } from "./node.ts";
import { ownCells, readStorages, savedNid } from "./replicas.ts";
import { operates, primaryView } from "./view.ts";
import type { SimulatedClient } from "./workload.ts";

/** Milliseconds that nodes have to stop. */
export const STOP_TIME = 30_000;
/** Milliseconds after which everything works again when faults stop. */
const REPAIR_TIME = 60_000;
/** Milliseconds for what storages write later. */
const SETTLING_TIME = 3_000;

/** The storages that were ever started. */
function startedStorages({ storages, spares }: SimulatedCluster) {
  return [...storages, ...spares].filter(({ started }) => started);
}

/**
 * Whether nobody has an id. A storage that was given cells, and killed before it had saved anything at all,
 * comes back as a new one: an operator has to replace its former self.
 */
function isNobody({ disks }: SimulatedCluster, nid: number): boolean {
  return disks.every((disk) => savedNid(disk) !== nid);
}

/**
 * Starts what is down and waits until all works again: clients end what they do, and can commit.
 *
 * @returns a client that was not there before.
 */
export async function repair(cluster: SimulatedCluster): Promise<SimulatedClient> {
  const { clock, operators, spares } = cluster;
  await cluster.run(Promise.all(operators.map((node) => node.stop())), STOP_TIME, "orders end");
  for (const node of cluster.nodes) {
    if (!operators.includes(node) && (node.started || !spares.includes(node))) node.start();
  }
  const { users } = cluster;
  const ended = Promise.all(users.map((user) => user.stop()));
  await cluster.run(ended, REPAIR_TIME, "clients end their transactions when faults have stopped");
  const last = cluster.user("c9");
  const proofs = Promise.all([...users, last].map((user) => user.prove()));
  await cluster.run(proofs, REPAIR_TIME, "clients commit when faults have stopped");
  const storages = startedStorages(cluster);
  // Without cells there is nothing to do.
  const idle = ({ name }: SimulatedNode) =>
    cluster.disks.some((disk) => disk.host === name && ownCells(disk).length === 0);
  const isGhost = ({ nid }: { nid: number }) => isNobody(cluster, nid);
  const isComplete = ({ state }: { state: string }) => state === "U";
  const complete = () => {
    const view = primaryView(cluster.masters);
    return view !== null && storages.every((storage) => idle(storage) || operates(storage, view)) &&
      (!REPLICATION || view.rows.every((row) => row.some(isGhost) || row.every(isComplete)));
  };
  await cluster.until(complete, REPAIR_TIME, "all storages operate when faults have stopped");
  await cluster.run(clock.delay(SETTLING_TIME), Infinity, "storages settle");
  return last;
}

/** Nobody keeps a transaction or a lock of what has ended. */
export function checkLeftovers(cluster: SimulatedCluster): void {
  for (const { client } of cluster.users) {
    const { transactions } = client.statistics;
    if (transactions > 0) cluster.fail(`a client keeps ${transactions} transactions`);
  }
  for (const storage of startedStorages(cluster)) {
    const [, locks] = /^(\d+ objects are locked.*)$/m.exec(storage.dump()) ?? [];
    if (locks !== undefined && !/^0 .* 0 .* 0 /.test(locks)) {
      cluster.fail(`${storage.name}: ${locks}`);
    }
  }
}

/** Compares the databases of storages with each other, and with what clients did and saw. */
export async function checkData(cluster: SimulatedCluster, last: SimulatedClient): Promise<void> {
  const { clock, history } = cluster;
  const disks = usedDisks(cluster);
  const packs = approvedPacks(disks);
  // What feeds a cell is not packed before that is filled, and thus differs from its copies: nothing can be
  // compared before an operator has replaced the storage that was to be filled.
  const rows = primaryView(cluster.masters)?.rows ?? [];
  const lacking = rows.flat().some(({ nid }) => isNobody(cluster, nid));
  if (lacking && packs.length > 0) return;
  for (const { id } of packs) {
    await cluster.run(last.client.waitForPack(id), REPAIR_TIME, "a pack ends");
  }
  await cluster.run(clock.delay(SETTLING_TIME), Infinity, "storages settle");
  const { transactions, problems } = readStorages(disks, decodeText);
  const packed = packedUntil(packs);
  const unpacked = unpack(history, transactions, packed);
  const iterated = checkIteration(last.client, transactions);
  for (
    const problem of [
      ...problems,
      ...unpacked.problems,
      ...checkHistory(history, unpacked.transactions, packed),
      ...await cluster.run(iterated, REPAIR_TIME, "an iteration"),
    ]
  ) cluster.fail(problem);
}

/** The disks of the storages that take part. */
function usedDisks({ disks, masters }: SimulatedCluster): Disk[] {
  const storages = primaryView(masters)?.storages ?? [];
  const running = storages.filter(({ state }) => state === "RUNNING").map(({ host }) => host);
  return disks.filter(({ host }) => running.includes(host));
}

function decodeText(compression: number, data: Uint8Array): string {
  return new TextDecoder().decode(decodeData({ compression, data }));
}
