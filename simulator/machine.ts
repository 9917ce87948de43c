/**
 * A machine of the simulation, and the process that it runs.
 *
 * @module
 */

import type { CancelTimer, Environment } from "../network/environment.ts";
import { START_TIME, type VirtualClock } from "./clock.ts";
import type { Network, Port } from "./network.ts";
import type { Random } from "./random.ts";
import type { Trace } from "./trace.ts";

/** What all machines of a run share. */
export interface World {
  readonly clock: VirtualClock;
  readonly network: Network;
  readonly trace: Trace;
}

/** A process: all that it uses of its machine ends with it. */
export class Process {
  readonly env: Environment;
  readonly #port: Port;
  readonly #timers = new Set<CancelTimer>();
  #alive = true;

  constructor(machine: Machine, { clock, network, trace }: World) {
    this.#port = network.port(machine.name);
    this.env = {
      now: () => START_TIME + machine.skew + clock.now / 1000,
      monotonic: () => clock.now,
      setTimer: (delay, callback) => this.#setTimer(clock, delay, callback),
      random: machine.random.float,
      connect: this.#port.connect,
      listen: this.#port.listen,
      log: trace.log(machine.name),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Number of timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Ends at once. With `power`, the whole machine does. */
  kill(power: boolean): void {
    this.#alive = false;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    this.#port.kill(power);
  }

  #setTimer(clock: VirtualClock, delay: number, callback: () => void): CancelTimer {
    if (!this.#alive) return () => {};
    const end = clock.after(delay, () => {
      this.#timers.delete(cancel);
      callback();
    });
    const cancel = () => {
      this.#timers.delete(cancel);
      end();
    };
    this.#timers.add(cancel);
    return cancel;
  }
}

/** A machine, known by its name in the network. */
export class Machine {
  /** Seconds that its wall clock is ahead. */
  skew = 0;

  constructor(readonly name: string, readonly world: World, readonly random: Random) {}

  /** Starts a process. */
  start(): Process {
    return new Process(this, this.world);
  }
}
