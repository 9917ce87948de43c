/**
 * All the machines of a run.
 *
 * @module
 */

import type { Address, Nid } from "../protocol/nodes.ts";
import type { Database } from "../storage/database/database.ts";
import { VirtualClock } from "./clock.ts";
import { Disk } from "./disk.ts";
import { History } from "./history.ts";
import { Machine, type World } from "./machine.ts";
import { Network } from "./network.ts";
import { type Program, SimulatedNode } from "./node.ts";
import type { Plan } from "./plan.ts";
import { Operator } from "./operator.ts";
import { Random } from "./random.ts";
import { savedNid } from "./replicas.ts";
import {
  ADMIN_PORT,
  adminProgram,
  type ClusterOptions,
  MASTER_PORT,
  masterProgram,
  storageProgram,
} from "./servers.ts";
import type { Medium } from "./stream.ts";
import { Trace } from "./trace.ts";
import { SimulatedClient, type WorkloadContext } from "./workload.ts";

/** What may be changed of the world, to see whether it is noticed. */
export interface Alterations {
  /** Where chance comes from, in the place of the seed. */
  readonly random?: Random;
  /** Changes what passes through the network. */
  readonly tamper?: (clock: VirtualClock) => Medium["tamper"];
  /** Changes a disk. */
  readonly disk?: (disk: Disk) => void;
  /** Whether an error that a node logs is expected. */
  readonly expected?: (host: string, text: string) => boolean;
  /** Changes a database that a storage has opened. */
  readonly database?: (database: Database) => void;
}

/**
 * What is logged when nodes do as they should, in spite of its level: the first one when a disk fails,
 * the second one when two storages open connections to each other at the same time, or when the id of
 * a storage without cells was given to another one while it was away.
 */
