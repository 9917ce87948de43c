/**
 * Stories of clusters as text: commands, each with what nodes then say to each other.
 *
 * A scenario is made of blocks: a command, a line `----`, and what is expected after it, up to an
 * empty line. Nothing is left to chance: messages take a millisecond, disks always the same time.
 *
 * @module
 */

import { SimulatedCluster } from "./cluster.ts";
import { Guard } from "./guard.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { Random } from "./random.ts";
import { ScenarioCommands } from "./scenario_commands.ts";
import { Names } from "./scenario_text.ts";
import { type PassingMessage, tamperMessages } from "./tamper.ts";

/** Virtual milliseconds that pass after a command. */
const COMMAND_TIME = 500;

/** Chance without surprise. */
class Steady extends Random {
  constructor() {
    super(0);
  }

  override uint32(): number {
    return 0x8000_0000;
  }

  override fork(): Random {
    return this;
  }
}

/** A command of a scenario, with what is expected after it. */
interface Block {
  /** Comments before it. */
  readonly before: string;
  readonly command: string;
}

/** How big a cluster is. */
export type ClusterSize = Pick<Plan, "masters" | "partitions" | "replicas" | "storages">;

/** Something to be done when a node sends or receives a message. */
export interface Trigger {
  readonly host: string;
  readonly what: "sends" | "receives";
  readonly name: string;
  readonly power: boolean;
}

function parse(text: string): Block[] {
  const blocks: Block[] = [];
  let before = "";
  for (const part of text.split(/\n{2,}/)) {
    const lines = part.split("\n");
    const comments = lines.filter((line) => line.startsWith("#")).map((line) => `${line}\n`);
    const [command] = lines.filter((line) => !line.startsWith("#"));
    before += comments.join("");
    if (command === undefined || command === "") {
      if (comments.length > 0) before += "\n";
      continue;
    }
    blocks.push({ before, command });
    before = "";
  }
  return blocks;
}

/**
 * Runs a scenario.
 *
 * @returns its text, with what really happened.
 * @throws {Error} if a command is not understood, or something happened that never must.
 */
export async function runScenario(text: string): Promise<string> {
  const runner = new ScenarioRunner();
  using _guard = new Guard((violation) => runner.fail(violation));
  let result = "";
  for (const { before, command } of parse(text)) {
    const lines = await runner.execute(command);
    result += `${before}${command}\n----\n${lines.map((line) => `${line}\n`).join("")}\n`;
  }
  await runner.end();
  return result.trimEnd() + "\n";
}

/** What operators must be told, in scenarios where they make it happen. */
const ALARM = /serves the same cluster|was left behind|which the cluster lacks/;

/** A cluster that does what it is told. */
export class ScenarioRunner {
  readonly names = new Names();
  readonly #commands = new ScenarioCommands(this);
  #cluster: SimulatedCluster | null = null;
  #lines: string[] = [];
  readonly #triggers = new Set<Trigger>();
  /** Hosts that say and hear nothing more, because they are about to be killed. */
  readonly #silent = new Set<string>();
  #failure: string | null = null;

  get cluster(): SimulatedCluster {
    if (this.#cluster === null) throw new Error("a scenario begins with 'cluster'");
    return this.#cluster;
  }

  /** Executes a command and returns what happened. */
  async execute(command: string): Promise<string[]> {
    this.#lines = [];
    await this.#commands.execute(command);
    await this.pass(COMMAND_TIME);
    if (this.#failure !== null) throw new Error(`after '${command}': ${this.#failure}`);
    return this.#lines;
  }

  fail(text: string): void {
    this.#failure ??= text;
  }

  /** Adds a line to what is seen. */
  show(line: string): void {
    this.#lines.push(line);
  }

  /** Makes time pass. */
  async pass(milliseconds: number): Promise<void> {
    const { cluster } = this;
    await cluster.run(cluster.clock.delay(milliseconds), Infinity, "time passes");
  }

  /** Creates the cluster. */
  async create(size: ClusterSize): Promise<void> {
    const plan = {
      ...drawPlan(0),
      ...size,
      clients: 0,
      network: { latency: 1, jitter: 0, fragmentation: 0 },
      disk: { fsync: 5, read: 0, eager: true },
      merge: false,
      cache: false,
      compress: false,
      faults: [],
      operatorActions: [],
      spares: 0,
    };
    const cluster = new SimulatedCluster(plan, {
      random: new Steady(),
      expected: (host, text) => {
        const alarm = ALARM.test(text);
        if (alarm) this.show(`! ${host}: ${this.names.replace(text)}`);
        return alarm;
      },
      tamper: () => tamperMessages((message) => this.#pass(message)),
    });
    this.#cluster = cluster;
    for (const node of [...cluster.masters, ...cluster.storages]) {
      node.start();
      // One after the other, so that their ids are those of their names.
      await this.pass(20);
    }
  }

  /** Kills a node, or cuts its power, when it sends or receives a message. */
  arm(trigger: Trigger): void {
    this.#triggers.add(trigger);
  }

  /** Stops all nodes. */
  async end(): Promise<void> {
    const { cluster } = this;
    await cluster.run(Promise.all(cluster.nodes.map((node) => node.stop())), 60_000, "the end");
    cluster.discard();
  }

  #pass({ from, to, name, bytes }: PassingMessage): Uint8Array[] {
    if (this.#silent.has(from) || this.#silent.has(to)) return [];
    for (const trigger of this.#triggers) {
      const { host, what, power } = trigger;
      if (trigger.name !== name || host !== (what === "sends" ? from : to)) continue;
      this.#triggers.delete(trigger);
      this.#silent.add(host);
      this.cluster.clock.after(0, () => {
        this.#silent.delete(host);
        this.show(`* ${host} ${power ? "loses its power" : "is killed"}, ${name} is lost`);
        this.cluster.nodes.find((node) => node.name === host)?.crash(power);
      });
      return [];
    }
    const text = this.names.message(bytes);
    if (text !== null) this.show(`${from} > ${to} ${text}`);
    return [bytes];
  }
}
