/**
 * What operators change in the partition table.
 *
 * @module
 */

import { Refusal } from "../network/handler.ts";
import type { Node } from "../node/node_table.ts";
import { PartitionTable } from "../node/partition_table.ts";
import { CellState, ErrorCode, NodeState, NodeType } from "../protocol/enums.ts";
import type { AnswerArgsOf, ArgsOf } from "../protocol/messages.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { Cluster } from "./cluster.ts";
import { startStorage } from "./storage_start.ts";
import type { Member } from "./tweak.ts";

/** More copies than any cluster has. */
const MAX_REPLICAS = 0xffff;

/** The order is refused, and changes nothing. */
export function denied(text: string): Refusal {
  return new Refusal(ErrorCode.DENIED, text);
}

/** Lets pending storages take part. They get no cell until a tweak. Returns what was done. */
export function addPendingNodes(cluster: Cluster, nids: readonly Nid[]): string {
  const { leftBehind, nodes, notifier, table, unproven } = cluster;
  const added = [...new Set(nids)].sort((a, b) => a - b).map((nid) => nodes.get(nid))
    .filter((node): node is Node =>
      node?.type === NodeType.STORAGE && node.state === NodeState.PENDING &&
      // It is about to tell whether it has been elsewhere, and whether the id is its own.
      !leftBehind.has(node.nid) && !(node.nid !== null && unproven.has(node.nid))
    );
  if (added.length === 0) return "No node added";
  table.addMembers(added.flatMap(({ nid }) => nid ?? []));
  for (const storage of added) {
    storage.state = NodeState.RUNNING;
    startStorage(cluster, storage);
  }
  notifier.changeNodes(...added);
  return `Nodes added: ${added.map(({ nid }) => nodeName(nid)).join(", ")}`;
}

/**
 * Spreads partitions evenly over the storages that are not excluded, or only tells how it would be.
 *
 * @throws {Refusal} if that is not possible.
 */
export function tweakTable(
  cluster: Cluster,
  { dryRun, excluded }: ArgsOf<"TweakPartitionTable">,
): AnswerArgsOf<"TweakPartitionTable"> {
  const { env, notifier, promotions, table } = cluster;
  const members = membersToTweak(cluster, excluded);
  if (members.length === 0) throw denied("Can't remove all nodes.");
  const { changes: cells, resilient } = table.tweak(members);
  if (!resilient) {
    env.log.warning("the places of the storages do not allow to keep all copies apart");
  }
  const changed = cells.length > 0;
  if (!dryRun) {
    for (const { nid, partition, state } of cells) {
      // It would start alone after a failure of everything, and commits would not wait for it any more.
      if (state === CellState.DISCARDED && promotions.mayIgnore(nid, partition)) {
        throw denied(
          `${nodeName(nid)} has not saved yet that others have its data: try again later`,
        );
      }
    }
    notifier.changeTable(cells);
    return { changed, rows: table.rows };
  }
  const copy = new PartitionTable();
  copy.load(table);
  copy.change({ ptid: (table.ptid ?? 0) + 1, replicas: table.replicas, cells });
  return { changed, rows: copy.rows };
}

function membersToTweak(
  { extraOf, nodes, table }: Cluster,
  excluded: readonly Nid[],
): Member[] {
  for (const nid of excluded) {
    if (nodes.get(nid)?.type !== NodeType.STORAGE) {
      throw denied(`unknown storage node ${nodeName(nid)}`);
    }
  }
  const ignored = new Set(excluded);
  const members: Member[] = [];
  for (const nid of table.members) {
    const node = nodes.get(nid);
    if (ignored.has(nid)) continue;
    if (node?.state === NodeState.PENDING) {
      // One without cells was not added.
      if (!table.hasNode(nid)) continue;
      throw denied(`tweak: ${nodeName(nid)} is entering the cluster: try again later`);
    }
    if (node?.state !== NodeState.RUNNING) {
      throw denied("tweak: down nodes must be listed explicitly");
    }
    members.push({ nid, path: extraOf(node).devpath });
  }
  return members;
}

/**
 * Sets the number of copies besides the first. Cells only change with the next tweak.
 *
 * @throws {Refusal} if it is no such number.
 */
export function setReplicas({ notifier }: Cluster, replicas: number): void {
  if (replicas < 0 || replicas > MAX_REPLICAS) throw denied("invalid number of replicas");
  notifier.changeReplicas(replicas);
}
