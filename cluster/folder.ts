/**
 * The data folder of a local cluster: who uses it, and what the cluster in it is like.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { ConfigError } from "../node/errors.ts";
import type { ClusterOptions } from "./options.ts";

/** What is fixed when a cluster is created. */
interface Shape {
  readonly name: string;
  readonly storages: number;
  readonly replicas: number;
  readonly partitions: number;
  /** The MySQL URL without password, `null` for SQLite files in the folder. */
  readonly database: string | null;
}

/** A data folder that this process uses alone. */
export class DataFolder implements Disposable {
  /** Whether there is no cluster in it yet. */
  isNew = false;
  readonly #lock: Deno.FsFile;

  private constructor(readonly path: string, lock: Deno.FsFile) {
    this.#lock = lock;
  }

  /**
   * Takes a folder, created when missing.
   *
   * @throws {ConfigError} if another process uses it, or the cluster in it is not the one asked for.
   */
  static async take(options: ClusterOptions): Promise<DataFolder> {
    const path = options.data ?? ".";
    let lock;
    try {
      await Deno.mkdir(path, { recursive: true });
      lock = await Deno.open(`${path}/cluster.lock`, { create: true, write: true });
    } catch (error) {
      throw new ConfigError(`can't use the data folder ${path}: ${errorText(error)}`);
    }
    const folder = new DataFolder(path, lock);
    try {
      if (!await lock.tryLock(true)) {
        throw new ConfigError(
          `the data folder ${path} is in use by another cluster: stop it, or choose another ` +
            "folder with --data",
        );
      }
      await folder.#check(shapeOf(options));
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
    return folder;
  }

  get #file(): string {
    return `${this.path}/cluster.json`;
  }

  /** An existing cluster must have the shape asked for. */
  async #check(wanted: Shape): Promise<void> {
    let saved: Partial<Shape> | null;
    try {
      saved = JSON.parse(await Deno.readTextFile(this.#file));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        this.isNew = true;
        return;
      }
      throw new ConfigError(`can't read ${this.#file}: ${errorText(error)}`);
    }
    const told = (value: unknown) => value === null ? "SQLite" : String(value);
    const differences = (Object.keys(wanted) as (keyof Shape)[])
      .filter((key) => saved?.[key] !== wanted[key])
      .map((key) => `${key} is ${told(saved?.[key])}, not ${told(wanted[key])}`);
    if (differences.length > 0) {
      throw new ConfigError(
        `the cluster in ${this.path} is another one: ${differences.join("; ")}. ` +
          "Give the same options as when it was created, or another folder with --data",
      );
    }
  }

  /** Saves the shape of a cluster that could start; another attempt may have another one. */
  async remember(options: ClusterOptions): Promise<void> {
    const text = JSON.stringify(shapeOf(options), null, 2) + "\n";
    await Deno.writeTextFile(`${this.#file}.tmp`, text);
    await Deno.rename(`${this.#file}.tmp`, this.#file);
  }

  [Symbol.dispose](): void {
    this.#lock.close();
  }
}

function shapeOf({ name, storages, replicas, partitions, database }: ClusterOptions): Shape {
  return { name, storages, replicas, partitions, database: database && withoutPassword(database) };
}

function withoutPassword(url: string): string {
  const parsed = new URL(url);
  parsed.password = "";
  return parsed.href;
}
