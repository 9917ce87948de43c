/**
 * The programs of NEO as operators know them: what they are made of and what they may do, as the tasks
 * of this repository have it.
 *
 * @module
 */

import manifest from "../deno.json" with { type: "json" };

/** A program and the task that runs it. */
const TASKS = {
  neomaster: "master",
  neostorage: "storage",
  neoadmin: "admin",
  neoctl: "neoctl",
  neolog: "neolog",
  neomigrate: "migrate",
} as const;

/** Modules that programs load while they run, which is not seen by reading their imports. */
const WORKERS: Readonly<Record<string, readonly string[]>> = {
  neostorage: ["storage/database/sqlite_writer.ts"],
};

/** A program to install. */
export interface InstallableProgram {
  readonly name: string;
  /** Permissions, as options of Deno. */
  readonly permissions: readonly string[];
  /** Path of its main module in the repository. */
  readonly main: string;
  readonly workers: readonly string[];
}

/** All programs. */
export function installablePrograms(): InstallableProgram[] {
  return Object.entries(TASKS).map(([name, task]) => {
    const [deno, run, ...rest] = manifest.tasks[task].command.split(" ");
    const main = rest.pop();
    if (deno !== "deno" || run !== "run" || main === undefined) {
      throw new Error(`task ${task} is not of the form 'deno run PERMISSIONS MODULE'`);
    }
    return { name, permissions: rest, main, workers: WORKERS[name] ?? [] };
  });
}

/** The folder of this repository, without `/` at the end. */
export const ROOT: string = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
