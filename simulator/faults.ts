/**
 * What goes wrong, and is mended later.
 *
 * @module
 */

import type { Disk } from "./disk.ts";
import type { World } from "./machine.ts";
import type { SimulatedNode } from "./node.ts";
import type { FaultKind, Plan } from "./plan.ts";
import type { Random } from "./random.ts";

/** What can be hurt. */
export interface Victims {
  readonly masters: readonly SimulatedNode[];
  readonly storages: readonly SimulatedNode[];
  readonly clients: readonly SimulatedNode[];
  readonly disks: readonly Disk[];
}

/** Causes faults until it is stopped. */
export class Faults {
  readonly #world: World;
  readonly #random: Random;
  readonly #plan: Plan;
  readonly #victims: Victims;
  /** What mends the faults that last. */
  readonly #repairs = new Set<() => void>();
  #cancel: () => void = () => {};

  constructor(world: World, random: Random, plan: Plan, victims: Victims) {
    this.#world = world;
    this.#random = random;
    this.#plan = plan;
    this.#victims = victims;
  }

  /** Faults happen from now on. */
  start(): void {
    const { faults, faultPeriod } = this.#plan;
    if (faults.length === 0) return;
    this.#cancel = this.#world.clock.after(this.#random.exponential(faultPeriod), () => {
      this.#cause(this.#random.pick(faults));
      this.start();
    });
  }

  /** Mends everything; nothing goes wrong any more. */
  stop(): void {
    this.#cancel();
    for (const repair of [...this.#repairs]) repair();
    this.#world.trace.note("all faults are mended");
  }

  #cause(kind: FaultKind): void {
    const random = this.#random;
    const { masters, storages, clients, disks } = this.#victims;
    const all = [...masters, ...storages, ...clients];
    switch (kind) {
      case "kill a storage":
        return this.#crash([random.pick(storages)], false);
      case "unplug a storage":
        return this.#crash([random.pick(storages)], true);
      case "kill a master":
        return this.#crash([random.pick(masters)], false);
      case "unplug a master":
        return this.#crash([random.pick(masters)], true);
      case "kill everything":
        return this.#crash([...masters, ...storages], random.chance(0.5));
      case "kill a client":
        return this.#crash([random.pick(clients)], false);
      case "unplug a client":
        return this.#crash([random.pick(clients)], true);
      case "cut a connection":
        return this.#cut(all);
      case "block one way":
        return this.#block(all, false);
      case "block both ways":
        return this.#block(all, true);
      case "isolate a machine":
        return this.#isolate(all);
      case "slow machine":
        return this.#slow(random.pick(all).name);
      case "slow disk":
        return this.#slowDisk(random.pick(disks));
      case "disk error":
        return this.#breakDisk(random.pick(disks));
      case "master clock jump":
        return this.#jump(random.pick(masters));
      case "restart a storage":
        return this.#restart(random.pick(storages));
    }
  }

  /** Nodes go down together, and come back one by one. */
  #crash(nodes: readonly SimulatedNode[], power: boolean): void {
    for (const node of nodes) {
      if (!node.alive) continue;
      node.crash(power);
      this.#lasting(`${node.name} is down`, this.#random.magnitude(20, 4000), () => node.start());
    }
  }

  #cut(nodes: readonly SimulatedNode[]): void {
    const [one, other] = this.#random.sample(nodes, 2);
    if (one === undefined || other === undefined) return;
    const { trace, network } = this.#world;
    if (network.cut(one.name, other.name) > 0) trace.note(`${one.name} - ${other.name} is cut`);
  }

  #block(nodes: readonly SimulatedNode[], both: boolean): void {
    const [one, other] = this.#random.sample(nodes, 2);
    if (one === undefined || other === undefined) return;
    const { network } = this.#world;
    const unblock = [network.block(one.name, other.name)];
    if (both) unblock.push(network.block(other.name, one.name));
    this.#lasting(
      `nothing passes from ${one.name} to ${other.name}${both ? " and back" : ""}`,
      this.#random.magnitude(50, 5000),
      () => unblock.forEach((end) => end()),
    );
  }

  #isolate(nodes: readonly SimulatedNode[]): void {
    const victim = this.#random.pick(nodes);
    const { network } = this.#world;
    const others = nodes.filter((node) => node !== victim);
    const unblock = others.flatMap(({ name }) => [
      network.block(victim.name, name),
      network.block(name, victim.name),
    ]);
    this.#lasting(
      `${victim.name} is isolated`,
      this.#random.magnitude(50, 5000),
      () => unblock.forEach((end) => end()),
    );
  }

  #slow(host: string): void {
    const { network } = this.#world;
    network.slow(host, this.#random.magnitude(10, 500));
    const mend = () => network.slow(host, 0);
    this.#lasting(`${host} is slow`, this.#random.magnitude(200, 3000), mend);
  }

  #slowDisk(disk: Disk): void {
    disk.slowness = this.#random.magnitude(10, 2000);
    this.#lasting(`the disk of ${disk.host} is slow`, this.#random.magnitude(200, 3000), () => {
      disk.slowness = 0;
    });
  }

  #breakDisk(disk: Disk): void {
    disk.broken = true;
    this.#lasting(`the disk of ${disk.host} is broken`, this.#random.magnitude(10, 3000), () => {
      disk.broken = false;
    });
  }

  #jump({ name, machine }: SimulatedNode): void {
    const jump = this.#random.magnitude(0.1, 100_000) * (this.#random.chance(0.5) ? 1 : -1);
    machine.skew += jump;
    this.#world.trace.note(`the clock of ${name} jumps by ${jump} s`);
  }

  #restart(node: SimulatedNode): void {
    if (!node.alive) return;
    this.#world.trace.note(`${node.name} is restarted`);
    node.stop().then(() =>
      this.#lasting(`${node.name} is stopped`, this.#random.magnitude(10, 2000), () => node.start())
    );
  }

  #lasting(text: string, duration: number, repair: () => void): void {
    const { trace, clock } = this.#world;
    trace.note(text);
    const end = () => {
      if (!this.#repairs.delete(end)) return;
      cancel();
      trace.note(`no more: ${text}`);
      repair();
    };
    const cancel = clock.after(duration, end);
    this.#repairs.add(end);
  }
}
