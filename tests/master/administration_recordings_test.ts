/** Recorded admins and storages: the master answers them like the one that was recorded. */

import assert from "node:assert/strict";
import { decodeMessage, type Message } from "../../protocol/codec.ts";
import { NodeType } from "../../protocol/enums.ts";
import { type Tid, toOid, toTid } from "../../protocol/ids.ts";
import type { CommandName, MessageName, RequestName, SentName } from "../../protocol/messages.ts";
import { type NodeDescription, nodeName } from "../../protocol/nodes.ts";
import { type Peer, type Scene, settle, withScene } from "./support.ts";
import { describe } from "./transcript.ts";

interface Line extends Message {
  readonly from: string;
  readonly to: string;
}

/**
 * What matters here: neither transactions nor packs, nor the search for the table, as this master keeps
 * its own when it falls back to recovery.
 */
const COMPARED: readonly MessageName[] = [
  "AcceptIdentification",
  "NotifyNodeInformation",
  "NotifyClusterInformation",
  "SendPartitionTable",
  "NotifyPartitionChanges",
  "AskRecovery",
  "AskLockedTransactions",
  "AskLastIDs",
  "StartOperation",
  "StopOperation",
  "Truncate",
  "FlushLog",
  "NotifyRepair",
  "CheckPartition",
  "AnswerTweakPartitionTable",
  "Error",
];

/** The messages between nodes from a step of a recording to another one, and the steps themselves. */
async function* read(file: string, first: string, last: string): AsyncGenerator<Line | string> {
  const url = new URL(`../fixtures/conversations/${file}`, import.meta.url);
  let inside = false;
  for (const text of (await Deno.readTextFile(url)).trimEnd().split("\n")) {
    const record: unknown = JSON.parse(text);
    if (Array.isArray(record)) {
      const [, from, to, , , , , hex] = record;
      const concerned = from === "M1" || to === "M1" || to === "?";
      if (!inside || !concerned || hex.endsWith("…")) continue;
      yield { from, to, ...decodeMessage(Uint8Array.fromHex(hex)) };
      continue;
    }
    const { step } = record as { step: string };
    if (step === last) return;
    inside ||= step === first;
    if (inside) yield step;
  }
}

/** A message of the master in the form in which messages are compared, `null` if they are not. */
function comparable(name: MessageName, args: unknown): string | null {
  if (!COMPARED.includes(name)) return null;
  // Clients are not played, addresses differ.
  if (name === "NotifyNodeInformation") {
    const { nodes } = args as { nodes: readonly NodeDescription[] };
    const storages = nodes.filter(({ type }) => type === NodeType.STORAGE)
      .map(({ nid, state }) => `${nodeName(nid)}:${state}`).sort();
    return storages.length === 0 ? null : `${name} ${storages}`;
  }
  if (name === "AnswerTweakPartitionTable") {
    const { changed, rows } = args as { changed: boolean; rows: never[][] };
    return `${name} ${changed} ${describe("SendPartitionTable", { ptid: 0, rows })}`;
  }
  // The tids of transactions that are not played.
  if (name === "CheckPartition") return `${name} ${(args as { partition: number }).partition}`;
  return `${name} ${describe(name, args)}`.trim();
}

/**
 * The changes of the table that this master makes: what is not needed any more is discarded in a later
 * version than the one that is only safe when it is saved.
 */
function inSafeSteps(texts: readonly string[]): string[] {
  let more = 0;
  return texts.flatMap((text) => {
    const [, name, ptid, changes = ""] =
      /^(NotifyPartitionChanges|SendPartitionTable) (\d+) (.*)$/.exec(text) ?? [];
    if (ptid === undefined) return [text];
    const [, replicated, discarded] = /^(\S+→U) (\S+→D)$/.exec(changes) ?? [];
    const steps = replicated && discarded ? [replicated, discarded] : [changes];
    const first = Number(ptid) + more;
    more += steps.length - 1;
    return steps.map((step, index) => `${name} ${first + index} ${step}`);
  });
}

/** Plays admin and storages to a master. Returns the number of its messages that were compared. */
async function replay(
  { file, first, last, partitions, lastTid }: {
    readonly file: string;
    readonly first: string;
    readonly last: string;
    readonly partitions: number;
    readonly lastTid: Tid;
  },
): Promise<number> {
  let compared = 0;
  await withScene({ partitions, replicas: 1, autostart: 2 }, async (scene) => {
    const peers = new Map<string, Peer>([["A1", await scene.admin()]]);
    const data = { lastTid, lastOid: toOid(9), firstTid: toTid(1) };
    for (const nid of [1, 2]) peers.set(`S${nid}`, await scene.storageWith(data, { nid }));
    for (const [name, peer] of peers) if (name !== "A1") peer.manual.add("StartOperation");
    scene.takeSent();
    const expected: [string, string][] = [];
    for await (const line of read(file, first, last)) {
      if (typeof line === "string") {
        if (line.startsWith("storage 1 is killed")) await peers.get("S1")?.kill();
      } else if (line.from === "M1") {
        const text = comparable(line.codec.name, line.args);
        const searched = line.to === "A1" && line.codec.name === "SendPartitionTable";
        if (text !== null && !searched) expected.push([line.to, text]);
      } else await play(scene, peers, line);
    }
    const sent = scene.takeSent().map(({ to, name, args }) => [to, comparable(name, args)]);
    for (const name of peers.keys()) {
      const theirs = inSafeSteps(expected.filter(([to]) => to === name).map(([, text]) => text));
      // It is only said here when the others have saved it.
      const removed = theirs.indexOf("Error ACK node permanently removed");
      if (removed >= 0) theirs.splice(removed + 1, 0, ...theirs.splice(removed, 1));
      const ours = sent.filter(([to, text]) => to === name && text !== null).map(([, text]) =>
        text
      );
      assert.deepEqual(ours, theirs, `${file}: ${name}`);
      compared += theirs.length;
    }
  });
  return compared;
}

/** Has the peers send what was recorded. They answer by themselves. */
async function play(scene: Scene, peers: Map<string, Peer>, line: Line): Promise<void> {
  const { from, to, codec, args } = line;
  if (codec.name === "RequestIdentification" && to === "?" && from.startsWith("S")) {
    const peer = peers.get(from) ?? scene.peer(NodeType.STORAGE, { nid: Number(from.slice(1)) });
    peers.set(from, peer);
    peer.manual.add("StartOperation");
    await peer.identify();
    return;
  }
  const peer = peers.get(from);
  if (peer === undefined || to !== "M1" || codec.kind === "answer") return;
  if (codec.kind === "notification") peer.notify(codec.name as SentName, args as never);
  else if (codec.kind === "command") peer.command(codec.name as CommandName, args as never);
  else peer.ask(codec.name as RequestName, args as never);
  await settle();
}

Deno.test("Master grows and shrinks a cluster like the one that was recorded", async () => {
  const compared = await replay({
    file: "main.jsonl",
    first: "a third storage starts, is enabled, and the table is tweaked",
    last: "clients close",
    partitions: 4,
    lastTid: toTid(0x040d2f592f2d6957n),
  });
  assert(compared > 80, `${compared}`);
});

Deno.test("Master repairs, tweaks and truncates like the one that was recorded", async () => {
  const compared = await replay({
    file: "maint.jsonl",
    first: "repair (dry run) of both storages",
    last: "after truncation",
    partitions: 2,
    lastTid: toTid(0x040d2f5a4abc67abn),
  });
  assert(compared > 40, `${compared}`);
});
