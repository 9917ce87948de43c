/**
 * The command that guides a restart of all nodes.
 *
 * @module
 */

import { InvalidValueError } from "../node/errors.ts";
import { formatAddress, type NodeDescription, nodeName, parseNodeName } from "../protocol/nodes.ts";
import { parseEndpoint } from "../node/addresses.ts";
import { NodeType } from "../protocol/enums.ts";
import type { AdminSession } from "./admin_session.ts";
import type { Command, Result } from "./command.ts";
import type { Json } from "./json.ts";
import { labelOf, nextRestart, type RestartAdvice } from "./restart_plan.ts";
import { poll } from "./waiting.ts";

/** Reads a node that was restarted, as the operator calls it. */
function parseNodeOrAddress(text: string): string {
  const nid = parseNodeName(text);
  if (nid !== null) return nodeName(nid);
  const { host, port } = parseEndpoint(text);
  if (port !== null) return formatAddress({ host, port });
  throw new InvalidValueError(`'${text}' is neither a node, as in S1, nor an address with a port`);
}

async function advise(admin: AdminSession, done: readonly string[]): Promise<RestartAdvice> {
  const { state } = await admin.ask("AskClusterState", {});
  const { nid: primary } = await admin.ask("AskPrimary", {});
  const { nodes } = await admin.ask("AskNodeList", { type: null });
  const { rows } = await admin.ask("AskPartitionList", { min: 0, max: 0, nid: null });
  return nextRestart({ state, nodes, rows, primary }, done);
}

function jsonOfNode({ nid, type, address }: NodeDescription): Json {
  return {
    name: nid === null ? null : nodeName(nid),
    type: NodeType[type],
    address: address === null ? null : formatAddress(address),
  };
}

function resultOf({ go, next, reasons, left }: RestartAdvice): Result {
  const why = reasons.join("\n");
  const verdict = !go ? `wait:\n${why}` : next === null ? why : `next: ${labelOf(next)}\n${why}`;
  const rest = left.length > 0 ? `\nleft: ${left.map(labelOf).join(", ")}` : "";
  return {
    output: `${verdict}${rest}`,
    json: {
      go,
      next: next && jsonOfNode(next),
      reasons,
      left: left.map(jsonOfNode),
    },
    refused: !go,
  };
}

/** Tells which node may be restarted. */
export const rollingRestart: Command = {
  usage: "--check [NODE|ADDRESS…]",
  help:
    "Tell which node may be restarted now without interrupting the cluster, after those that are " +
    "listed. Fails if none may; --wait waits until one may.",
  parse(args) {
    if (!args.skip("--check")) {
      throw new InvalidValueError("missing --check: it only tells which node you may restart");
    }
    const done = args.rest(parseNodeOrAddress);
    return async (admin) => ({
      ...resultOf(await advise(admin, done)),
      done: async () => {
        let advice: RestartAdvice | null = null;
        await poll(admin, async () => (advice = await advise(admin, done)).go);
        return advice === null ? undefined : resultOf(advice);
      },
    });
  },
};
