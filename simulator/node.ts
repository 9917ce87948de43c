/**
 * Server nodes of the simulation, with somebody who starts them again when they end.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { DatabaseError } from "../storage/database/database.ts";
import type { Machine, Process } from "./machine.ts";

/** What runs in a process. */
export interface Running {
  readonly done: Promise<void>;
  /** The state of the node, for those who look for a bug. */
  dump(): string;
}

/** How a kind of node is started. */
export type Program = (process: Process, signal: AbortSignal) => Running;

/** Milliseconds before a node that ended by itself is started again. */
const RESTART_TIME = 2_000;

/** A node: a program on a machine. */
export class SimulatedNode {
  readonly #program: Program;
  readonly #onFailure: (text: string) => void;
  readonly #onCrash: (power: boolean) => void;
  #process: Process | null = null;
  #running: Running | null = null;
  #stop = new AbortController();
  /** Whether it has to run. */
  #wanted = false;
  #started = false;
  /** Number of timers that the last process left when it ended by itself. */
  timersLeft = 0;

  constructor(
    readonly machine: Machine,
    program: Program,
    onFailure: (text: string) => void,
    onCrash: (power: boolean) => void = () => {},
  ) {
    this.#program = program;
    this.#onFailure = onFailure;
    this.#onCrash = onCrash;
  }

  get name(): string {
    return this.machine.name;
  }

  /** Whether it was ever started. */
  get started(): boolean {
    return this.#started;
  }

  get alive(): boolean {
    return this.#process !== null;
  }

  start(): void {
    const { machine } = this;
    this.#wanted = true;
    this.#started = true;
    if (this.#process !== null) return;
    machine.world.network.setPower(this.name, true);
    machine.world.trace.note(`${this.name} starts`);
    const process = machine.start();
    this.#process = process;
    this.#stop = new AbortController();
    this.#running = this.#program(process, this.#stop.signal);
    this.#running.done.then(
      () => this.#ended(process, null),
      (error) => this.#ended(process, error),
    );
  }

  /** The process, or the machine, ends at once. */
  crash(power: boolean): void {
    this.#wanted = false;
    if (this.#process === null) return;
    this.machine.world.trace.note(`${this.name} ${power ? "loses its power" : "is killed"}`);
    this.#process.kill(power);
    this.#process = null;
    this.#running = null;
    if (power) this.machine.world.network.setPower(this.name, false);
    this.#onCrash(power);
  }

  /** Asks it to stop, in good order. */
  async stop(): Promise<void> {
    this.#wanted = false;
    const running = this.#running;
    this.#stop.abort(new Error("stopped by the simulation"));
    await running?.done.catch(() => {});
  }

  /** The state of the node, for those who look for a bug. */
  readonly dump = (): string => this.#running?.dump() ?? "not running";

  #ended(process: Process, error: unknown): void {
    if (this.#process !== process) return;
    const { world } = this.machine;
    const text = error === null ? "" : `: ${errorText(error)}`;
    world.trace.note(`${this.name} ends${text}`);
    if (error !== null && !(error instanceof DatabaseError) && this.#wanted) {
      this.#onFailure(`${this.name} failed${text}\n${error instanceof Error ? error.stack : ""}`);
    }
    this.timersLeft = process.timers;
    process.kill(false);
    this.#process = null;
    this.#running = null;
    this.#onCrash(false);
    world.clock.after(RESTART_TIME, () => {
      if (this.#wanted) this.start();
    });
  }
}
