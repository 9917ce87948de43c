import { Admin, type AdminOptions } from "../../admin/mod.ts";
import { Connection } from "../../network/connection.ts";
import type { Environment } from "../../network/environment.ts";
import { type Log, silentLog } from "../../network/log.ts";
import { MemoryNetwork } from "../../network/memory.ts";
import { CellState, ClusterState, NodeState, NodeType } from "../../protocol/enums.ts";
import { toTid } from "../../protocol/ids.ts";
import { type Address, nidOf, type NodeDescription } from "../../protocol/nodes.ts";
import { type Script, ScriptedPeer } from "./scripted_peer.ts";

export const MASTER: Address = { host: "10.0.0.1", port: 10000 };
export const ADMIN: Address = { host: "10.0.0.9", port: 9999 };
export const M1 = nidOf(NodeType.MASTER, 1);
export const A1 = nidOf(NodeType.ADMIN, 1);

/** Time that only passes when it is told to. */
export class ManualClock {
  #time = 1000;
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>();

  readonly environment: Omit<Environment, "connect" | "listen" | "log"> = {
    now: () => 1_700_000_000 + this.#time / 1000,
    monotonic: () => this.#time,
    random: () => 0.5,
    setTimer: (delay, callback) => {
      const timer = { at: this.#time + delay, callback };
      this.#timers.add(timer);
      return () => this.#timers.delete(timer);
    },
  };

  async advance(milliseconds: number): Promise<void> {
    const end = this.#time + milliseconds;
    for (;;) {
      await settle();
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#time = Math.max(this.#time, next.at);
      next.callback();
    }
    this.#time = end;
  }
}

/** Lets everything happen that needs no time: memory networks work in microtasks. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A log that keeps records above debugging and counts flushes. */
export class RecordingLog implements Log {
  readonly records: string[] = [];
  flushes = 0;
  readonly packet = null;
  readonly debug = silentLog.debug;
  readonly identify = silentLog.identify;
  info(message: string): void {
    this.records.push(message);
  }
  warning(message: string): void {
    this.records.push(message);
  }
  error(message: string): void {
    this.records.push(message);
  }
  flush(): void {
    this.flushes++;
  }
}

export function node(
  type: NodeType,
  number: number | null,
  state = NodeState.RUNNING,
): NodeDescription {
  return {
    type,
    nid: number === null ? null : nidOf(type, number),
    address: type === NodeType.CLIENT ? null : { host: `10.0.${type}.${number}`, port: 1 },
    state,
    idTimestamp: 1_700_000_000.5,
  };
}

export const { UP_TO_DATE, OUT_OF_DATE, FEEDING, CORRUPTED } = CellState;

/** A row of the partition table: `row({ 1: UP_TO_DATE })`. */
export function row(cells: Readonly<Record<number, CellState>>) {
  return Object.entries(cells).map(([nid, state]) => ({ nid: Number(nid), state }));
}

/** A master that accepts admins and has a small cluster that runs. */
export function masterScript(state: ClusterState | null = ClusterState.RUNNING): Script {
  return {
    RequestIdentification: (message) => {
      message.connection.identified("A1", NodeType.ADMIN);
      message.answer({ type: NodeType.MASTER, nid: M1, yourNid: A1 });
      const nodes = [
        node(NodeType.MASTER, 1),
        node(NodeType.STORAGE, 1),
        node(NodeType.STORAGE, 2),
        node(NodeType.CLIENT, 1),
      ];
      message.connection.notify("NotifyNodeInformation", { timestamp: 1, nodes });
      const rows = [row({ 1: UP_TO_DATE, 2: UP_TO_DATE }), row({ 1: UP_TO_DATE, 2: UP_TO_DATE })];
      message.connection.notify("SendPartitionTable", { ptid: 7, replicas: 1, rows });
    },
    AskClusterState: (message) => message.answer({ state }),
    AskLastTransaction: (message) => message.answer({ tid: toTid(0x40d2f43668da553n) }),
  };
}

/** An admin, its network and, unless it was not wanted, its master. */
export class AdminSetup implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly log = new RecordingLog();
  readonly network = new MemoryNetwork(this.clock.environment);
  readonly master: ScriptedPeer;
  readonly admin: Admin;
  readonly #stop = new AbortController();
  running: Promise<void> = Promise.resolve();

  constructor(script: Script, options: Partial<AdminOptions>) {
    this.master = new ScriptedPeer(script);
    this.admin = new Admin(this.environment(ADMIN.host), {
      cluster: "test",
      bind: ADMIN,
      masters: [MASTER],
      ...options,
    });
  }

  static async start(
    { script = masterScript(), master = true, ...options }:
      & Partial<AdminOptions>
      & { readonly script?: Script; readonly master?: boolean } = {},
  ): Promise<AdminSetup> {
    const setup = new AdminSetup(script, options);
    if (master) await setup.master.listen(setup.environment(MASTER.host), MASTER);
    setup.running = setup.admin.run(setup.#stop.signal);
    await settle();
    return setup;
  }

  environment(host: string): Environment {
    return { ...this.clock.environment, ...this.network.host(host), log: this.log };
  }

  /** Connects an operator. */
  async control(): Promise<Connection> {
    const env = this.environment("10.0.0.20");
    const transport = await env.connect(ADMIN);
    const connection = new Connection(env, transport, { connecting: true, handler: {} });
    connection.identified("admin", NodeType.ADMIN);
    return connection;
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error("test is over"));
    await this.clock.advance(10_000);
    await this.running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.master.close();
    await this.stop();
  }
}