const EXPECTED = /^the database (failed|can't be opened)|RequestIdentification: already connected/;
/** What is logged when a node breaks the protocol. */
const SUSPICIOUS = /sent garbage|complains|does not read|^\S+ \(\S+\): \w+: /;

/** Milliseconds until a machine that was emptied is started again. */
const RECYCLING_TIME = 1_000;

/** A whole cluster with its clients, on virtual machines. */
export class SimulatedCluster {
  readonly clock = new VirtualClock();
  readonly history = new History();
  readonly trace: Trace;
  readonly network: Network;
  readonly masters: SimulatedNode[] = [];
  readonly storages: SimulatedNode[] = [];
  /** Storages that are not part of the cluster at first. */
  readonly spares: readonly SimulatedNode[];
  readonly admins: SimulatedNode[] = [];
  readonly operators: SimulatedNode[] = [];
  readonly clients: SimulatedNode[] = [];
  readonly disks: Disk[] = [];
  readonly violations: string[] = [];
  /** Rejects at the first violation. */
  readonly violated: Promise<never>;
  readonly random: Random;
  readonly #users = new Map<string, SimulatedClient>();
  readonly #world: World;
  readonly #context: WorkloadContext;
  #reject: (error: Error) => void = () => {};

  constructor(readonly plan: Plan, alterations: Alterations = {}) {
    const { clock } = this;
    this.random = alterations.random ?? new Random(plan.seed);
    this.violated = new Promise((_, reject) => this.#reject = reject);
    this.violated.catch(() => {});
    const trace = new Trace(clock, (host, level, text) => {
      if (!alterations.expected?.(host, text)) this.#watchLog(host, level, text);
    });
    this.trace = trace;
    this.network = new Network(clock, this.random.fork(), plan.network, {
      tamper: alterations.tamper?.(clock) ?? ((_, bytes) => [bytes]),
      arrived: (from, bytes) => trace.arrived(from, bytes),
    });
    this.#world = { clock, network: this.network, trace };
    const options: ClusterOptions = {
      masters: Array.from({ length: plan.masters }, (_, i) => ({
        host: `m${i + 1}`,
        port: MASTER_PORT,
      })),
      partitions: plan.partitions,
      replicas: plan.replicas,
      // A master that meets new storages first must not take them for a new cluster.
      autostart: () => this.#context.oids.length > 0 ? null : plan.storages,
    };
    this.#context = {
      plan,
      history: this.history,
      masters: options.masters,
      oids: [],
      fail: this.fail,
    };
    for (const bind of options.masters) {
      this.masters.push(this.#node(bind.host, masterProgram(bind, options)));
    }
    for (let i = 1; i <= plan.storages + plan.spares; i++) {
      const disk = new Disk(`s${i}`, clock, this.random.fork(), plan.disk);
      alterations.disk?.(disk);
      this.disks.push(disk);
      const program = storageProgram(disk.host, disk, options, alterations.database);
      this.storages.push(this.#node(disk.host, program, (power) => disk.crash(power)));
    }
    this.spares = this.storages.splice(plan.storages);
    this.admins.push(this.#node("a1", adminProgram("a1", options)));
    if (plan.operatorActions.length > 0) this.operators.push(this.#operator("o1"));
    for (let i = 1; i <= plan.clients; i++) this.clients.push(this.#client(`c${i}`, true));
  }

  get world(): World {
    return this.#world;
  }

  /** Nodes of all kinds. */
  get nodes(): SimulatedNode[] {
    return [
      ...this.masters,
      ...this.storages,
      ...this.spares,
      ...this.operators,
      ...this.admins,
      ...this.clients,
    ];
  }

  /** The clients that live. */
  get users(): SimulatedClient[] {
    return this.clients.flatMap(({ name, alive }) => {
      const user = alive ? this.#users.get(name) : undefined;
      return user === undefined ? [] : [user];
    });
  }

  /** A client that lives, by name. */
  userOf(name: string): SimulatedClient | undefined {
    return this.#users.get(name);
  }

  /** Something that must never happen has happened. */
  readonly fail = (text: string): void => {
    this.trace.note(`VIOLATION ${text}`);
    this.violations.push(text);
    this.#reject(new Error(text));
  };

  /** Makes time pass until a promise settles. */
  async run<T>(promise: Promise<T>, limit: number, what: string): Promise<T> {
    return await this.clock.run(Promise.race([promise, this.violated]), limit, what);
  }

  /** Makes time pass until a condition holds. */
  async until(condition: () => boolean, limit: number, what: string): Promise<void> {
    const over = () => this.violations.length > 0 || condition();
    await this.clock.until(over, limit, what);
    if (this.violations.length > 0) await this.violated;
  }

  /** A client that does nothing by itself. */
  user(name: string): SimulatedClient {
    const node = this.#client(name, false);
    this.clients.push(node);
    node.start();
    const user = this.#users.get(name);
    if (user === undefined) throw new Error(`${name} did not start`);
    return user;
  }

  /** Frees what the run takes. */
  discard(): void {
    for (const disk of this.disks) disk.discard();
  }

  #node(name: string, program: Program, onCrash?: (power: boolean) => void): SimulatedNode {
    const machine = new Machine(name, this.#world, this.random.fork());
    return new SimulatedNode(machine, program, this.fail, onCrash);
  }

  #client(name: string, busy: boolean): SimulatedNode {
    return this.#node(name, (process, signal) => {
      const random = this.random.fork();
      const user = new SimulatedClient(name, process, random, this.#context);
      this.#users.set(name, user);
      if (busy) user.start();
      const stopped = new Promise<void>((resolve) =>
        signal.addEventListener("abort", () => resolve())
      );
      return {
        done: stopped.then(() => user.client.close()),
        dump: () => String(user.client),
      };
    });
  }

  #operator(name: string): SimulatedNode {
    const { plan, trace, spares } = this;
    return this.#node(name, (process, signal) => {
      const operator = new Operator(process, this.random.fork(), {
        plan,
        trace,
        spares,
        recycle: (nid, address) => this.#recycle(nid, address),
        admin: { host: "a1", port: ADMIN_PORT },
      });
      signal.addEventListener("abort", () => operator.stop());
      return { done: operator.work(), dump: () => "an operator" };
    });
  }

  /** A master that was restarted does not know where a storage is that is away. */
  #recycle(nid: Nid, address: Address | null): void {
    const host = address?.host ?? this.disks.find((disk) => savedNid(disk) === nid)?.host;
    if (host === undefined) return;
    this.trace.note(`${host} is emptied`);
    const node = [...this.storages, ...this.spares].find(({ name }) => name === host);
    const disk = this.disks.find((disk) => disk.host === host);
    node?.crash(true);
    disk?.wipe();
    this.clock.after(RECYCLING_TIME, () => node?.start());
  }

  #watchLog(host: string, level: "warning" | "error", text: string): void {
    if (!EXPECTED.test(text) && (level === "error" || SUSPICIOUS.test(text))) {
      this.fail(`${host} logged: ${text}`);
    }
  }
}
