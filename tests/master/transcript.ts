/**
 * What a master sends, as text.
 *
 * @module
 */

import type { PacketRecord } from "../../network/log.ts";
import { decodeMessage, type MessageArgs } from "../../protocol/codec.ts";
import { ClusterState, ErrorCode, NodeState } from "../../protocol/enums.ts";
import { MAX_TID } from "../../protocol/ids.ts";
import type { MessageName } from "../../protocol/messages.ts";
import { formatAddress, nodeName } from "../../protocol/nodes.ts";
import { Output } from "../../protocol/output.ts";
import { changesText, textOf } from "./table_text.ts";

/** A message that the master sent. */
export interface Sent {
  /** Name of the receiver, `?` while it is not identified. */
  readonly to: string;
  readonly name: MessageName;
  readonly args: unknown;
  /** What matters most of it, for people. */
  readonly text: string;
}

const DETAILS: { readonly [N in MessageName]?: (args: MessageArgs<N>) => string } = {
  Error: ({ code, message }) => `${ErrorCode[code]}${message === "" ? "" : ` ${message}`}`,
  AcceptIdentification: ({ yourNid }) => nodeName(yourNid),
  NotifyNodeInformation: ({ nodes }) =>
    nodes.map(({ nid, state }) => `${nodeName(nid)} ${NodeState[state]}`).join(", "),
  NotifyClusterInformation: ({ state }) => ClusterState[state],
  AnswerClusterState: ({ state }) => state === null ? "null" : ClusterState[state],
  SendPartitionTable: ({ ptid, rows }) => `${ptid} ${textOf(rows)}`,
  NotifyPartitionChanges: ({ ptid, cells }) => `${ptid} ${changesText(cells)}`.trim(),
  NotifyRepair: ({ dryRun }) => dryRun ? "dry" : "real",
  CheckPartition: ({ partition, source: { address }, min, max }) =>
    `${partition} ${address === null ? "all" : formatAddress(address)} ${min}-${max}`,
  Truncate: ({ tid }) => String(tid),
  AnswerFinalTID: ({ tid }) => tid === null ? "null" : tid === MAX_TID ? "MAX_TID" : "tid",
};

/** What matters most of a message, for people. */
export function describe(name: MessageName, args: unknown): string {
  const detail = DETAILS[name] as ((args: unknown) => string) | undefined;
  return detail?.(args) ?? "";
}

function decodeRecord({ id, code, body }: PacketRecord) {
  const output = new Output();
  output.array(3);
  output.int(id);
  output.int(code);
  output.raw(body.slice());
  return decodeMessage(output.takeBytes());
}

/** What a record of the log says. */
export function sentOf(record: PacketRecord): Sent {
  const { codec, args } = decodeRecord(record);
  const to = record.peer.startsWith("None") ? "?" : record.peer.split(" ")[0] ?? "?";
  return { to, name: codec.name, args, text: describe(codec.name, args) };
}
