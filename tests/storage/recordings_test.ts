/** The storages of recordings are replaced by ours, which must say the same. */

import assert from "node:assert/strict";
import { decodeMessage, type Message } from "../../protocol/codec.ts";
import { openDatabase } from "../../storage/database/mod.ts";
import { Storage } from "../../storage/mod.ts";
import type { Address, NodeDescription } from "../../protocol/nodes.ts";
import { Peer, quiet, until, world } from "../network/support.ts";

interface Step {
  readonly step: string;
}

interface Line {
  readonly from: string;
  readonly to: string;
  readonly hex: string;
}

async function readRecording(file: string): Promise<(Step | Line)[]> {
  const url = new URL(`../fixtures/conversations/${file}`, import.meta.url);
  const lines: (Step | Line)[] = [];
  for (const text of (await Deno.readTextFile(url)).trimEnd().split("\n")) {
    const record: unknown = JSON.parse(text);
    if (Array.isArray(record)) {
      const [, from, to, , , , , hex] = record;
      lines.push({ from, to, hex });
    } else lines.push(record as Step);
  }
  return lines;
}

function decode(hex: string): Message {
  return decodeMessage(Uint8Array.fromHex(hex));
}

/** `[name, id, arguments]`, to be compared. */
type Described = [string, number | null, Message["args"]];

function describe({ codec, id, args }: Message): Described {
  return [codec.name, id, args];
}

/** Where a node of a recording listens. */
function addressOf(lines: readonly (Step | Line)[], node: string): Address | null {
  const nid = Number(node.slice(1));
  for (const line of lines) {
    if (!("hex" in line) || line.hex.endsWith("…")) continue;
    const { codec, args } = decode(line.hex);
    if (codec.name !== "NotifyNodeInformation") continue;
    const found = (args.nodes as NodeDescription[]).find((one) => one.nid === nid);
    if (found?.address) return found.address;
  }
  return null;
}

interface Part {
  /** The storage that is replaced. */
  readonly node: string;
  /** Other storages that it connects to. */
  readonly storages?: readonly string[];
  /** Path of its database. */
  readonly database: string;
  /** Where the part starts and ends, as patterns of steps. */
  readonly from: RegExp;
  readonly to: RegExp;
  /** Messages that are not compared; ids are not either then. */
  readonly ignored?: readonly string[];
  /** How many of the last messages it never read. */
  readonly unread?: number;
}

/**
 * Sends to a storage what it received in a recording, and compares what it sends.
 *
 * @returns the number of messages that were compared.
 */
