/**
 * A cluster of real processes, started like an operator would.
 *
 * @module
 */

import type { Address } from "../../protocol/nodes.ts";
import { freePort } from "./ports.ts";

export { freePort };

/** The folder of this repository. */
export const ROOT: URL = new URL("../../", import.meta.url);

/** Permissions of the node processes, as the README documents them. */
export const PERMISSIONS: Readonly<Record<"master" | "storage" | "admin", readonly string[]>> = {
  master: ["--allow-net", "--allow-read", "--allow-write", "--allow-env", "--allow-ffi"],
  storage: [
    "--allow-net",
    "--allow-read",
    "--allow-write",
    "--allow-env",
    "--allow-sys",
    "--allow-ffi",
  ],
  admin: ["--allow-net", "--allow-read", "--allow-write", "--allow-env", "--allow-ffi"],
};

/** Waits until a condition holds; fails with its description after a generous time. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout = 60_000,
): Promise<void> {
  const end = performance.now() + timeout;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A child process whose output is kept. */
export class NodeProcess {
  readonly #command: () => Deno.Command;
  #child: Deno.ChildProcess | null = null;
  #status: Promise<Deno.CommandStatus> | null = null;
  #output = "";
  #retired = false;

  constructor(
    readonly name: string,
    args: readonly string[],
    env: Record<string, string> = {},
    program: string = Deno.execPath(),
  ) {
    this.#command = () =>
      new Deno.Command(program, {
        args: [...args],
        cwd: ROOT,
        env: { NO_COLOR: "1", ...env },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      });
  }

  /** What it printed so far, in all its lives. */
  get output(): string {
    return this.#output;
  }

  /** Forgets what it printed so far. */
  forget(): void {
    this.#output = "";
  }

  /** Whether it was started and has not ended. */
  get running(): boolean {
    return this.#child !== null;
  }

