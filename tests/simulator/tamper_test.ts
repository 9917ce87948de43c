import assert from "node:assert/strict";
import { decodeHead, encodeMessage, HANDSHAKE } from "../../protocol/codec.ts";
import { StreamEnd } from "../../simulator/stream.ts";
import { tamperMessages } from "../../simulator/tamper.ts";
import { quietNetwork } from "./support.ts";

function newEnd(): StreamEnd {
  const { network } = quietNetwork();
  return new StreamEnd(network, 1, { host: "a", port: 1 }, { host: "b", port: 2 });
}

Deno.test("tamperMessages() passes whole messages, however they are cut", () => {
  const seen: string[] = [];
  const tamper = tamperMessages(({ name, from, to, bytes }) => {
    seen.push(`${from} > ${to} ${name}`);
    return name === "Ping" ? [] : [bytes, bytes];
  });
  const end = newEnd();
  const ping = encodeMessage("Ping", 1, {});
  const ready = encodeMessage("NotifyReady", 2, {});
  const stream = Uint8Array.of(...HANDSHAKE, ...ping, ...ready, ...ping);
  const passed: Uint8Array[] = [];
  for (const byte of stream) passed.push(...tamper(end, Uint8Array.of(byte)));
  assert.deepEqual(seen, ["a > b Ping", "a > b NotifyReady", "a > b Ping"]);
  const bytes = Uint8Array.of(...passed.flatMap((chunk) => [...chunk]));
  assert.deepEqual(bytes, Uint8Array.of(...HANDSHAKE, ...ready, ...ready));
});

Deno.test("tamperMessages() keeps what is held back for each direction", () => {
  const tamper = tamperMessages(({ name, bytes, held }) => {
    if (name !== "Ping") return [bytes, ...held.splice(0)];
    held.push(bytes);
    return [];
  });
  const ping = encodeMessage("Ping", 1, {});
  const ready = encodeMessage("NotifyReady", 2, {});
  const [one, other] = [newEnd(), newEnd()];
  for (const end of [one, other]) tamper(end, HANDSHAKE);
  assert.deepEqual(tamper(one, ping), []);
  const names = (chunks: Uint8Array[]) => chunks.map((bytes) => decodeHead(bytes).codec.name);
  assert.deepEqual(names(tamper(other, ready)), ["NotifyReady"]);
  assert.deepEqual(names(tamper(one, ready)), ["NotifyReady", "Ping"]);
});
