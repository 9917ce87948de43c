/**
 * A cluster of real processes that commits while things go wrong.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Random } from "../../../simulator/random.ts";
import { freePort, type NodeProcess, ProcessCluster, until } from "../../support/processes.ts";
import { Workload } from "../workload.ts";
import { compareCopies, type Contents, type Location } from "./copies.ts";
import { detour, NAME, RELAY_PORT } from "./detour.ts";
import {
  CLIENTS,
  DOUBLE,
  type Draw,
  type Fault,
  LONG,
  pause,
  type Scene,
  Severity,
  SINGLE,
} from "./faults.ts";
import { Observer } from "./observer.ts";
import { Relay } from "./relay.ts";
import { Silences } from "./silences.ts";

/** Numbers of a run. */
const COUNT = { masters: 3, storages: 4, replicas: 1, partitions: 12, clients: 8 } as const;
/** One fault of so many is a double one. */
const DOUBLE_EVERY = 3;
/** Of faults that take some time to be noticed there is one of so many, in runs that have it. */
const LONG_EVERY = 20;
const LONG_TIME = 60_000;
/** Milliseconds until clients commit again, and until all copies are complete again. Machines may be slow. */
const PATIENCE = 60_000;
/** Lines of the output of each node that are shown after a failure. */
const TAIL = 40;

/** What a run is asked for. */
export interface ChaosOptions {
  /** How long things go wrong. */
  readonly seconds: number;
  readonly seed: number;
  /** Where the storages have their data, one each. */
  readonly locations: readonly Location[];
  /** Receives what happens, line by line. */
  readonly log: (line: string) => void;
  /** Is told of the number of commits now and then. */
  readonly progress?: (commits: number) => void;
  /** Ends the run before its time, which counts as a failure. */
  readonly signal?: AbortSignal;
}

/** What a run was like. */
export interface ChaosReport {
  readonly commits: number;
  /** Consistent states that were read. */
  readonly states: number;
  /** Faults by severity. */
  readonly faults: Readonly<Record<Severity, number>>;
  /** Longest times without a commit, in seconds, by the severity of the fault that was the last one. */
  readonly silences: Readonly<Record<Severity, number>>;
  readonly contents: Contents;
}

/** Number of storages that a run needs. */
export const STORAGES: number = COUNT.storages;

/** Runs a cluster, and checks it. @throws what is wrong, after the last words of all nodes. */
export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const { signal, log } = options;
  const run = new ChaosRun(options);
  const stopped = Promise.withResolvers<never>();
  const stop = () => stopped.reject(signal?.reason);
  signal?.addEventListener("abort", stop);
  try {
    return await Promise.race([run.run(), stopped.promise]);
  } catch (error) {
    if (!signal?.aborted) log(run.lastWords());
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    await run.close();
  }
}

