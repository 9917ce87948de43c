/**
 * Records as lines of text.
 *
 * @module
 */

import { inflateSync } from "node:zlib";
import { LogLevel } from "../network/log.ts";
import { formatNodes } from "../neoctl/format.ts";
import { DATA_PATHS } from "../node/neolog_protocol.ts";
import { codecOfCode, decodeMessage, type MessageCodec, writeEncoded } from "../protocol/codec.ts";
import { ErrorCode } from "../protocol/enums.ts";
import type { NodeDescription } from "../protocol/nodes.ts";
import { Output } from "../protocol/output.ts";
import { formatDate } from "./date_format.ts";
import { messageName, NO_NODE_COLUMN } from "./filter.ts";
import type { NeologOptions } from "./options.ts";
import type { LogRecord, PacketRecord, TextRecord } from "./records.ts";
import { decodeArguments, showValue, type Value } from "./values.ts";

/** The most that is decompressed of one object. */
const MAX_DATA = 256 << 20;

const COLORS: Readonly<Record<number, string>> = {
  [LogLevel.DEBUG]: "34",
  [LogLevel.INFO]: "32",
  [LogLevel.WARNING]: "33",
  [LogLevel.ERROR]: "31",
  [LogLevel.CRITICAL]: "31;01",
};

/** What changes the look of records. */
export type Look = Pick<NeologOptions, "all" | "decompress" | "color" | "date" | "node">;

/** Gives the lines of a record, each with its line break. */
export function recordFormatter(look: Look): (record: LogRecord) => string {
  const hasNode = !look.node.includes(NO_NODE_COLUMN);
  const fields = { all: look.all || look.decompress, decompress: look.decompress };
  return (record) => {
    const level = record.kind === "packet" ? "PACKET" : LogLevel[record.level] ??
      `Level ${record.level}`;
    const prefix = (look.date === "" ? "" : `${formatMoment(look.date, record.date)} `) +
      (look.color ? "" : `${level.padEnd(9)} `) +
      (hasNode ? `${record.node.padEnd(10)} ` : "");
    const color = look.color && record.kind === "text" ? COLORS[record.level] ?? null : null;
    const lines = record.kind === "text" ? textLines(record) : packetLines(record, fields);
    return lines.map((line) => {
      const whole = harmless(prefix + line);
      return color === null ? `${whole}\n` : `\x1b[${color}m${whole}\x1b[39;49;0m\n`;
    }).join("");
  };
}

/** A date in local time and tenths of milliseconds, truncated. */
function formatMoment(format: string, date: number): string {
  const fraction = String(Math.floor((date % 1) * 10_000)).padStart(4, "0");
  return `${formatDate(format, new Date(Math.floor(date) * 1000))}.${fraction}`;
}

function textLines({ message }: TextRecord): string[] {
  return message.split("\n");
}

/** Without what a terminal would obey: anybody may have sent a node the text it complains about. */
function harmless(line: string): string {
  return line.replace(
    /(?!\t)\p{Cc}/gu,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

interface Fields {
  readonly all: boolean;
  readonly decompress: boolean;
}

function packetLines(record: PacketRecord, fields: Fields): string[] {
  const { id, code, peer, body } = record;
  const head = `#0x${id.toString(16).padStart(4, "0")} ${messageName(code).padEnd(30)} ${peer}`;
  if (body === null) return [head];
  const codec = codecOfCode(code);
  try {
    if (codec?.name === "Error") return [head, showError(codec, body)];
    if (codec?.name === "NotifyNodeInformation") return nodeLines(head, codec, body, fields);
    if (!fields.all) return [head];
    const args = decodeArguments(body);
    const path = fields.decompress ? DATA_PATHS[codec?.name ?? ""] ?? null : null;
    const shown = path === null ? args : decompress(args, path.slice(1));
    return [args.length === 0 ? head : head + showArguments(shown)];
  } catch {
    return [head, "Can't decode packet"];
  }
}

function showArguments(args: readonly Value[]): string {
  return ` \t| ${showValue(args)}`;
}

function decodeBody(codec: MessageCodec, body: Uint8Array): Readonly<Record<string, unknown>> {
  const output = new Output();
  writeEncoded(output, codec, 0, body);
  return decodeMessage(output.takeBytes()).args;
}

function showError(codec: MessageCodec, body: Uint8Array): string {
  const { code, message } = decodeBody(codec, body);
  return `${ErrorCode[code as number] ?? code} (${message})`;
}

function nodeLines(
  head: string,
  codec: MessageCodec,
  body: Uint8Array,
  { all }: Fields,
): string[] {
  const { nodes } = decodeBody(codec, body) as { nodes: readonly NodeDescription[] };
  const lines = nodes.length === 0 ? [] : formatNodes(nodes).split("\n");
  const args = all ? showArguments(decodeArguments(body).slice(0, 1)) : "";
  return [head + args, ...lines.map((line) => ` ! ${line}`)];
}

/**
 * Replaces compression, checksum and data by the length of what was sent and the data.
 *
 * @param path indexes of nested arrays, the last one being where these three begin.
 */
function decompress(args: readonly Value[], path: readonly number[]): readonly Value[] {
  const [index = 0, ...deeper] = path;
  if (deeper.length > 0) {
    const inner = args[index];
    return Array.isArray(inner) ? args.with(index, decompress(inner, deeper)) : args;
  }
  const [compression, , data] = args.slice(index, index + 3);
  if (!(data instanceof Uint8Array)) return args;
  let plain: Uint8Array = data;
  if (compression === 1n || compression === true) {
    try {
      plain = new Uint8Array(inflateSync(data, { maxOutputLength: MAX_DATA }));
    } catch {
      return args;
    }
  }
  return [...args.slice(0, index), [BigInt(data.length), plain], ...args.slice(index + 3)];
}
