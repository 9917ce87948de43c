/**
 * Executes commands of the documentation.
 *
 * @module
 */

import { NodeProcess } from "../support/processes.ts";

/** What a {@linkcode Shell} is like. */
export interface ShellSettings {
  /** The folder where it starts. */
  readonly folder: string;
  /** Folders of commands that come before those of the system. */
  readonly path: readonly string[];
  /** Replaces names of the documentation by what is here. */
  readonly translate: (text: string) => string;
  readonly env?: Record<string, string>;
}

/** A shell in which commands are executed as an operator types them, but in other places. */
export class Shell {
  /** What was defined before. */
  #definitions = "";

  constructor(readonly settings: ShellSettings) {}

  /** Defines functions for what is executed later. */
  define(text: string): void {
    this.#definitions += text;
  }

  /**
   * Executes commands and returns what they print.
   *
   * @throws {Error} with that, if one of them fails.
   */
  async run(commands: string): Promise<string> {
    const process = this.start(commands);
    const { code } = await process.ended();
    if (code !== 0) {
      throw new Error(`status ${code} of\n${commands}${process.output.slice(-3000)}`);
    }
    return process.output;
  }

  /** Starts commands that take their time. */
  start(commands: string): NodeProcess {
    const { folder, path, translate, env } = this.settings;
    const script = `cd '${folder}'\n${translate(this.#definitions + commands)}`;
    const variables = { ...env, PATH: [...path, Deno.env.get("PATH")].join(":") };
    return new NodeProcess("shell", ["-eu", "-c", script], variables, "sh").start();
  }
}
