import assert from "node:assert/strict";
import {
  allCodecs,
  codecOf,
  decodeMessage,
  encodeMessage,
  writeMessage,
} from "../../protocol/codec.ts";
import type { MessageName } from "../../protocol/messages.ts";
import { Output } from "../../protocol/output.ts";
import { fromHex, hex, type Json, renderArguments } from "./json_output.ts";

const fixtures = new URL("../fixtures/", import.meta.url);

function encodeAgain(bytes: Uint8Array): string {
  const { id, codec, args } = decodeMessage(bytes);
  const output = new Output();
  writeMessage(output, codec, id, args);
  return hex(output.takeBytes());
}

/** Compares, byte strings being cut in recordings of long messages. */
function assertRendered(actual: Json, recorded: Json, where: string): void {
  if (recorded !== null && typeof recorded === "object" && !Array.isArray(recorded)) {
    const { hex: digits, len } = recorded;
    if (typeof digits === "string" && typeof len === "number") {
      assert.ok(actual !== null && typeof actual === "object" && "hex" in actual, where);
      const full = String(actual.hex);
      assert.equal(full.length, 2 * len, where);
      assert.equal(full.slice(0, digits.length), digits, where);
      return;
    }
  }
  if (Array.isArray(recorded)) {
    assert.ok(Array.isArray(actual), where);
    assert.equal(actual.length, recorded.length, where);
    recorded.forEach((item, i) => assertRendered(actual[i] ?? null, item, where));
  } else assert.deepEqual(actual, recorded, where);
}

Deno.test("decodeMessage() and writeMessage() agree with every message recorded between real nodes", async () => {
  const seen = new Set<string>();
  for await (const { name: file } of Deno.readDir(new URL("conversations/", fixtures))) {
    if (!file.endsWith(".jsonl")) continue;
    const text = await Deno.readTextFile(new URL(`conversations/${file}`, fixtures));
    for (const [index, line] of text.trimEnd().split("\n").entries()) {
      const record: unknown = JSON.parse(line);
      if (!Array.isArray(record)) continue;
      const where = `${file}:${index + 1}`;
      const [, , , name, id, code, args, digits] = record;
      seen.add(name);
      const codec = codecOf(name);
      assert.equal(codec.code, code, where);
      if (digits.endsWith("…")) continue;
      const message = decodeMessage(fromHex(digits));
      assert.equal(message.codec.name, name, where);
      assert.equal(message.id, id, where);
      assertRendered(renderArguments(codec, message.args), args, where);
      assert.equal(encodeAgain(fromHex(digits)), digits, where);
    }
  }
  assert.ok(seen.size > 95, `only ${seen.size} types of messages in the recordings`);
});

/** Renders as in the vectors: `Name(1, "text", 0x0000000000000001, …)`. */
function renderVector(name: string, args: Json[], floats: ReadonlySet<string>): string {
  const render = (value: Json, path: string): string => {
    if (value === null) return "nil";
    if (typeof value === "string") return value;
    if (typeof value === "number") {
      return floats.has(path) && Number.isInteger(value) ? `${value}.0` : String(value);
    }
    if (typeof value === "boolean") return String(value);
    if (Array.isArray(value)) {
      return `[${value.map((v, i) => render(v, `${path}.${i}`)).join(", ")}]`;
    }
    if (typeof value.hex === "string") {
      const bytes = fromHex(value.hex);
      const isText = bytes.length < 8 || bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
      return isText ? `"${new TextDecoder().decode(bytes)}"` : `0x${value.hex}`;
    }
    const pairs = Array.isArray(value.map) ? value.map : [];
    const entries = pairs.map((pair) =>
      Array.isArray(pair) ? pair.map((item) => render(item ?? null, "")).join(": ") : ""
    );
    return `{${entries.join(", ")}}`;
  };
  return `${name}(${args.map((value, i) => render(value, String(i))).join(", ")})`;
}

Deno.test("every message has a vector and is encoded as in it", async () => {
  const text = await Deno.readTextFile(new URL("vectors.txt", fixtures));
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const missing = new Set<number>(allCodecs().map((codec) => codec.code));
  // Numbers that are timestamps, by message and position of the argument.
  const floats = new Set(["0", "1.0.4", "1.1.4", "0.0.4", "0.1.4"]);
  const none = new Set<string>();
  for (let i = 0; i < lines.length; i += 2) {
    const [, code, readable] = /^([0-9a-f]{4}) (.*)$/.exec(lines[i] ?? "") ?? [];
    const digits = (lines[i + 1] ?? "").trim();
    assert.ok(code !== undefined && readable !== undefined, lines[i]);
    const { id, codec, args } = decodeMessage(fromHex(digits));
    assert.equal(id, 5);
    assert.equal(codec.code, parseInt(code, 16), readable);
    const timed = codec.name === "NotifyNodeInformation" || codec.name === "AnswerNodeList";
    const rendered = renderVector(codec.name, renderArguments(codec, args), timed ? floats : none);
    assert.equal(rendered, readable);
    assert.equal(encodeAgain(fromHex(digits)), digits, readable);
    missing.delete(codec.code);
  }
  assert.deepEqual([...missing], []);
});

Deno.test("codecOf() rejects what is no message", () => {
  assert.throws(() => codecOf("Pang" as MessageName), /unknown message Pang/);
});

Deno.test("encodeMessage() gives the bytes of its documentation", () => {
  assert.equal(hex(encodeMessage("AskNewOIDs", 5, { count: 2 })), "9305199102");
});
