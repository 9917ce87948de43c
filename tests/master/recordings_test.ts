/** The masters of recordings are replaced by ours, which must say the same. */

import assert from "node:assert/strict";
import { Master } from "../../master/mod.ts";
import {
  decodeMessage,
  type Message,
  type MessageArgs,
  writeMessage,
} from "../../protocol/codec.ts";
import { NodeState, NodeType } from "../../protocol/enums.ts";
import type { MessageName } from "../../protocol/messages.ts";
import {
  type Address,
  type NodeDescription,
  nodeName,
  parseNodeName,
} from "../../protocol/nodes.ts";
import { Output } from "../../protocol/output.ts";
import { Peer, quiet, until, world } from "../network/support.ts";

interface Step {
  readonly step: string;
}

interface Line {
  /** In seconds, since some moment. */
  readonly time: number;
  readonly from: string;
  readonly to: string;
  readonly message: Message;
}

async function readRecording(file: string): Promise<(Step | Line)[]> {
  const url = new URL(`../fixtures/conversations/${file}`, import.meta.url);
  return (await Deno.readTextFile(url)).trimEnd().split("\n").map((text) => {
    const record: unknown = JSON.parse(text);
    if (!Array.isArray(record)) return record as Step;
    const [time, from, to, , , , , hex] = record;
    return { time, from, to, message: decodeMessage(Uint8Array.fromHex(hex)) };
  });
}

/** The arguments of a message of that name, `null` for others. */
function argsOf<N extends MessageName>({ codec, args }: Message, name: N): MessageArgs<N> | null {
  return codec.name === name ? args as unknown as MessageArgs<N> : null;
}

/** Recorded tids that depend on the time, and what they became. */
type Aliases = Map<bigint, bigint>;

function translate(value: unknown, aliases: Aliases): unknown {
  if (typeof value === "bigint") return aliases.get(value) ?? value;
  if (value instanceof Uint8Array || value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => translate(item, aliases));
  if (value instanceof Map) {
    return new Map([...value].map((entry) => entry.map((item) => translate(item, aliases))) as []);
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, translate(item, aliases)]),
  );
}

/** What is compared of a node: times differ, and the order too, except that the receiver is first. */
function nodeText({ type, address, nid, state, idTimestamp }: NodeDescription): string {
  const time = state === NodeState.DOWN ? "" : idTimestamp === null ? "never" : "identified";
  return `${NodeType[type]} ${address?.port} ${nodeName(nid)} ${NodeState[state]} ${time}`;
}

/** What is compared of a message. */
function describe(message: Message, aliases: Aliases = new Map()): unknown[] {
  const { codec, id, args } = message;
  const told = argsOf(message, "NotifyNodeInformation");
  if (told !== null) {
    const texts = told.nodes.map(nodeText);
    return [codec.name, id, ...texts.slice(0, id === 0 ? 1 : 0), texts.toSorted()];
  }
  // Its text is for people.
  if (codec.name === "Error") return [codec.name, id, args.code];
  return [codec.name, id, translate(args, aliases)];
}

/** Messages whose tids are allocated by the master. */
const ALLOCATED = ["AnswerBeginTransaction", "AskLockInformation"];

interface Part {
  /** The master that is replaced. */
  readonly node: string;
  /** When it began to be a candidate. */
  readonly since: number;
  /** The ports of all masters, by name. */
  readonly ports: Readonly<Record<string, number>>;
  /** Where the part starts and ends, as patterns of steps. */
  readonly from: RegExp;
  readonly to: RegExp;
}

/** A peer that connects. */
interface Arrival {
  readonly name: string;
  readonly request: Message;
  /** Nodes that were lost before. */
  readonly lost: readonly NodeDescription[];
}

/** A master of ours among the peers of a recording. */
class Replay {
  readonly #part: Part;
  readonly #world = world();
  /** Open connections by the name of the peer. */
  readonly #peers = new Map<string, Peer>();
  /** What each connection must have received. */
  readonly #expected = new Map<Peer, Message[]>();
  readonly #aliases: Aliases = new Map();
  readonly #played: Line[] = [];
  #wall: number;
  compared = 0;

  constructor(part: Part) {
    this.#part = part;
    this.#wall = part.since;
  }

