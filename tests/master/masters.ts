/**
 * Several masters in a network of memory, and scripted peers.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Master, type MasterOptions } from "../../master/mod.ts";
import type { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import type { Notification } from "../../network/handler.ts";
import { LogLevel, type PacketRecord, silentLog } from "../../network/log.ts";
import { type Link, MemoryNetwork } from "../../network/memory.ts";
import { acceptConnections } from "../../network/server.ts";
import { type ClusterState, NodeType } from "../../protocol/enums.ts";
import type { MessageName } from "../../protocol/messages.ts";
import { type Address, formatAddress, nodeName, sameAddress } from "../../protocol/nodes.ts";
import { type Identity, Peer, type PeerWorld, settle, type StorageData } from "./support.ts";
import { type Sent, sentOf } from "./transcript.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** Where the `n`-th master listens. */
export function masterAddress(n: number): Address {
  return { host: `10.0.1.${n}`, port: 10000 };
}

/** A master of the scene, in one of its lives. */
interface Running {
  readonly master: Master;
  readonly stop: AbortController;
  outcome: "running" | "ended" | Error;
}

/** Masters and their peers. */
export class Masters implements PeerWorld, AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly network: MemoryNetwork;
  readonly env: Environment;
  readonly warnings: string[] = [];
  /** What each master remembered last, formatted and sorted. */
  readonly saved = new Map<number, string[]>();
  readonly #running = new Map<number, Running>();
  readonly #options: Partial<MasterOptions>;
  /** Pairs of hosts that can't reach each other. */
  readonly #cut = new Set<string>();
  readonly #frozen = new Set<string>();
  #sent: (Sent & { readonly from: number })[] = [];
  #nextPort = 20001;

  constructor(options: Partial<MasterOptions> = {}) {
    this.#options = options;
    this.network = new MemoryNetwork(this.clock, {
      reachable: (from, to) =>
        !this.#frozen.has(from.host) && !this.#frozen.has(to.host) &&
        !this.#cut.has(`${from.host} ${to.host}`) && !this.#cut.has(`${to.host} ${from.host}`),
    });
    this.env = this.#environment("10.0.0.2", silentLog);
  }

  #environment(host: string, log: Environment["log"]): Environment {
    return {
      now: () => this.clock.wall,
      monotonic: this.clock.monotonic,
      setTimer: this.clock.setTimer,
      random: () => 0.5,
      ...this.network.host(host),
      log,
    };
  }

  newAddress(): Address {
    return { host: "10.0.0.2", port: this.#nextPort++ };
  }

  /** Starts masters that know each other, at the same moment. */
  async start(...numbers: number[]): Promise<this> {
    for (const n of numbers) this.launch(n);
    await settle();
    return this;
  }

  /** Starts a master; it knows the first three unless told otherwise. */
  launch(n: number, options: Partial<MasterOptions> = {}): void {
    const log = {
      ...silentLog,
      warning: (text: string) => this.warnings.push(`${LogLevel[LogLevel.WARNING]} ${text}`),
      error: (text: string) => this.warnings.push(`${LogLevel[LogLevel.ERROR]} ${text}`),
      packet: (record: PacketRecord) => {
        if (record.sent) this.#sent.push({ from: n, ...sentOf(record) });
      },
    };
    const { host } = masterAddress(n);
    const stop = new AbortController();
    const master = new Master(this.#environment(host, log), {
      cluster: "test",
      bind: masterAddress(n),
      masters: [1, 2, 3].map(masterAddress),
      nid: null,
      partitions: 2,
      replicas: 1,
      autostart: 2,
      saveMasters: (masters) => this.saved.set(n, masters.map(formatAddress).sort()),
      ...this.#options,
      ...options,
    });
    const running: Running = { master, stop, outcome: "running" };
    this.#running.set(n, running);
    master.run(stop.signal).then(
      () => running.outcome = "ended",
      (error) => running.outcome = error instanceof Error ? error : new Error(String(error)),
    );
  }

  #of(n: number): Running {
    const running = this.#running.get(n);
    assert(running, `master ${n} was not started`);
    return running;
  }

  outcome(n: number): Running["outcome"] {
    return this.#of(n).outcome;
  }

  /** Ends masters at once, as when their processes are killed. */
  async kill(...numbers: number[]): Promise<void> {
    for (const n of numbers) this.#of(n).stop.abort();
    await settle();
  }

  /** `primary RUNNING`, `secondary of 10.0.1.1`, `searching 10.0.1.1` or `ended`. */
  role(n: number): string {
    const { master, outcome } = this.#of(n);
    if (outcome !== "running") return String(outcome);
    const [line = ""] = master.dump().split("\n");
    const secondary = /^secondary master of (\S+):10000, (connected|looking)/.exec(line);
    if (secondary === null) return `primary ${line.split(", ")[1]}`;
    return `${secondary[2] === "connected" ? "secondary of" : "searching"} ${secondary[1]}`;
  }

  roles(...numbers: number[]): string[] {
    return numbers.map((n) => this.role(n));
  }

  dump(n: number): string {
    return this.#of(n).master.dump();
  }

  /** What a master sent since the last call, as `S1 NotifyReady`, in order. */
  sent(n: number, ...names: MessageName[]): string[] {
    const lines = this.#sent
      .filter(({ from, name }) => from === n && (names.length === 0 || names.includes(name)))
      .map(({ to, name, text }) => `${to} ${name}${text === "" ? "" : ` ${text}`}`);
    this.#sent = this.#sent.filter(({ from }) => from !== n);
    return lines;
  }

  /** Lets time pass, in steps short enough for the timers that others set. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0;) {
      const passed = milliseconds - left;
      const step = Math.min(left, passed < 100 ? 10 : passed < 2000 ? 100 : 1000);
      this.clock.advance(step);
      left -= step;
      await settle();
    }
  }

  // The network

  /** The streams that are open between masters, as `10.0.1.2>10.0.1.1`. */
  masterLinks(): string[] {
    return [...this.network.links]
      .filter(({ from, to }) => [from, to].every(({ host }) => host.startsWith("10.0.1.")))
      .map(({ from, to }) => `${from.host}>${to.host}`).sort();
  }

  #linksOf(n: number): Link[] {
    const { host } = masterAddress(n);
    return [...this.network.links].filter(({ from, to }) => from.host === host || to.host === host);
  }

  /** Two masters can't reach each other any more. */
  async cut(a: number, b: number): Promise<void> {
    const hosts = [a, b].map((n) => masterAddress(n).host);
    this.#cut.add(hosts.join(" "));
    for (const link of this.network.links) {
      if (hosts.includes(link.from.host) && hosts.includes(link.to.host)) link.cut();
    }
    await settle();
  }

  /** All masters reach each other again. */
  heal(): void {
    this.#cut.clear();
  }

  /** A master stops doing anything, and nobody notices. Returns how to let it go on. */
  freeze(n: number): () => Promise<void> {
    const links = this.#linksOf(n);
    const { host } = masterAddress(n);
    this.#frozen.add(host);
    for (const link of links) link.freeze();
    return async () => {
      this.#frozen.delete(host);
      for (const link of links) link.thaw();
      await settle();
    };
  }

  // Peers

  peer(type: NodeType, to: number, identity: Identity = {}): Promise<Peer> {
    return new Peer(this, type, { to: masterAddress(to), ...identity }).identify();
  }

  client(to: number, identity: Identity = {}): Promise<Peer> {
    return this.peer(NodeType.CLIENT, to, identity);
  }

  storage(to: number, data: Partial<StorageData> = {}, identity: Identity = {}): Promise<Peer> {
    const peer = new Peer(this, NodeType.STORAGE, { to: masterAddress(to), ...identity });
    Object.assign(peer.data, data);
    return peer.identify();
  }

  /** A scripted master. */
  rival(to: number, from: number, identity: Identity = {}): Promise<Peer> {
    const { host } = masterAddress(from);
    return this.peer(NodeType.MASTER, to, { address: masterAddress(from), host, ...identity });
  }

  /** Listens like a master, and does something with each that introduces itself. */
  async listenAs(n: number, react: (connection: Connection) => void): Promise<() => void> {
    const { host } = masterAddress(n);
    const env = this.#environment(host, silentLog);
    const server = await acceptConnections(env, {
      address: masterAddress(n),
      handler: {
        requestIdentification: (_: unknown, { connection }: Notification) => react(connection),
      },
    });
    return () => server.stop();
  }

  /** Where a master sends those who connect: the primary, `none`, or what happens instead. */
  async redirection(n: number, type = NodeType.ADMIN): Promise<string> {
    const peer = await this.peer(type, n);
    const told = peer.received.find(({ name }) => name === "NotPrimaryMaster");
    if (told === undefined) return peer.identification.answer ? "accepted" : "refused";
    const { primary, masters } = peer.last("NotPrimaryMaster");
    assert(masters.some((master) => sameAddress(master, masterAddress(n))), "it lists itself");
    assert(peer.closed, "nothing else can be asked");
    return primary === null ? "none" : masters[primary]?.host ?? "nobody";
  }

  /** The names of the masters that a node was told about, with their states. */
  async nodeNames(admin: Peer): Promise<string[]> {
    await settle();
    const names = new Map<string, string>();
    for (const { name, args } of admin.received) {
      if (name !== "NotifyNodeInformation") continue;
      const { nodes } = args as ReturnType<typeof admin.last<"NotifyNodeInformation">>;
      for (const { type, address, nid, state } of nodes) {
        if (type !== NodeType.MASTER) continue;
        names.set(address?.host ?? "", `${address?.host} ${nodeName(nid)} ${STATE[state]}`);
      }
    }
    return [...names.values()].sort();
  }

  async state(admin: Peer): Promise<ClusterState | null> {
    return (await admin.get("AskClusterState", {})).state;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stop } of this.#running.values()) stop.abort();
    await settle();
    assert.deepEqual(this.warnings.filter((text) => text.includes(" failed: ")), []);
  }
}

const STATE = ["UNKNOWN", "DOWN", "RUNNING", "PENDING"] as const;
