import assert from "node:assert/strict";
import { decodeMessage, type Message } from "../../protocol/codec.ts";
import { ErrorCode, NodeType } from "../../protocol/enums.ts";
import type { CommandName, RequestName, SentName } from "../../protocol/messages.ts";
import type { Received } from "./scripted_peer.ts";
import { AdminSetup, settle } from "./support.ts";

interface Line extends Message {
  readonly from: string;
  readonly to: string;
}

/** Messages between a master, an admin and an operator, as recorded between real ones. */
async function readLines(file: string): Promise<Line[]> {
  const url = new URL(`../fixtures/conversations/${file}`, import.meta.url);
  const lines: Line[] = [];
  for (const text of (await Deno.readTextFile(url)).trimEnd().split("\n")) {
    const record: unknown = JSON.parse(text);
    if (!Array.isArray(record)) continue;
    const [, from, to, , , , , hex] = record;
    if (from !== "A1" && to !== "A1" && !from.startsWith("?")) continue;
    lines.push({ from, to, ...decodeMessage(Uint8Array.fromHex(hex)) });
  }
  return lines;
}

/** Nodes are listed in any order. */
function comparable(args: object): unknown {
  if (!("nodes" in args) || !Array.isArray(args.nodes)) return args;
  return args.nodes.map((node) => JSON.stringify(node)).sort();
}

/**
 * Plays the master and the operator of a recording to an admin, and compares its answers.
 *
 * @returns the number of answers that were compared.
 */
async function replay(file: string): Promise<number> {
  const lines = await readLines(file);
  let position = 0;
  /** What the master of the recording answers next. */
  const answerLike = (message: Received) => {
    const answers = [message.name.replace(/^Ask|^/, "Answer"), "Error", "AcceptIdentification"];
    const found = lines.slice(position).find(({ from, to, codec }) =>
      from === "M1" && to === "A1" && answers.includes(codec.name)
    );
    if (found === undefined) return;
    const { code, message: text } = found.args as { code?: ErrorCode; message?: string };
    if (code === undefined) message.answer(found.args);
    else message.error(code, text);
    if (message.name === "RequestIdentification") {
      message.connection.identified("A1", NodeType.ADMIN);
    }
  };
  const names: SentName[] = [
    ...["RequestIdentification", "AskClusterState", "AskLastTransaction", "AskLastIDs"] as const,
    ...["AskRecovery", "SetClusterState", "AddPendingNodes", "TweakPartitionTable"] as const,
    ...["SetNodeState", "SetNumReplicas", "CheckReplicas", "Repair", "Truncate"] as const,
  ];
  const script = Object.fromEntries(names.map((name) => [name, answerLike]));
  await using setup = await AdminSetup.start({ script });
  const control = await setup.control();
  let compared = 0;
  for (const [index, { from, to, id, codec, args }] of lines.entries()) {
    position = index;
    if (from === "M1" && codec.kind === "notification") {
      setup.master.connection.notify(codec.name as SentName, args as never);
    } else if (from.startsWith("?") && codec.name !== "RequestIdentification") {
      const recorded = lines.slice(index).find((line) =>
        line.from === "A1" && line.to === "?" && line.id === id && line.codec.kind === "answer"
      );
      const known = recorded?.args;
      // Questions asked before the admin knew depend on timing.
      if (known === undefined || "state" in known || known.code === ErrorCode.NOT_READY) continue;
      if (codec.kind === "command") {
        assert.equal(
          await control.command(codec.name as CommandName, args as never),
          known.message,
        );
      } else {
        const answer = await control.ask(codec.name as RequestName, args as never);
        assert.deepEqual(comparable(answer), comparable(known), `${file}: ${codec.name} ${to}`);
      }
      compared++;
    }
    await settle();
  }
  return compared;
}

Deno.test("Admin answers operators like a real one", async () => {
  assert.ok(await replay("main.jsonl") > 30);
  assert.ok(await replay("maint.jsonl") > 5);
});
