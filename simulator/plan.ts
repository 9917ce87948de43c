/**
 * What a seed decides before a run begins.
 *
 * @module
 */

import type { DiskOptions } from "./disk.ts";
import type { NetworkOptions } from "./network.ts";
import { MASTERS, OPERATED, PACKING } from "./features.ts";
import { Random } from "./random.ts";

/** Kinds of faults. */
export const FAULTS = [
  "kill a storage",
  "unplug a storage",
  "kill a master",
  "unplug a master",
  "kill everything",
  "kill a client",
  "unplug a client",
  "cut a connection",
  "block one way",
  "block both ways",
  "isolate a machine",
  "slow machine",
  "slow disk",
  "disk error",
  "master clock jump",
  "restart a storage",
] as const;

/** A kind of fault. */
export type FaultKind = (typeof FAULTS)[number];

/** What operators do. */
export const OPERATOR_ACTIONS = [
  "start a storage",
  "add storages",
  "tweak the table",
  "change replicas",
  "stop a storage",
  "drop a storage",
] as const;

/** Something that operators do. */
export type OperatorAction = (typeof OPERATOR_ACTIONS)[number];

/** A run, as far as it is decided in advance. */
export interface Plan {
  readonly seed: number;
  readonly masters: number;
  readonly partitions: number;
  readonly replicas: number;
  readonly storages: number;
  readonly clients: number;
  /** Concurrent transactions of each client. */
  readonly workers: number;
  /** Objects that transactions fight for. */
  readonly objects: number;
  readonly network: NetworkOptions;
  readonly disk: DiskOptions;
  /** Mean pause of a worker between two transactions, in milliseconds. */
  readonly pause: number;
  /** Whether clients merge conflicting changes. */
  readonly merge: boolean;
  readonly cache: boolean;
  /** Probability that a transaction orders a pack. */
  readonly packing: number;
  readonly compress: boolean;
  readonly faults: readonly FaultKind[];
  /** Mean time between two faults, in milliseconds. */
  readonly faultPeriod: number;
  /** Storages that are not part of the cluster at first. */
  readonly spares: number;
  /** What the operator does now and then; nothing if there is no operator. */
  readonly operatorActions: readonly OperatorAction[];
  /** Mean time between two orders, in milliseconds. */
  readonly operatorPeriod: number;
  /** How long clients work while faults happen, in milliseconds. */
  readonly duration: number;
}

/** Draws a plan from its seed. */
export function drawPlan(seed: number): Plan {
  const random = new Random(seed).fork();
  const replicas = random.pick([0, 1, 1, 1, 2]);
  const storages = replicas + random.int(1, 2);
  const latency = random.magnitude(0.05, 3);
  const faults = random.chance(0.1)
    ? []
    : random.sample(FAULTS, random.int(1, random.pick([2, 4, 8])));
  const operatorActions = random.chance(OPERATED) ? operatorActionsOf(random) : [];
  return {
    seed,
    masters: random.pick(MASTERS),
    partitions: random.int(1, 5),
    replicas,
    storages,
    clients: random.int(1, 3),
    workers: random.int(1, 3),
    objects: random.int(2, 8),
    network: {
      latency,
      jitter: latency * random.magnitude(0.1, 5),
      fragmentation: random.pick([0, 0.05, 0.3]),
    },
    disk: {
      fsync: random.magnitude(0.1, 30),
      read: random.chance(0.3) ? random.magnitude(0.1, 3) : 0,
      eager: random.chance(0.6),
    },
    pause: random.magnitude(40, 800),
    merge: random.chance(0.5),
    cache: random.chance(0.7),
    packing: PACKING ? random.pick([0, 0, 0.02, 0.08]) : 0,
    compress: random.chance(0.1),
    faults,
    faultPeriod: random.magnitude(150, 2000),
    spares: operatorActions.length > 0 ? random.int(0, 2) : 0,
    operatorActions,
    operatorPeriod: random.magnitude(100, 2000),
    duration: random.between(1_500, 6_000),
  };
}

/** What one operator does; what makes tables change most is there more often. */
function operatorActionsOf(random: Random): OperatorAction[] {
  const always = ["start a storage", "add storages", "tweak the table"] as const;
  return [...always, ...random.sample(OPERATOR_ACTIONS, random.int(0, 4))];
}

/** A plan in one line. */
export function planText(plan: Plan): string {
  const {
    masters,
    partitions,
    replicas,
    storages,
    clients,
    workers,
    objects,
    faults,
    operatorActions,
  } = plan;
  return `${masters} masters, ${storages} storages, ${partitions} partitions, ${replicas} replicas, ` +
    `${clients} clients with ${workers} workers, ${objects} objects; faults: ` +
    (faults.length === 0 ? "none" : faults.join(", ")) +
    (operatorActions.length === 0 ? "" : `; operator: ${operatorActions.join(", ")}`);
}
