/** Local clusters as a user starts them. */

import assert from "node:assert/strict";
import type { Address } from "../../protocol/nodes.ts";
import { freePort, neoctl, NodeProcess, type ToolResult, until } from "../support/processes.ts";

const ROOT = new URL("../../", import.meta.url);

/** `deno task cluster` without the task runner, which would not pass on SIGKILL. */
export function clusterCommand(): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  const [deno, ...args]: string[] = tasks.cluster.command.split(" ");
  assert.equal(deno, "deno");
  return args;
}

/** A local cluster on free ports, in a process. */
export class ClusterProcess implements AsyncDisposable {
  readonly master: Address;
  readonly admin: Address = { host: "127.0.0.1", port: freePort() };
  readonly process: NodeProcess;
  /** Where the output of the present life starts. */
  #start = 0;

  /** @param masters number of masters, which need ports that follow each other. */
  constructor(args: readonly string[], env: Record<string, string> = {}, masters = 1) {
    this.master = { host: "127.0.0.1", port: freePorts(masters) };
    const addresses = [
      ...["--bind", `127.0.0.1:${this.master.port}`],
      ...["--admin", `127.0.0.1:${this.admin.port}`],
    ];
    this.process = new NodeProcess("cluster", [...clusterCommand(), ...addresses, ...args], env);
  }

  /** What it printed since it was started. */
  get output(): string {
    return this.process.output.slice(this.#start);
  }

  get uri(): string {
    return `neo://neo@127.0.0.1:${this.master.port}`;
  }

  /** Starts it (again) and waits until it says that it is ready. */
  async start(): Promise<this> {
    this.#start = this.process.output.length;
    this.process.start();
    let ended = false;
    this.process.ended().then(() => ended = true);
    await until("the cluster is ready", () => ended || /Ctrl-C stops/.test(this.output));
    assert(!ended, this.output);
    return this;
  }

  /** Starts it and waits for an end that comes by itself. */
  async fail(): Promise<{ code: number; output: string }> {
    this.#start = this.process.output.length;
    const { code } = await this.process.start().ended();
    return { code, output: this.output };
  }

  /** Stops it as Ctrl-C does. */
  async stop(): Promise<void> {
    const status = await this.process.kill("SIGINT");
    assert.equal(status?.code, 0, this.output);
    assert.match(this.output, /\nstopping the cluster…\nthe cluster is stopped\n$/);
  }

  neoctl(...args: string[]): Promise<ToolResult> {
    return neoctl(this.admin, ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.kill();
  }
}

/** The first of some ports that nobody listens to. */
function freePorts(count: number): number {
  for (;;) {
    const first = freePort();
    try {
      for (let port = first; port < first + count; port++) {
        Deno.listen({ hostname: "127.0.0.1", port }).close();
      }
      return first;
    } catch {
      // Some other one.
    }
  }
}

/** Calls with an empty folder. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "neo-cluster-" });
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