async function replay(
  file: string,
  { node, storages = [], ignored = [], database, from, to, unread = 0 }: Part,
): Promise<number> {
  const lines = await readRecording(file);
  const step = (pattern: RegExp) =>
    lines.findIndex((line) => "step" in line && pattern.test(line.step));
  const [first, last] = [step(from), step(to)];
  assert.ok(first >= 0 && last > first, `${from} then ${to}`);
  const { env, clock } = world();
  const address = { host: "127.0.0.1", port: 10000 };
  const peers = new Map<string, Peer>();
  /** What this storage must send, by peer. */
  const expected = new Map<string, Described[]>();
  const withoutId = ([name, id, args]: Described): Described => [
    name,
    ignored.length > 0 ? null : id,
    args,
  ];
  const isCompared = (name: string) => name !== "RequestIdentification" && !ignored.includes(name);
  const received = (name: string) =>
    (peers.get(name)?.messages ?? []).map(describe).map(withoutId)
      .filter(([name]) => isCompared(name));
  const answered = new Set<number>();
  /** Masters of all implementations answer pings, which the one that was recorded was not sent. */
  const answerPings = () => {
    const master = peers.get("M1");
    for (const { codec, id } of master?.messages ?? []) {
      if (codec.name !== "Ping" || answered.has(id)) continue;
      answered.add(id);
      master?.send("Pong", id, {});
    }
  };
  const has = (name: string, messages: readonly unknown[]) => {
    answerPings();
    return received(name).length >= messages.length;
  };
  const listen = (address: Address | null, name: string) => {
    assert.ok(address !== null, `the address of ${name} is known`);
    return env.listen(address, (transport) => {
      const peer = new Peer(transport);
      peer.handshake();
      peers.set(name, peer);
    });
  };
  const listeners = await Promise.all([
    listen(address, "M1"),
    ...storages.map((name) => listen(addressOf(lines.slice(0, last), name), name)),
  ]);
  const stop = new AbortController();
  const storage = new Storage(env, {
    cluster: "sample",
    bind: { host: "127.0.0.1", port: 0 },
    masters: [address],
    nid: Number(node.slice(1)),
    newNid: false,
    disablePack: false,
    openDatabase: () =>
      openDatabase("SQLite", {
        database,
        wait: 0,
        engine: null,
        dedup: false,
        reset: false,
        disableDropPartitions: false,
        log: () => {},
        setTimer: (callback, milliseconds) => clock.setTimer(milliseconds, callback),
        now: clock.monotonic,
      }),
  });
  const ended = storage.run(stop.signal);
  try {
    await until(() => (peers.get("M1")?.messages.length ?? 0) > 0, "the storage finds the master");
    // Long messages are cut in recordings: nobody misses one object among those that are replicated.
    const played = lines.slice(first, last)
      .filter((line) => "hex" in line && !line.hex.endsWith("…")) as Line[];
    const isAnswerToNothing = ({ hex }: Line) => ignored.includes(decode(hex).codec.name);
    const sent = played.filter((line) => line.to === node);
    const read = new Set(sent.slice(0, sent.length - unread));
    for (const line of played) {
      if (line.from === node && line.to !== "?") {
        const messages = expected.get(line.to) ?? [];
        const message = withoutId(describe(decode(line.hex)));
        if (isCompared(message[0])) messages.push(message);
        expected.set(line.to, messages);
      } else if (read.has(line) && !isAnswerToNothing(line)) {
        const { codec, id } = decode(line.hex);
        if (storages.includes(line.from)) {
          await until(() => {
            answerPings();
            const asked = peers.get(line.from)?.messages ?? [];
            return asked.some((message) => message.id === id);
          }, `what ${line.from} answers with ${codec.name}`);
        }
        let peer = peers.get(line.from);
        if (peer === undefined) {
          peer = new Peer(await env.connect(await storage.address));
          peer.handshake();
          peers.set(line.from, peer);
        }
        // It was sent when all that was there.
        for (const [name, messages] of expected) await until(() => has(name, messages), name);
        peer.write(Uint8Array.fromHex(line.hex));
        await quiet();
      }
    }
    let compared = 0;
    for (const [name, messages] of expected) {
      await until(() => has(name, messages), `everything sent to ${name}`);
      assert.deepEqual(received(name), messages, `sent to ${name}`);
      compared += messages.length;
    }
    return compared;
  } finally {
    for (const listener of listeners) listener.close();
    stop.abort(new Error("end of the test"));
    await ended;
  }
}

const MEMORY = ":memory:";

for (const node of ["S1", "S2"]) {
  Deno.test(`Storage sends what ${node} sent when a cluster starts and clients commit`, async () => {
    const part = { node, database: MEMORY, from: /^cluster start/, to: /^big object/ };
    const compared = await replay("main.jsonl", part);
    assert.ok(compared > 30, `${compared} messages`);
  });

  Deno.test(`Storage sends what ${node} sent when clients deadlock`, async () => {
    const part = { node, database: MEMORY, from: /^DEADLOCK/, to: /^end/ };
    const compared = await replay("deadlock.jsonl", part);
    assert.ok(compared >= 18, `${compared} messages`);
  });

  Deno.test(`Storage sends what ${node} sent when a transaction is verified`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "neo-storage-" });
    try {
      const part = { node, database: `${folder}/db.sqlite` };
      await replay("verify.jsonl", {
        ...part,
        from: /^VERIFICATION/,
        to: /^tpc_finish raised/,
        // It was frozen before the lock of the last transaction.
        unread: node === "S2" ? 1 : 0,
      });
      const compared = await replay("verify.jsonl", {
        ...part,
        from: /^all nodes restart/,
        to: /^end/,
      });
      assert.ok(compared >= 7, `${compared} messages`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("Storage sends what S3 sent when it was given partitions to replicate", async () => {
  const compared = await replay("main.jsonl", {
    node: "S3",
    storages: ["S2"],
    // This one has nothing left to pack: its cells are copies of what was packed.
    ignored: ["Ping", "AskPackOrders", "AnswerPackOrders", "NotifyPackCompleted"],
    database: MEMORY,
    from: /^a third storage/,
    to: /^check replicas/,
  });
  assert.ok(compared >= 8, `${compared} messages`);
});
