/**
 * Commands about nodes and their data.
 *
 * @module
 */

import { InvalidValueError } from "../node/errors.ts";
import { NodeState, NodeType } from "../protocol/enums.ts";
import { ZERO_TID } from "../protocol/ids.ts";
import { type Nid, type NodeDescription, nodeName } from "../protocol/nodes.ts";
import type { AdminSession } from "./admin_session.ts";
import type { Arguments } from "./arguments.ts";
import { type Command, told } from "./command.ts";
import { CommandError } from "./errors.ts";
import { formatMap } from "./format.ts";
import { jsonOfRows } from "./json.ts";
import { parseNode, parsePartition, parseTid } from "./values.ts";
import { untilReplicated } from "./waiting.ts";

/** Reads `all`, which gives `null`, or at least one node. */
function parseAllOrNodes(args: Arguments): readonly Nid[] | null {
  if (args.skip("all")) {
    args.end();
    return null;
  }
  return [args.required("NODE, or all", parseNode), ...args.rest(parseNode)];
}

async function storages(admin: AdminSession): Promise<readonly NodeDescription[]> {
  return (await admin.ask("AskNodeList", { type: NodeType.STORAGE })).nodes;
}

async function storagesInState(admin: AdminSession, state: NodeState): Promise<Nid[]> {
  const nodes = (await storages(admin)).filter((node) => node.state === state);
  return nodes.flatMap(({ nid }) => nid ?? []);
}

/** Lets new storages in. */
export const add: Command = {
  usage: "all|NODE…",
  help: "Add pending storages to the cluster. They get no data until 'tweak'.",
  parse(args) {
    const given = parseAllOrNodes(args);
    return async (admin) => {
      const nids = given ?? await storagesInState(admin, NodeState.PENDING);
      return told(await admin.order("AddPendingNodes", { nids }));
    };
  },
};

/** Spreads partitions over storages. */
export const tweak: Command = {
  usage: "[-n] [NODE…]",
  help:
    "Spread the data evenly, and as many times as wanted, on the storages that are not listed; " +
    "those that are down must be listed. -n: only show what would be done.",
  parse(args) {
    const dryRun = args.skip("-n");
    const excluded = args.rest(parseNode);
    return async (admin) => {
      const { changed, rows } = await admin.ask("TweakPartitionTable", { dryRun, excluded });
      return {
        output: changed ? formatMap(rows, await storages(admin)) : "No change done.",
        json: { changed, partitions: jsonOfRows(rows) },
        ...!dryRun && { done: (admin) => untilReplicated(admin, excluded) },
      };
    };
  },
};

/** A command that puts each of its nodes in a state. */
function setState(state: NodeState, help: string): Command {
  return {
    usage: "NODE…",
    help,
    parse(args) {
      const nids = [args.required("NODE", parseNode), ...args.rest(parseNode)];
      return async (admin) => {
        const lines: string[] = [];
        const messages: Record<string, string> = {};
        // What was done already must be told, even if it can't go on.
        const tell = (nid: Nid, text: string) => {
          lines.push(nids.length === 1 ? text : `${nodeName(nid)}: ${text}`);
          return lines.join("\n");
        };
        for (const nid of nids) {
          try {
            const message = await admin.order("SetNodeState", { nid, state });
            tell(nid, message);
            messages[nodeName(nid)] = message;
          } catch (error) {
            if (!(error instanceof CommandError)) throw error;
            throw new CommandError(tell(nid, error.message), { cause: error });
          }
        }
        return { output: lines.join("\n"), json: messages };
      };
    },
  };
}

/** Stops nodes. */
export const kill = setState(
  NodeState.DOWN,
  "Stop storages or secondary masters. Storages keep their data.",
);

/** Removes nodes for good. */
export const drop = setState(
  NodeState.UNKNOWN,
  "Remove storages that are stopped from the cluster for good.",
);

/** Partitions to check with, for each, the storage that is right if that is known. */
type Sources = ReadonlyMap<number, Nid | null>;

/** What `[PARTITION]:[NODE]` arguments tell. */
type CheckTargets = { readonly sources: Sources } | { readonly allWith: Nid | null };

function parseCheckTargets(args: Arguments): CheckTargets {
  const sources = new Map<number, Nid | null>();
  // Tids may have a colon as well, but after letters.
  for (let word = args.next; word !== undefined; word = args.next) {
    const match = /^(\d*):(.*)$/.exec(word);
    if (match === null) break;
    args.skip(word);
    const [, number = "", name = ""] = match;
    const source = name === "" ? null : parseNode(name);
    if (number === "") {
      if (sources.size > 0 || args.next?.match(/^\d*:/)) {
        throw new InvalidValueError(`'${word}' means all partitions: give no other one`);
      }
      return { allWith: source };
    }
    const partition = parsePartition(number);
    if (sources.has(partition)) {
      throw new InvalidValueError(`partition ${partition} is given twice`);
    }
    sources.set(partition, source);
  }
  if (sources.size === 0) {
    throw new InvalidValueError("missing [PARTITION]:[NODE]; ':' alone means all partitions");
  }
  return { sources };
}

async function allPartitions(admin: AdminSession, source: Nid | null): Promise<Sources> {
  const { rows } = await admin.ask("AskPartitionList", { min: 0, max: 0, nid: null });
  if (rows.length === 0) throw new CommandError("ERROR: there is no partition table yet");
  return new Map(rows.map((_, partition) => [partition, source]));
}

/** Compares replicas. */
export const check: Command = {
  usage: "[PARTITION]:[NODE]… [MIN_TID [MAX_TID]]",
  help:
    "Compare the replicas of partitions, ':' being all of them, from MIN_TID (default: the first) " +
    "to MAX_TID (default: the last). NODE is a storage known to be right.",
  parse(args) {
    const targets = parseCheckTargets(args);
    const min = args.optional(parseTid) ?? ZERO_TID;
    const max = args.optional(parseTid);
    args.end();
    if (max !== null && min > max) throw new InvalidValueError("MIN_TID is after MAX_TID");
    return async (admin) => {
      const sources = "sources" in targets
        ? targets.sources
        : await allPartitions(admin, targets.allWith);
      const message = await admin.order("CheckReplicas", { sources, min, max });
      return {
        output: null,
        json: { message, partitions: [...sources.keys()] },
        note:
          "checks were ordered; differences will be in the log of the primary master and, where " +
          "it is known which copy is right, as CORRUPTED cells in 'neoctl print pt'",
      };
    };
  },
};

function parseDryRun(text: string): boolean {
  if (text === "0" || text === "1") return text === "1";
  throw new InvalidValueError(`'${text}' is neither 0 (delete) nor 1 (only count)`);
}

/** Removes unreferenced data. */
export const pruneOrphan: Command = {
  usage: "0|1 all|NODE…",
  help: "Delete the data that nothing references, or with 1 only count it, on storages.",
  parse(args) {
    const dryRun = args.required("0 (delete) or 1 (only count)", parseDryRun);
    const given = parseAllOrNodes(args);
    return async (admin) => {
      // One that is down would have the order refused for all.
      const nids = given ?? await storagesInState(admin, NodeState.RUNNING);
      const message = await admin.order("Repair", { nids, dryRun });
      return {
        output: message,
        json: { message, nodes: nids.map(nodeName) },
        note: `ordered to ${nids.map(nodeName).join(", ") || "no storage"}; ` +
          "results will be in their logs",
      };
    };
  },
};
