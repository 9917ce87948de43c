/**
 * The commands of scenarios.
 *
 * @module
 */

import { POSKeyError, type Tid, toOid, type Transaction } from "../client/mod.ts";
import { Connection } from "../network/connection.ts";
import { ClusterState, NodeType } from "../protocol/enums.ts";
import { CLUSTER, MASTER_PORT } from "./servers.ts";
import { Machine } from "./machine.ts";
import type { ScenarioRunner } from "./scenario.ts";

/** A transaction of a scenario. */
interface Begun {
  readonly client: string;
  readonly transaction: Transaction;
  /** Numbers of objects that it stored. */
  readonly written: Set<string>;
}

type Command = (match: string[]) => void | Promise<void>;

/** Understands and executes commands. */
export class ScenarioCommands {
  readonly #runner: ScenarioRunner;
  readonly #transactions = new Map<string, Begun>();
  /** The last serial of each object that each client read or wrote. */
  readonly #serials = new Map<string, Tid>();
  readonly #blocks = new Map<string, () => void>();
  readonly #commands: readonly (readonly [RegExp, Command])[] = [
    [
      /^cluster(?: masters=(\d+))? partitions=(\d+) replicas=(\d+) storages=(\d+)$/,
      (match) => this.#create(match),
    ],
    [/^client (\w+)$/, ([name = ""]) => this.#connect(name)],
    [/^(\w+) begins (\w+)$/, ([client = "", name = ""]) => this.#begin(client, name)],
    [/^(\w+) stores (\d+) "(.*)"$/, (match) => this.#store(match)],
    [/^(\w+) checks (\d+)$/, ([name = "", oid = ""]) => this.#check(name, oid)],
    [/^(\w+) (votes|finishes|commits)$/, ([name = "", what = ""]) => this.#end(name, what)],
    [/^(\w+) aborts$/, ([name = ""]) => this.#begun(name).transaction.abort()],
    [/^(\w+) loads (\d+)$/, ([client = "", oid = ""]) => this.#load(client, oid)],
    [/^(kill|unplug) (\w+)$/, ([how, name = ""]) => this.#node(name).crash(how === "unplug")],
    [/^(kill|unplug) (\w+) when it (sends|receives) (\w+)$/, (match) => this.#arm(match)],
    [/^start (\w+)$/, ([name = ""]) => this.#node(name).start()],
    [/^order (\w+) to start$/, ([name = ""]) => this.#orderStart(name)],
    [/^stop (\w+)$/, ([name = ""]) => this.#node(name).stop()],
    [/^cut (\w+) (\w+)$/, ([one = "", other = ""]) => this.#cut(one, other)],
    [/^block (\w+) > (\w+)$/, ([from = "", to = ""]) => this.#block(from, to)],
    [/^unblock (\w+) > (\w+)$/, ([from = "", to = ""]) => this.#unblock(from, to)],
    [/^wait (\d+) s$/, ([seconds]) => this.#runner.pass(Number(seconds) * 1000)],
    [/^table$/, () => this.#table()],
    [/^database (\w+)$/, ([name = ""]) => this.#database(name)],
  ];

  constructor(runner: ScenarioRunner) {
    this.#runner = runner;
  }

  /** @throws {Error} if the command is not understood. */
  async execute(text: string): Promise<void> {
    for (const [pattern, command] of this.#commands) {
      const match = pattern.exec(text);
      if (match !== null) return await command(match.slice(1));
    }
    throw new Error(`unknown command '${text}'`);
  }

  async #create([masters, partitions, replicas, storages]: (string | undefined)[]): Promise<void> {
    await this.#runner.create({
      masters: Number(masters ?? 1),
      partitions: Number(partitions),
      replicas: Number(replicas),
      storages: Number(storages),
    });
  }

  // Clients

  async #connect(name: string): Promise<void> {
    const { cluster } = this.#runner;
    await cluster.run(cluster.user(name).client.connected(), 600_000, `${name} is connected`);
  }

  #client(name: string) {
    const user = this.#runner.cluster.userOf(name);
    if (user === undefined) throw new Error(`there is no client ${name}`);
    return user.client;
  }

  async #begin(client: string, name: string): Promise<void> {
    const { cluster, names } = this.#runner;
    names.expect(name);
    const begun = this.#client(client).begin({ description: name });
    const transaction = await cluster.run(begun, 60_000, `${name} begins`);
    this.#transactions.set(name, { client, transaction, written: new Set() });
  }

  #begun(name: string): Begun {
    const begun = this.#transactions.get(name);
    if (begun === undefined) throw new Error(`there is no transaction ${name}`);
    return begun;
  }

  #store([name = "", number = "", text = ""]: string[]): void {
    const { client, transaction, written } = this.#begun(name);
    const serial = this.#serials.get(`${client} ${number}`) ?? null;
    written.add(number);
    const data = new TextEncoder().encode(text);
    this.#tell(`${name} stores`, transaction.store(toOid(BigInt(number)), serial, data));
  }

  #check(name: string, number: string): void {
    const { client, transaction } = this.#begun(name);
    const serial = this.#serials.get(`${client} ${number}`);
    if (serial === undefined) throw new Error(`${client} has not read ${number}`);
    this.#tell(`${name} checks`, transaction.checkCurrentSerial(toOid(BigInt(number)), serial));
  }

  #end(name: string, what: string): void {
    const { names } = this.#runner;
    const { client, transaction } = this.#begun(name);
    if (what === "votes") return this.#tell(`${name} has voted`, transaction.vote(), true);
    const ended = what === "commits" ? transaction.commit() : transaction.finish();
    const told = ended.then((tid) => {
      names.name(tid, name.toUpperCase());
      this.#runner.show(`= ${name} is committed as ${names.text(tid)}`);
      for (const oid of this.#begun(name).written) this.#serials.set(`${client} ${oid}`, tid);
    });
    this.#tell(name, told);
  }

  #load(client: string, number: string): void {
    const { names } = this.#runner;
    const loaded = this.#client(client).load(toOid(BigInt(number)));
    const told = loaded.then(({ serial, data }) => {
      this.#serials.set(`${client} ${number}`, serial);
      const text = new TextDecoder().decode(data);
      this.#runner.show(`= ${client} sees "${text}" of ${names.text(serial)}`);
    }, (error) => {
      if (!(error instanceof POSKeyError)) throw error;
      this.#runner.show(`= ${client} sees nothing`);
    });
    this.#tell(`${client} loads ${number}`, told);
  }

  /** Shows how something ends, whenever that is. */
  #tell(what: string, promise: Promise<unknown>, success = false): void {
    promise.then(
      () => success && this.#runner.show(`= ${what}`),
      (error) => this.#runner.show(`= ${what}: ${this.#errorText(error)}`),
    );
  }

  #errorText(error: unknown): string {
    if (!(error instanceof Error)) return String(error);
    const { names } = this.#runner;
    return `${error.name}: ${names.replace(error.message)}`;
  }

  // Servers

  #node(name: string) {
    const node = this.#runner.cluster.nodes.find((node) => node.name === name);
    if (node === undefined) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** What an operator does, at an admin that only knows one master. */
  async #orderStart(master: string): Promise<void> {
    const { cluster } = this.#runner;
    const { env } = new Machine("o1", cluster.world, cluster.random.fork()).start();
    const ordered = env.connect({ host: master, port: MASTER_PORT }).then(async (transport) => {
      const connection = new Connection(env, transport, {
        connecting: true,
        handler: {
          notifyClusterInformation() {},
          notifyNodeInformation() {},
          notifyPartitionChanges() {},
          sendPartitionTable() {},
        },
      });
      await connection.ask("RequestIdentification", {
        type: NodeType.ADMIN,
        nid: null,
        address: { host: "o1", port: 1 },
        cluster: CLUSTER,
        idTimestamp: null,
        extra: new Map(),
      });
      const text = await connection.command("SetClusterState", { state: ClusterState.VERIFYING });
      connection.close();
      return text;
    });
    this.#tell(`the start of ${master} is ordered`, ordered, true);
    await cluster.run(ordered.catch(() => {}), 60_000, "the start is ordered");
  }

  #arm([how, host = "", what, name = ""]: string[]): void {
    const sends = what === "sends";
    this.#runner.arm({ host, what: sends ? "sends" : "receives", name, power: how === "unplug" });
  }

  #cut(one: string, other: string): void {
    if (this.#runner.cluster.network.cut(one, other) === 0) {
      throw new Error(`${one} and ${other} are not connected`);
    }
  }

  #block(from: string, to: string): void {
    this.#blocks.set(`${from} > ${to}`, this.#runner.cluster.network.block(from, to));
  }

  #unblock(from: string, to: string): void {
    const unblock = this.#blocks.get(`${from} > ${to}`);
    if (unblock === undefined) throw new Error(`${from} > ${to} is not blocked`);
    unblock();
  }