  /** Plays the lines of the part, and compares everything that the master sends. */
  async run(lines: readonly (Step | Line)[]): Promise<void> {
    const { node, ports, since } = this.#part;
    const stop = new AbortController();
    const address = (name: string): Address => ({ host: "127.0.0.1", port: ports[name] ?? 0 });
    const listeners = [];
    for (const name of Object.keys(ports)) {
      if (name === node) continue;
      listeners.push(
        await this.#world.env.listen(address(name), (transport) => {
          const peer = new Peer(transport);
          peer.handshake();
          this.#peers.set(name, peer);
          this.#expected.set(peer, []);
        }),
      );
    }
    const master = new Master({ ...this.#world.env, now: () => this.#wall }, {
      cluster: "sample",
      bind: address(node),
      masters: Object.keys(ports).map(address),
      nid: parseNodeName(node),
      partitions: 2,
      replicas: 1,
      autostart: null,
    });
    const ended = master.run(stop.signal);
    await master.address;
    await quiet();
    try {
      const played = lines.filter((line) => "message" in line);
      const arrivals = this.#arrivals(played);
      for (const line of played) {
        this.#wall = Math.max(this.#wall, since + line.time - (played[0]?.time ?? 0));
        const arrival = arrivals.get(line);
        if (arrival !== undefined) await this.#arrive(arrival);
        this.#played.push(line);
        if (line.from === node) await this.#sent(line);
        else if (line.to === node) this.#receive(line);
        await quiet();
      }
      for (const [peer, messages] of this.#expected) {
        if (messages.length > 0) this.#compare(peer, messages);
      }
    } finally {
      for (const listener of listeners) listener.close();
      stop.abort();
      await ended;
    }
  }

  /** A peer sends something to the master. */
  #receive({ from, message }: Line): void {
    if (message.codec.name === "RequestIdentification") return; // See `#arrivals`.
    const peer = this.#peers.get(from);
    assert(peer, `${from} is connected`);
    const output = new Output();
    const args = translate(message.args, this.#aliases) as Message["args"];
    writeMessage(output, message.codec, message.id, args);
    peer.write(output.takeBytes());
  }

  /** The recorded master sent something: ours must have done so too. */
  async #sent({ to, message }: Line): Promise<void> {
    const request = argsOf(message, "RequestIdentification");
    if (request !== null) return await this.#introduced(request);
    const directions = argsOf(message, "NotPrimaryMaster");
    if (directions !== null) return await this.#redirected(directions);
    for (const node of argsOf(message, "NotifyNodeInformation")?.nodes ?? []) {
      await this.#lose(node);
    }
    const peer = this.#peers.get(to);
    assert(peer, `${to} is connected`);
    const messages = this.#expected.get(peer) ?? [];
    const own = peer.messages[messages.length];
    messages.push(message);
    if (own === undefined || !ALLOCATED.includes(message.codec.name)) return;
    for (const key of ["ttid", "tid"] as const) {
      const [recorded, ours] = [message.args[key], own.args[key]];
      if (typeof recorded === "bigint" && typeof ours === "bigint") {
        this.#aliases.set(recorded, ours);
      }
    }
  }

  /**
   * When peers connect that the recorded master accepted: with their last request before, wherever they
   * hoped to send it. Clients may have been refused at first, unlike with ours.
   */
  #arrivals(lines: readonly Line[]): Map<Line, Arrival> {
    const { node } = this.#part;
    const arrivals = new Map<Line, Arrival>();
    for (const [index, accept] of lines.entries()) {
      if (accept.from !== node || accept.message.codec.name !== "AcceptIdentification") continue;
      const name = accept.to;
      const request = lines.slice(0, index).findLast(({ from, message }) => {
        const type = argsOf(message, "RequestIdentification")?.type;
        return type !== undefined && NodeType[type].startsWith(name.charAt(0)) &&
          (from === name || from.startsWith("?"));
      });
      assert(request, `${name} has introduced itself`);
      const welcome = lines.slice(index).find(({ from, to, message }) =>
        from === node && to === name && message.codec.name === "NotifyNodeInformation"
      );
      const nodes = welcome && argsOf(welcome.message, "NotifyNodeInformation")?.nodes;
      arrivals.set(name.startsWith("C") ? accept : request, {
        name,
        request: request.message,
        lost: nodes?.filter(({ state }) => state === NodeState.DOWN) ?? [],
      });
    }
    return arrivals;
  }

  async #arrive({ name, request, lost }: Arrival): Promise<void> {
    for (const node of lost) await this.#lose(node);
    await this.#close(name);
    const peer = await this.#connect(request);
    this.#peers.set(name, peer);
    this.#expected.set(peer, []);
  }

  async #connect(request: Message): Promise<Peer> {
    const address = { host: "127.0.0.1", port: this.#part.ports[this.#part.node] ?? 0 };
    const peer = new Peer(await this.#world.env.connect(address));
    peer.handshake();
    const output = new Output();
    writeMessage(output, request.codec, request.id, request.args);
    peer.write(output.takeBytes());
    await quiet();
    return peer;
  }

  async #close(name: string): Promise<void> {
    const peer = this.#peers.get(name);
    if (peer === undefined) return;
    peer.transport.close();
    this.#peers.delete(name);
    await quiet();
  }

  /** What the recorded master has lost is lost before ours says so. */
  async #lose({ nid, state }: NodeDescription): Promise<void> {
    if (state === NodeState.DOWN || state === NodeState.UNKNOWN) await this.#close(nodeName(nid));
  }

  /** The recorded master challenged others, or became a secondary. */
  async #introduced(request: MessageArgs<"RequestIdentification">): Promise<void> {
    if (request.idTimestamp === null) {
      // It has lost its primary, and asks others about it. Ours challenges them.
      for (const name of Object.keys(this.#part.ports)) await this.#close(name);
      return;
    }
    const challenges = [...this.#expected.keys()].flatMap((peer) => peer.messages)
      .map((message) => argsOf(message, "RequestIdentification")).filter((args) => args !== null);
    const [challenge] = challenges;
    assert.deepEqual(challenge, request);
    this.compared++;
  }

  /** The recorded master sent somebody away. */
  async #redirected(directions: MessageArgs<"NotPrimaryMaster">): Promise<void> {
    const asker = this.#played.findLast(({ from, to, message }) =>
      message.codec.name === "RequestIdentification" && to === "?" && from !== this.#part.node
    );
    assert(asker);
    const peer = await this.#connect(asker.message);
    await until(() => peer.isClosed, "the one that is sent away is disconnected");
    const [own] = peer.messages.map((message) => argsOf(message, "NotPrimaryMaster"));
    assert(own);
    const told = ({ primary, masters }: MessageArgs<"NotPrimaryMaster">) => ({
      primary: primary === null ? null : masters[primary],
      masters: masters.map(({ port }) => port).toSorted(),
    });
    assert.deepEqual(told(own), told(directions));
    this.compared++;
  }

  #compare(peer: Peer, messages: readonly Message[]): void {
    const received = peer.messages.map((message) => describe(message));
    assert.deepEqual(received, messages.map((message) => describe(message, this.#aliases)));
    this.compared += messages.length;
  }
}

async function replay(file: string, part: Part): Promise<number> {
  const lines = await readRecording(file);
  const step = (pattern: RegExp) =>
    lines.findIndex((line) => "step" in line && pattern.test(line.step));
  const [first, last] = [step(part.from), step(part.to)];
  assert(first >= 0 && last > first, `${part.from} then ${part.to}`);
  const replay = new Replay(part);
  await replay.run(lines.slice(first, last));
  return replay.compared;
}

const PORTS = { M1: 33069, M2: 46309, M3: 46673 };

Deno.test("Master sends what M2 sent when it won an election and served a cluster", async () => {
  const compared = await replay("masters.jsonl", {
    node: "M2",
    since: 1795343645.2731178,
    ports: PORTS,
    from: /^MASTERS/,
    to: /^tpc_finish raised/,
  });
  assert(compared > 60, `${compared} messages`);
});

Deno.test("Master sends what M3 sent as a secondary, and when it took over", async () => {
  const compared = await replay("masters.jsonl", {
    node: "M3",
    since: 1795343645.2771866,
    ports: PORTS,
    from: /^MASTERS/,
    to: /^end/,
  });
  assert(compared > 60, `${compared} messages`);
});

Deno.test("Master sends what M1 sent when it verified a transaction that some had locked", async () => {
  const part = { node: "M1", ports: { M1: 41947 } };
  await replay("verify.jsonl", {
    ...part,
    since: 1795343649,
    from: /^VERIFICATION/,
    to: /^tpc_finish raised/,
  });
  const compared = await replay("verify.jsonl", {
    ...part,
    since: 1795343651,
    from: /^all nodes restart/,
    to: /^end/,
  });
  assert(compared > 35, `${compared} messages`);
});
