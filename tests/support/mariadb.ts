/**
 * A private MariaDB server in a temporary folder.
 *
 * @module
 */

import mariadb from "npm:mariadb@3.5.3";
import { freePort } from "./ports.ts";

/** Account of all the databases of a private server. */
const USER = "neo";
const PASSWORD = "p@ss:word";

/** Whether tests with MariaDB can run; with `CI` in the environment, they must. */
export const hasMariadb: boolean = findServer() !== null;

if (!hasMariadb) {
  if (Deno.env.get("CI")) throw new Error("mariadbd is not installed: CI must test with MariaDB");
  console.warn("WARNING: mariadbd is not installed: the tests with MariaDB are SKIPPED");
}

function findServer(): string | null {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"];
  for (const folder of folders) {
    const path = `${folder}/mariadbd`;
    try {
      if (Deno.statSync(path).isFile) return path;
    } catch {
      // The next one.
    }
  }
  return null;
}

/** A server that can be killed and started again with the same data. */
export class Mariadb {
  readonly socket: string;
  #port = 0;
  #process: Deno.ChildProcess | null = null;
  #databases = 0;

  private constructor(readonly folder: string, readonly options: readonly string[]) {
    this.socket = `${folder}/socket`;
  }

  /**
   * Installs and starts a server.
   *
   * @param options more options of `mariadbd`.
   */
  static async start(...options: string[]): Promise<Mariadb> {
    const server = new Mariadb(await Deno.makeTempDir({ prefix: "neo-mariadb-" }), options);
    try {
      const { success, stderr } = await new Deno.Command("mariadb-install-db", {
        args: [
          "--no-defaults",
          `--datadir=${server.folder}/data`,
          "--auth-root-authentication-method=normal",
          "--skip-test-db",
          `--user=${Deno.env.get("USER") ?? "root"}`,
        ],
        stdin: "null",
      }).output();
      if (!success) throw new Error(`mariadb-install-db: ${new TextDecoder().decode(stderr)}`);
      await server.restart();
      await server.query(`CREATE USER ${USER} IDENTIFIED BY '${PASSWORD}'`);
      await server.query(`GRANT ALL ON *.* TO ${USER}`);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** TCP port on 127.0.0.1. */
  get port(): number {
    return this.#port;
  }

  /** Starts the server (again) and waits until it answers. */
  async restart(): Promise<void> {
    await this.kill();
    if (this.#port === 0) this.#port = freePort();
    const server = findServer();
    if (server === null) throw new Error("mariadbd is not installed");
    this.#process = new Deno.Command(server, {
      args: [
        "--no-defaults",
        `--user=${Deno.env.get("USER") ?? "root"}`,
        `--datadir=${this.folder}/data`,
        `--socket=${this.socket}`,
        `--pid-file=${this.folder}/pid`,
        `--log-error=${this.folder}/log`,
        "--skip-networking=0",
        "--bind-address=127.0.0.1",
        `--port=${this.#port}`,
        "--innodb-buffer-pool-size=16M",
        "--innodb-log-file-size=32M",
        "--max-allowed-packet=64M",
        "--key-buffer-size=1M",
        "--performance-schema=0",
        ...this.options,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    let ended = false;
    this.#process.status.then(() => ended = true);
    for (let attempt = 0;; attempt++) {
      try {
        await this.query("SELECT 1");
        return;
      } catch (error) {
        if (ended || attempt === 600) {
          const log = await Deno.readTextFile(`${this.folder}/log`).catch(() => "");
          throw new Error(`mariadbd does not start: ${log.slice(-2000)}`, { cause: error });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Creates an empty database and returns its name. */
  async createDatabase(): Promise<string> {
    const name = `neo${++this.#databases}`;
    await this.query(`CREATE DATABASE ${name}`);
    return name;
  }

  /** Connection string of a database through the socket, as a storage node gets it. */
  address(database: string): string {
    return `${USER}:${PASSWORD}@${database}${this.socket}`;
  }

  /** The same through TCP. */
  url(database: string): string {
    return `mysql://${USER}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${this.#port}/${database}`;
  }

  /** Executes statements as administrator; the rows of the last one if there are several. */
  async query(sql: string, database?: string): Promise<unknown[][]> {
    const connection = await mariadb.createConnection({
      socketPath: this.socket,
      user: "root",
      ...(database === undefined ? {} : { database }),
      multipleStatements: true,
      rowsAsArray: true,
      connectTimeout: 5000,
    });
    try {
      const result: unknown = await connection.query(sql);
      if (!Array.isArray(result)) return [];
      const last: unknown = sql.replace(/;\s*$/, "").includes(";") ? result.at(-1) : result;
      return Array.isArray(last) ? last : [];
    } finally {
      await connection.end();
    }
  }

  /** Loads a dump into a database. */
  async load(database: string, dump: string): Promise<void> {
    const { success, stderr } = await new Deno.Command("mariadb", {
      args: [
        "--no-defaults",
        `--socket=${this.socket}`,
        "--user=root",
        database,
        "-e",
        `source ${dump}`,
      ],
      stdin: "null",
    }).output();
    if (!success) throw new Error(`${dump}: ${new TextDecoder().decode(stderr)}`);
  }

  /** Kills the server as a power cut would. */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    try {
      process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await process.status;
  }

  /** Kills the server and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    await Deno.remove(this.folder, { recursive: true });
  }
}
