/**
 * What goes wrong in a chaos run.
 *
 * @module
 */

import type { Random } from "../../../simulator/random.ts";
import type { NodeProcess, ProcessCluster } from "../../support/processes.ts";
import type { Relay } from "./relay.ts";

/** The name of all clients together. */
export const CLIENTS = "clients";

/** How a cluster lives through a fault. */
export enum Severity {
  /** Clients commit as long as it lasts. */
  SURVIVED = "survived",
  /** Clients may have to wait for its end. */
  PAUSE = "pause",
  /** Clients commit as soon as a node that says nothing is taken for dead. */
  LONG = "long",
  /** More than one node fails: clients may have to wait for its end, and for a recovery. */
  DOUBLE = "double",
}

/** Something that goes wrong, and is mended. */
export interface Fault {
  readonly severity: Severity;
  readonly text: string;
  /** Makes it happen. */
  readonly strike: () => Promise<void> | void;
  /** Ends it. */
  readonly mend: () => Promise<void> | void;
}

/** What faults happen to. */
export interface Scene {
  readonly cluster: ProcessCluster;
  readonly relay: Relay;
  readonly random: Random;
  /** The primary master as far as it is known. */
  readonly primary: () => Promise<NodeProcess>;
}

/** Chooses where a kind of fault hits. */
export type Draw = (scene: Scene) => Fault | Promise<Fault>;

/** Processes are killed, and started again. */
function killed(severity: Severity, ...nodes: readonly NodeProcess[]): Fault {
  return {
    severity,
    text: `kill ${namesOf(nodes)}`,
    strike: async () => void await Promise.all(nodes.map((node) => node.kill())),
    mend: () => nodes.forEach((node) => node.start()),
  };
}

/** Processes are stopped as by a supervisor, and started again. */
function terminated(severity: Severity, ...nodes: readonly NodeProcess[]): Fault {
  return {
    ...killed(severity, ...nodes),
    text: `terminate ${namesOf(nodes)}`,
    strike: async () => {
      for (const node of nodes) {
        const status = await node.kill("SIGTERM");
        if (status?.code !== 0) throw new Error(`${node.name} ends with ${status?.code}`);
      }
    },
  };
}

/** Processes do nothing for a while. */
function frozen(severity: Severity, ...nodes: readonly NodeProcess[]): Fault {
  return {
    severity,
    text: `stop ${namesOf(nodes)}, and continue`,
    strike: () => nodes.forEach((node) => node.signal("SIGSTOP")),
    mend: () => nodes.forEach((node) => node.signal("SIGCONT")),
  };
}

function cut({ relay }: Scene, severity: Severity, a: string, b: string): Fault {
  return {
    severity,
    text: `cut ${a} off from ${b}`,
    strike: () => relay.cut(a, b),
    mend: () => relay.heal(a, b),
  };
}

/** Two nodes whose streams are not those that a commit needs in any case. */
async function drawRedundantLink({ cluster, random, primary }: Scene): Promise<[string, string]> {
  const { storages, masters, admin } = cluster;
  const first = await primary();
  const [storage, other] = random.sample(storages, 2).map(nameOf);
  const master = nameOf(random.pick(masters));
  return random.pick<[string, string]>([
    [storage ?? "", other ?? ""],
    [storage ?? "", first.name],
    [storage ?? "", master],
    [storage ?? "", CLIENTS],
    [admin.name, master],
    [first.name, nameOf(random.pick(masters.filter((node) => node !== first)))],
  ]);
}

/** Any two nodes. */
function drawLink({ cluster, random }: Scene): [string, string] {
  const [a = "", b = ""] = random.sample([...cluster.processes.map(nameOf), CLIENTS], 2);
  return [a, b];
}