class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #start = performance.now();
  readonly #healthPort = freePort();
  readonly #relay: Relay;
  readonly #cluster: ProcessCluster;
  readonly #detour: Disposable;
  readonly #scene: Scene;
  /** The faults of each list that did not happen yet. */
  readonly #decks = new Map<readonly Draw[], Draw[]>();
  readonly #faults: Record<Severity, number> = {
    [Severity.SURVIVED]: 0,
    [Severity.PAUSE]: 0,
    [Severity.DOUBLE]: 0,
    [Severity.LONG]: 0,
  };

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#relay = new Relay((_, port) => this.#nameOf(port));
    this.#cluster = new ProcessCluster({
      name: "chaos",
      ...COUNT,
      databases: options.locations,
      extra: (name) => [
        "--verbose",
        ...name === "admin" ? ["--metrics", `127.0.0.1:${this.#healthPort}`] : [],
      ],
      preload: {
        module: "tests/system/chaos/detour.ts",
        env: (name) => ({ [NAME]: name, [RELAY_PORT]: `${this.#relay.port}` }),
      },
    });
    this.#detour = detour(CLIENTS, this.#relay.port);
    this.#scene = {
      cluster: this.#cluster,
      relay: this.#relay,
      random: new Random(options.seed),
      primary: () => this.#primary(),
    };
  }

  async run(): Promise<ChaosReport> {
    const { seconds, locations, progress } = this.#options;
    const cluster = this.#cluster.start();
    await using workload = await Workload.open(cluster.uri, COUNT.clients);
    await using observer = await Observer.open(cluster.uri, workload);
    using silences = new Silences(workload, progress);
    workload.start();
    observer.start();
    await this.#commits(workload);
    this.#log(`${COUNT.clients} clients commit`);

    const end = performance.now() + seconds * 1000;
    for (let n = 1; performance.now() < end; n++) {
      const fault = await this.#draw(n, end - performance.now());
      silences.cause = fault.severity;
      await this.#suffer(fault, workload);
      observer.check();
    }
    await this.#replicated();
    const { states } = observer;
    await until("a client reads", () => observer.states > states);
    await workload.stop();
    await observer.stop();
    for (const [error, count] of workload.errors) {
      this.#log(`${count} × ${error.slice(0, 150)}`);
      assert.doesNotMatch(error, /protocol error/, "clients and nodes disagree");
    }
    this.#log(`all copies are complete again, ${workload.acknowledged} transactions to check`);
    await workload.check(cluster.uri);
    await cluster.stop();
    this.#log("all that was acknowledged is there, and clients read the same");
    const contents = await compareCopies(locations, COUNT.replicas + 1);
    this.#log("all copies are the same");
    assert(contents.transactions >= workload.acknowledged);
    return {
      commits: workload.acknowledged,
      states: observer.states,
      faults: this.#faults,
      silences: silences.longest,
      contents,
    };
  }

  /** What the nodes said in the end. */
  lastWords(): string {
    const tails = this.#cluster.processes.map(({ name, output }) =>
      `--- ${name}\n${output.trimEnd().split("\n").slice(-TAIL).join("\n")}`
    );
    return tails.join("\n");
  }

  async close(): Promise<void> {
    this.#detour[Symbol.dispose]();
    this.#relay[Symbol.dispose]();
    await this.#cluster[Symbol.asyncDispose]();
  }

  /** The next fault, when the cluster is ready for it. */
  async #draw(n: number, rest: number): Promise<Fault> {
    const { random } = this.#scene;
    const long = n % LONG_EVERY === 10 && rest > LONG_TIME;
    const faults = long ? LONG : n % DOUBLE_EVERY === 0 ? DOUBLE : SINGLE;
    // A single fault must not hit the last copy. A double one may as well interrupt replication.
    if (faults !== DOUBLE || random.chance(0.5)) await this.#replicated();
    // All of them, before any comes again.
    const deck = this.#decks.get(faults) ?? [];
    this.#decks.set(faults, deck);
    if (deck.length === 0) deck.push(...random.sample(faults, faults.length));
    const draw = deck.pop();
    assert(draw !== undefined, "there is no fault");
    return await draw(this.#scene);
  }

  async #suffer(fault: Fault, workload: Workload): Promise<void> {
    const { severity, text, strike, mend } = fault;
    const { random } = this.#scene;
    this.#faults[severity]++;
    this.#log(text);
    await strike();
    if (severity === Severity.SURVIVED || severity === Severity.LONG) {
      const patience = severity === Severity.LONG ? LONG_TIME : PATIENCE;
      await this.#commits(workload, `in spite of: ${text}`, patience);
    } else await pause(random.between(0, 2000));
    await mend();
    await this.#commits(workload, `after: ${text}`);
    const ended = this.#cluster.processes.filter(({ running }) => !running);
    assert.deepEqual(ended.map(({ name }) => name), [], "nodes that ended by themselves");
  }

  /** Waits until each client has committed something. */
  async #commits(
    workload: Workload,
    when = "in the beginning",
    patience = PATIENCE,
  ): Promise<void> {
    const before = [...workload.acknowledgedTo];
    const missing = () =>
      before.flatMap((count, client) => workload.acknowledgedTo[client] === count ? [client] : []);
    await until(`all clients commit ${when}`, () => missing().length === 0, patience).catch(
      (error) => {
        throw new Error(`${error.message}: clients ${missing()} do not`);
      },
    );
  }

  /** Waits until the admin says that all cells are up to date and all storages run. */
  async #replicated(): Promise<void> {
    let last = "nothing";
    const isReplicated = async () => {
      try {
        const response = await fetch(`http://127.0.0.1:${this.#healthPort}/health`);
        last = await response.text();
        return JSON.parse(last).replicated === true;
      } catch {
        // The admin starts.
        return false;
      }
    };
    await until("all copies are complete", isReplicated, PATIENCE).catch((error) => {
      throw new Error(`${error.message}; the admin says ${last}`);
    });
  }

  async #primary(): Promise<NodeProcess> {
    let primary: NodeProcess | null = null;
    await until("there is a primary master", async () => {
      primary = await this.#cluster.primary().catch(() => null);
      return primary !== null;
    }, PATIENCE);
    return primary ?? this.#cluster.master;
  }

  #nameOf(port: number): string {
    const { masters, masterAddresses, storages, storageAddresses, admin } = this.#cluster;
    const nodes = [...masters, ...storages];
    const addresses = [...masterAddresses, ...storageAddresses];
    return (nodes[addresses.findIndex((address) => address.port === port)] ?? admin).name;
  }

  #log(text: string): void {
    const time = ((performance.now() - this.#start) / 1000).toFixed(1).padStart(6);
    this.#options.log(`${time} s  ${text}`);
  }
}