  /** The process id, while it runs. */
  get pid(): number {
    if (this.#child === null) throw new Error(`${this.name} does not run`);
    return this.#child.pid;
  }

  start(): this {
    if (this.#child !== null) throw new Error(`${this.name} runs already`);
    if (this.#retired) throw new Error(`${this.name} must not be started any more`);
    const child = this.#command().spawn();
    this.#child = child;
    const collect = async (stream: ReadableStream<Uint8Array>) => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) {
        this.#output += decoder.decode(chunk, { stream: true });
      }
    };
    const collected = Promise.all([collect(child.stdout), collect(child.stderr)]);
    this.#status = child.status.then(async (status) => {
      // At once: signals can't be sent to it any more.
      this.#child = null;
      await collected;
      return status;
    });
    return this;
  }

  /** Sends a signal and waits for the end. */
  async kill(signal: Deno.Signal = "SIGKILL"): Promise<Deno.CommandStatus | null> {
    if (this.#child === null || this.#status === null) return null;
    this.#child.kill(signal);
    return await this.#status;
  }

  /** Kills it, for ever: whoever is about to start it again fails. */
  async retire(): Promise<void> {
    this.#retired = true;
    await this.kill();
  }

  signal(signal: Deno.Signal): void {
    this.#child?.kill(signal);
  }

  /** Waits for the end. */
  async ended(): Promise<Deno.CommandStatus> {
    if (this.#status === null) throw new Error(`${this.name} was never started`);
    return await this.#status;
  }

  /** Resident memory in bytes. (Deno does not let files of other processes in /proc be read.) */
  async memory(): Promise<number> {
    const { stdout } = await new Deno.Command("ps", { args: ["-o", "rss=", "-p", `${this.pid}`] })
      .output();
    const kilobytes = Number(new TextDecoder().decode(stdout));
    if (!(kilobytes > 0)) throw new Error(`the memory of ${this.name} is not known`);
    return kilobytes * 1024;
  }
}

/** How a program that ends by itself did. */
export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of this repository to its end. */
export async function runTool(...args: readonly string[]): Promise<ToolResult> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs neoctl against an admin. */
export function neoctl({ host, port }: Address, ...args: readonly string[]): Promise<ToolResult> {
  const permissions = ["--allow-net", "--allow-read", "--allow-env"];
  return runTool(...permissions, "neoctl/main.ts", "-a", `${host}:${port}`, ...args);
}

/** What the processes of a {@linkcode ProcessCluster} are started with. */
export interface ProcessClusterOptions {
  readonly name?: string;
  readonly partitions?: number;
  readonly replicas?: number;
  /** Number of masters, 1 by default. */
  readonly masters?: number;
  /** Storages that a new cluster waits for, all of them by default. */
  readonly autostart?: number;
  /** Adapter and connection string of each storage. */
  readonly databases: readonly { readonly adapter: string; readonly database: string }[];
  /** More options, for all nodes or for each by the name of its process. */
  readonly extra?: readonly string[] | ((name: string) => readonly string[]);
  /** More variables of the environment of all nodes. */
  readonly variables?: Record<string, string>;
  /** A module that is executed before each program, and its environment by the name of the process. */
  readonly preload?: {
    readonly module: string;
    readonly env: (name: string) => Record<string, string>;
  };
}

/** Masters, one admin and storages, each in a process of its own. */
export class ProcessCluster implements AsyncDisposable {
  readonly name: string;
  readonly masters: NodeProcess[];
  readonly admin: NodeProcess;
  readonly storages: NodeProcess[];
  readonly storageAddresses: Address[];
  readonly masterAddresses: Address[];
  readonly adminAddress: Address = { host: "127.0.0.1", port: freePort() };

  constructor(options: ProcessClusterOptions) {
    this.name = options.name ?? "test";
    const count = options.masters ?? 1;
    this.masterAddresses = Array.from(
      { length: count },
      () => ({ host: "127.0.0.1", port: freePort() }),
    );
    const addresses = this.masterAddresses.map(({ port }) => `127.0.0.1:${port}`);
    const masters = addresses.join(" ");
    const { extra = [], preload, variables = {} } = options;
    const run = preload === undefined ? ["run"] : ["run", "--preload", preload.module];
    const env = (name: string) => ({ ...variables, ...preload?.env(name) });
    const common = (name: string) => [
      "--cluster",
      this.name,
      "--masters",
      masters,
      ...typeof extra === "function" ? extra(name) : extra,
    ];
    this.masters = addresses.map((address, index) => {
      const name = count === 1 ? "master" : `master ${index + 1}`;
      return new NodeProcess(name, [
        ...run,
        ...PERMISSIONS.master,
        "master/main.ts",
        ...common(name),
        "--bind",
        address,
        "--partitions",
        String(options.partitions ?? 12),
        "--replicas",
        String(options.replicas ?? 0),
        "--autostart",
        String(options.autostart ?? options.databases.length),
      ], env(name));
    });
    this.admin = new NodeProcess("admin", [
      ...run,
      ...PERMISSIONS.admin,
      "admin/main.ts",
      ...common("admin"),
      "--bind",
      `127.0.0.1:${this.adminAddress.port}`,
    ], env("admin"));
    this.storageAddresses = options.databases.map(() => ({ host: "127.0.0.1", port: freePort() }));
    this.storages = options.databases.map(({ adapter, database }, index) =>
      new NodeProcess(`storage ${index + 1}`, [
        ...run,
        ...PERMISSIONS.storage,
        "storage/main.ts",
        ...common(`storage ${index + 1}`),
        "--bind",
        `127.0.0.1:${this.storageAddresses[index]?.port}`,
        "--adapter",
        adapter,
        "--database",
        database,
        "--wait",
        "-1",
      ], env(`storage ${index + 1}`))
    );
  }

  /** Where clients connect to. */
  get uri(): string {
    const masters = this.masterAddresses.map(({ host, port }) => `${host}:${port}`);
    return `neo://${this.name}@${masters.join(",")}`;
  }

  /** The first master, and the only one unless more were asked for. */
  get master(): NodeProcess {
    const [master] = this.masters;
    if (master === undefined) throw new Error("the cluster has no master");
    return master;
  }

  /** Address of the first master. */
  get masterAddress(): Address {
    const [address] = this.masterAddresses;
    if (address === undefined) throw new Error("the cluster has no master");
    return address;
  }

  get processes(): NodeProcess[] {
    return [...this.masters, ...this.storages, this.admin];
  }

  start(): this {
    for (const process of this.processes) process.start();
    return this;
  }

  /** The master that the admin is connected to. */
  async primary(): Promise<NodeProcess> {
    const { stdout } = await this.neoctl("print", "node", "master");
    // Other masters have a date of identification.
    const address = /^M\d+ +\| +MASTER +\| +(\S+) +\| +RUNNING +\| +None$/m.exec(stdout)?.[1];
    const index = this.masterAddresses.findIndex(({ host, port }) => `${host}:${port}` === address);
    const primary = this.masters[index];
    if (primary === undefined) throw new Error(`no primary master among:\n${stdout}`);
    return primary;
  }

  /** Runs neoctl against the admin. */
  neoctl(...args: string[]): Promise<ToolResult> {
    return neoctl(this.adminAddress, ...args);
  }

  /**
   * Waits until neoctl says that the cluster runs.
   *
   * @param options of neoctl.
   */
  async running(...options: string[]): Promise<void> {
    await until("the cluster runs", async () => {
      return (await this.neoctl(...options, "print", "cluster")).stdout === "RUNNING\n";
    });
  }

  /**
   * Stops the cluster as an operator does, and waits until all processes have ended well.
   *
   * @param options of neoctl.
   */
  async stop(...options: string[]): Promise<void> {
    const { code, stderr } = await this.neoctl(...options, "set", "cluster", "stopping");
    if (code !== 0) throw new Error(`the cluster can't be stopped: ${stderr}`);
    for (const process of this.processes) {
      const status = await process.ended();
      if (status.code !== 0) {
        throw new Error(`${process.name} ended with ${status.code}: ${process.output}`);
      }
    }
  }

  /** Kills everything; with a failure in mind, what the nodes said is worth printing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.processes.map((process) => process.retire()));
  }

  /** What all nodes printed. */
  output(): string {
    return this.processes.map(({ name, output }) => `--- ${name}\n${output}`).join("\n");
  }
}