/** Faults of one node, or between two. */
export const SINGLE: readonly Draw[] = [
  ({ cluster, random }) => killed(Severity.SURVIVED, random.pick(cluster.storages)),
  async ({ primary }) => killed(Severity.SURVIVED, await primary()),
  async (scene) => cut(scene, Severity.SURVIVED, ...await drawRedundantLink(scene)),
  ({ cluster, random }) => frozen(Severity.PAUSE, random.pick(cluster.processes)),
  ({ cluster, random }) => killed(Severity.SURVIVED, random.pick(cluster.processes)),
  (scene) => {
    const { relay } = scene;
    const [a, b] = drawLink(scene);
    return {
      severity: Severity.PAUSE,
      text: `freeze what is between ${a} and ${b}`,
      strike: () => relay.freeze(a, b),
      mend: () => relay.heal(a, b),
    };
  },
  ({ cluster, random }) => terminated(Severity.SURVIVED, random.pick(cluster.processes)),
  async (scene) => cut(scene, Severity.PAUSE, CLIENTS, (await scene.primary()).name),
  (scene) => {
    const { relay, cluster } = scene;
    const nodes = [...cluster.processes.map(nameOf), CLIENTS];
    return {
      severity: Severity.PAUSE,
      text: "break all streams at once",
      strike: () => nodes.forEach((a) => nodes.forEach((b) => relay.reset(a, b))),
      mend: () => {},
    };
  },
];

/** Faults of several nodes at once. */
export const DOUBLE: readonly Draw[] = [
  ({ cluster, random }) => killed(Severity.DOUBLE, ...random.sample(cluster.storages, 2)),
  async ({ cluster, random, primary }) =>
    killed(Severity.DOUBLE, await primary(), random.pick(cluster.storages)),
  ({ cluster, random }) => {
    // The second one, maybe while the first one is refilled, by it among others.
    const [first, second] = random.sample(cluster.storages, 2);
    if (first === undefined || second === undefined) throw new Error("there are not two storages");
    return {
      ...killed(Severity.DOUBLE, second),
      text: `kill ${first.name}, and ${second.name} as soon as the former is back`,
      strike: async () => {
        await first.kill();
        await pause(random.between(100, 1000));
        first.start();
        await pause(random.between(300, 2500));
        await second.kill();
      },
    };
  },
  ({ cluster }) => killed(Severity.DOUBLE, ...cluster.masters),
  async ({ cluster, random, primary }) => {
    // It can't notice, and others may have worked in its place.
    const first = await primary();
    const others = cluster.processes.filter((node) => node !== first);
    return {
      severity: Severity.DOUBLE,
      text: `stop ${first.name}, kill all others, start them, and continue it`,
      strike: async () => {
        first.signal("SIGSTOP");
        await Promise.all(others.map((node) => node.kill()));
        for (const node of others) node.start();
        await pause(random.magnitude(100, 8000));
      },
      mend: () => first.signal("SIGCONT"),
    };
  },
  (scene) => {
    const { cluster, random } = scene;
    const [storage, other] = random.sample(cluster.storages, 2).map(nameOf);
    const [a = "", b = ""] = random.sample(cluster.masters, 2).map(nameOf);
    const cuts = [
      cut(scene, Severity.DOUBLE, storage ?? "", a),
      cut(scene, Severity.DOUBLE, other ?? "", b),
      cut(scene, Severity.DOUBLE, a, b),
    ];
    return {
      severity: Severity.DOUBLE,
      text: cuts.map(({ text }) => text).join(", "),
      strike: () => cuts.forEach(({ strike }) => strike()),
      mend: () => cuts.forEach(({ mend }) => mend()),
    };
  },
  ({ cluster }) => killed(Severity.DOUBLE, ...cluster.storages),
  ({ cluster, random }) => frozen(Severity.DOUBLE, ...random.sample(cluster.processes, 3)),
  ({ cluster }) => killed(Severity.DOUBLE, ...cluster.processes),
];

/** Faults that last until they are noticed. */
export const LONG: readonly Draw[] = [
  async ({ primary }) => frozen(Severity.LONG, await primary()),
  ({ cluster, random }) => frozen(Severity.LONG, random.pick(cluster.storages)),
];

/** Waits, for a fault to last. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function nameOf({ name }: NodeProcess): string {
  return name;
}

function namesOf(nodes: readonly NodeProcess[]): string {
  return nodes.map(nameOf).join(", ");
}
