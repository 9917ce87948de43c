/**
 * Commands that show the state of the cluster.
 *
 * @module
 */

import { ClusterState, NodeType } from "../protocol/enums.ts";
import { type Oid, type Tid, ZERO_OID, ZERO_TID } from "../protocol/ids.ts";
import { type Nid, nodeName } from "../protocol/nodes.ts";
import type { Command } from "./command.ts";
import {
  formatId,
  formatMap,
  formatNodes,
  formatRows,
  formatSummary,
  formatTableHeader,
  formatTid,
  type Rows,
} from "./format.ts";
import { type Json, jsonOfDate, jsonOfId, jsonOfNodes, jsonOfRows } from "./json.ts";
import { parseNode, parseNodeType, parsePartition } from "./values.ts";

const cluster: Command = {
  usage: "",
  help: "Show the state of the cluster.",
  parse(args) {
    args.end();
    return async (admin) => {
      const { state } = await admin.ask("AskClusterState", {});
      const name = state === null ? null : ClusterState[state];
      return { output: name ?? "None", json: { state: name } };
    };
  },
};

const node: Command = {
  usage: "[master|storage|client|admin]",
  help: "List the nodes, maybe of one type: name, type, address, state, date of identification.",
  parse(args) {
    const type = args.optional(parseNodeType);
    args.end();
    return async (admin) => {
      const { nodes } = await admin.ask("AskNodeList", { type });
      return { output: formatNodes(nodes), json: { nodes: jsonOfNodes(nodes) } };
    };
  },
};

/** What a node has, or everything. */
function only(rows: Rows, nid: Nid | null): Rows {
  return nid === null ? rows : rows.map((row) => row.filter((cell) => cell.nid === nid));
}

const pt: Command = {
  usage: "[MIN [MAX [NODE]]]",
  help:
    "Show the partition table: a map, or partitions MIN to MAX (excluded, 0 for all) in rows. " +
    "With NODE, only what that storage has.",
  parse(args) {
    const min = args.optional(parsePartition) ?? 0;
    const max = args.optional(parsePartition) ?? 0;
    const nid = args.optional(parseNode);
    args.end();
    return async (admin) => {
      const { ptid, replicas, rows } = await admin.ask("AskPartitionList", { min, max, nid });
      const header = formatTableHeader(ptid, replicas);
      const json = { ptid, replicas, first: min, partitions: jsonOfRows(only(rows, nid)) };
      if (min !== 0 || max !== 0) {
        const lines = [header, ...rows.length > 0 ? [formatRows(rows, min, nid)] : []];
        return { output: lines.join("\n"), json };
      }
      const { nodes } = await admin.ask("AskNodeList", { type: NodeType.STORAGE });
      return {
        output: `${header}\n${formatMap(rows, nodes, nid)}`,
        json: { ...json, nodes: jsonOfNodes(nodes) },
      };
    };
  },
};

/** The last ids; `null` for what is not known. */
interface Last {
  readonly ptid: number | null;
  readonly backupTid: Tid | null;
  readonly lastTid: Tid | null;
  readonly lastOid: Oid | null;
}

function jsonOfLast({ ptid, backupTid, lastTid, lastOid }: Last): Json {
  return {
    last_oid: jsonOfId(lastOid),
    last_tid: jsonOfId(lastTid),
    last_date: jsonOfDate(lastTid),
    backup_tid: jsonOfId(backupTid),
    backup_date: jsonOfDate(backupTid),
    last_ptid: ptid,
  };
}

const ids: Command = {
  usage: "",
  help: "Show the last oid, TID and version of the partition table; of a backup, also its TID.",
  parse(args) {
    args.end();
    return async (admin) => {
      const { ptid, backupTid } = await admin.ask("AskRecovery", {});
      const lastPtid = `last_ptid = ${ptid ?? "None"}`;
      if (backupTid !== null) {
        const { tid } = await admin.ask("AskLastTransaction", {});
        const lines = [`backup_tid = ${formatTid(backupTid)}`, `last_tid = ${formatTid(tid)}`];
        return {
          output: [...lines, lastPtid].join("\n"),
          json: jsonOfLast({ ptid, backupTid, lastTid: tid, lastOid: null }),
        };
      }
      const { lastOid, lastTid } = await admin.ask("AskLastIDs", {});
      const lines = [
        `last_oid = ${formatId(lastOid ?? ZERO_OID)}`,
        `last_tid = ${formatTid(lastTid ?? ZERO_TID)}`,
        lastPtid,
      ];
      return {
        output: lines.join("\n"),
        json: jsonOfLast({ ptid, backupTid, lastTid, lastOid }),
      };
    };
  },
};

const primary: Command = {
  usage: "",
  help: "Show which master is the primary.",
  parse(args) {
    args.end();
    return async (admin) => {
      const name = nodeName((await admin.ask("AskPrimary", {})).nid);
      return { output: name, json: { primary: name } };
    };
  },
};

const summary: Command = {
  usage: "",
  help: "Show how the cluster and its backups are. The first line is for programs: a JSON object " +
    "with the clusters in state 'warning' or 'problem', null being this one.",
  parse(args) {
    args.end();
    return async (admin) => {
      const report = await admin.ask("AskMonitorInformation", {});
      return { output: formatSummary(report), json: { ...report } };
    };
  },
};

/** The commands after `print`. */
export const PRINT_COMMANDS = { cluster, ids, node, primary, pt, summary };
