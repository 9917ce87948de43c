/**
 * Writes `docs/messages.md`, the reference of all messages, from the table that defines them.
 * `--check` only tells whether the page is current.
 *
 * Permissions: `--allow-read=docs`, `--allow-write=docs`.
 *
 * @module
 */

import { ANSWER_BIT } from "../protocol/codec.ts";
import { ERROR, MESSAGES } from "../protocol/messages.ts";
import type { Fields } from "../protocol/types.ts";

const PAGE = new URL("./messages.md", import.meta.url);

const INTRODUCTION = `# Messages

All messages of NEO protocol version 5. This page is made from
[protocol/messages.ts](../protocol/messages.ts) by \`deno task docs\`.

A message is the MessagePack array \`[id, code, arguments]\`. An answer carries the id of its request
and the code of the request with bit 0x8000; \`Error\` (0x8000) answers anything. Types: \`oid\`, \`tid\`
are bin of 8 bytes; \`sha1\` bin of 20 bytes; \`bin\` bytes; \`text\` UTF-8 bytes as bin; \`int\`, \`count\`,
\`nid\`, \`part\`, \`ptid\` integers; \`float\` float64; \`addr\` is \`(text host, int port)\`; \`node\` is
\`(NodeTypes, ?addr, ?nid, NodeStates, ?float)\`; \`rows\` is \`[[(nid, CellStates)]]\`; names ending in
\`States\` or \`Types\` are enumerations; \`?x\` is x or nil; \`[x]\` an array; \`(x, y)\` an array with
exactly these items; \`{k: v}\` a map.

Routes: M master, S storage, C client, A admin, ctl the control tool, ? a peer that is not identified,
* any node. *Kept*: still handled when the connection was closed locally meanwhile.
`;

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function list(fields: Fields): string {
  const items = Object.entries(fields).map(([name, type]) => `${type.notation} ${name}`);
  return items.length === 0 ? "–" : `\`${items.join(", ")}\``;
}

function code(value: number): string {
  return `0x${value.toString(16).padStart(4, "0")}`;
}

/** The page. */
export function messagesPage(): string {
  const rows = Object.entries(MESSAGES)
    .sort(([, a], [, b]) => a.code - b.code)
    .map(([name, message]) => {
      const answer = message.kind === "request"
        ? `${code(message.code | ANSWER_BIT)} ${message.answer} ${list(message.answerArgs)}`
        : message.kind === "command"
        ? "Error (ACK)"
        : "";
      const routes = message.routes.map((route) => route.replace(">", " → ")).join(", ");
      return [
        code(message.code),
        name,
        message.kind,
        routes,
        list(message.args),
        answer,
        message.onClosed === "keep" ? "kept" : "",
      ].map(cell).join(" | ");
    });
  return [
    INTRODUCTION,
    "| Code | Message | Kind | Routes | Arguments | Answer | On closed |",
    "|---|---|---|---|---|---|---|",
    `| ${code(ERROR.code)} | Error | answer | any | ${list(ERROR.args)} |  | kept |`,
    ...rows.map((row) => `| ${row} |`),
    "",
  ].join("\n");
}

if (import.meta.main) {
  const page = messagesPage();
  if (Deno.args.includes("--check")) {
    if (await Deno.readTextFile(PAGE) !== page) {
      console.error("docs/messages.md is not current: run deno task docs");
      Deno.exit(1);
    }
  } else await Deno.writeTextFile(PAGE, page);
}