  /** Shows the cluster as its master sees it. */
  #table(): void {
    const { masters } = this.#runner.cluster;
    const several = masters.length > 1;
    const shown = several
      ? /^(cluster|secondary|partition table|not running|\s+([SM]\d|\d+:))/
      : /^(cluster|partition table|not running|\s+(S\d|\d+:))/;
    for (const master of masters) {
      if (several) this.#runner.show(`${master.name}:`);
      for (const line of master.dump().split("\n")) {
        if (shown.test(line)) this.#runner.show(line.replace(/\s*\(\w+:\d+\)/, "").trimEnd());
      }
    }
  }

  /** Shows what a storage has. */
  #database(name: string): void {
    const { cluster, names } = this.#runner;
    const show = (line: string) => this.#runner.show(line);
    const disk = cluster.disks.find(({ host }) => host === name);
    if (disk === undefined) throw new Error(`there is no storage ${name}`);
    const text = (value: unknown) => typeof value === "bigint" ? names.text(value) : String(value);
    for (const [partition, tid] of disk.read("SELECT partition, tid FROM trans ORDER BY tid", [])) {
      show(`trans ${partition}: ${text(tid)}`);
    }
    for (const [partition, oid, tid] of disk.read("SELECT partition, oid, tid FROM obj", [])) {
      show(`obj ${partition}: ${text(oid)} at ${text(tid)}`);
    }
    for (const [ttid, tid] of disk.read("SELECT ttid, tid FROM ttrans", [])) {
      show(`unfinished: ${text(ttid)}${tid === null ? "" : ` as ${text(tid)}`}`);
    }
  }
}
