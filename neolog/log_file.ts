/**
 * Reading a log database, whoever wrote it. Nothing in it is ever executed: it holds a program that
 * other viewers run to decode messages, which is ignored here.
 *
 * @module
 */

import { DatabaseSync, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { errorText } from "../network/log.ts";
import { ConfigError } from "../node/errors.ts";
import { nodeName } from "../protocol/nodes.ts";
import type { LogRecord } from "./records.ts";

/** How nodes are named. */
export interface Naming {
  /** With the name of the cluster. */
  readonly cluster: boolean;
  /** After the file. */
  readonly noNid: boolean;
}

/** From when to when, in seconds since the Unix epoch. */
export interface Period {
  readonly from: number | null;
  readonly to: number | null;
}

type Row = Readonly<Record<string, SQLOutputValue>>;

/** Rows read at once. The file is not locked between two pages: its writer must not wait. */
const PAGE = 500;
/** Milliseconds to wait for a writer. */
const BUSY_TIMEOUT = 10_000;

/** Tables in the order of the records of one moment; those with a 1 are of very old versions. */
const TABLES = { log1: "text", log: "text", packet1: "packet", packet: "packet" } as const;

const COLUMNS = {
  text: ["level", "msg"],
  packet: ["msg_id", "code", "peer", "body"],
} as const;

/** An open log database. */
export class LogFile {
  readonly tables: readonly LogTable[];
  readonly #db: DatabaseSync;

  /**
   * @param name how a node that is not known otherwise is named.
   * @throws {ConfigError} if it is no log database.
   */
  constructor(path: string, name: string, naming: Naming, period: Period) {
    let db;
    try {
      db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_TIMEOUT });
    } catch (error) {
      throw new ConfigError(`can't open ${path}: ${errorText(error)}`);
    }
    this.#db = db;
    try {
      // Not even functions that hostile definitions of tables may call.
      db.exec("PRAGMA trusted_schema = OFF");
      const nodes = new NodeNames(db, name, naming);
      const find = db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?");
      this.tables = Object.entries(TABLES)
        .filter(([table]) => find.get(table) !== undefined)
        .map(([table, kind]) => new LogTable(db, table, kind, nodes, period));
    } catch (error) {
      db.close();
      throw new ConfigError(`${path} can't be read: ${errorText(error)}`);
    }
    if (this.tables.length > 0) return;
    db.close();
    throw new ConfigError(`${path} is not a log of NEO: it has none of the tables`);
  }

  close(): void {
    this.#db.close();
  }
}

/** One of the tables of a log, read from where it was left. */
export class LogTable {
  readonly name: string;
  /** Which of several tables is first for records of the same moment. */
  readonly order: number;
  readonly #statement: StatementSync;
  readonly #kind: "text" | "packet";
  readonly #nodes: NodeNames;
  readonly #to: number;
  #after: number;

  constructor(
    db: DatabaseSync,
    name: string,
    kind: "text" | "packet",
    nodes: NodeNames,
    { from, to }: Period,
  ) {
    this.name = name;
    this.order = Object.keys(TABLES).indexOf(name);
    this.#kind = kind;
    this.#nodes = nodes;
    // `date > ?` is what continues, so the start is just before.
    this.#after = from === null ? -Infinity : from - 1e-6;
    this.#to = to ?? Infinity;
    const info = db.prepare(`PRAGMA table_info(${name})`).all();
    const node = info.some((column) => column.name === "name") ? "name" : "node";
    this.#statement = db.prepare(
      `SELECT date, ${node} AS node, ${COLUMNS[kind].join(", ")} FROM ${name} ` +
        `WHERE date > ? AND date <= ? ORDER BY date LIMIT ${PAGE}`,
    );
  }

  /**
   * The next records, none at the end, which may only be the present one.
   *
   * @throws {Error} if the file is damaged.
   */
  next(): LogRecord[] {
    const records = this.#statement.all(this.#after, this.#to).map((row) => this.#record(row));
    this.#after = records.at(-1)?.date ?? this.#after;
    return records;
  }

  #record(row: Row): LogRecord {
    const date = Number(row.date);
    const node = this.#nodes.name(row.node ?? null);
    if (this.#kind === "text") {
      const { level, msg } = row;
      return { kind: "text", date, node, level: Number(level), message: String(msg ?? "") };
    }
    const { msg_id: id, code, peer, body } = row;
    return {
      kind: "packet",
      date,
      node,
      id: Number(id),
      code: Number(code),
      peer: String(peer),
      body: body instanceof Uint8Array ? body : null,
    };
  }
}

/** Names of nodes by their ids in a file. */
class NodeNames {
  readonly #statement: StatementSync | null;
  readonly #default: string;
  readonly #naming: Naming;
  readonly #names = new Map<SQLOutputValue, string>();

  constructor(db: DatabaseSync, name: string, naming: Naming) {
    this.#default = name;
    this.#naming = naming;
    const exists = db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'node'");
    this.#statement = exists.get() === undefined
      ? null
      : db.prepare("SELECT name, cluster, nid FROM node WHERE id = ?");
  }

  /** @param node an id or, in very old logs, a name. */
  name(node: SQLOutputValue): string {
    if (node === null) return this.#default;
    if (typeof node === "string") return this.#naming.noNid ? this.#default : node;
    let name = this.#names.get(node);
    if (name === undefined) this.#names.set(node, name = this.#find(node));
    return name;
  }

  #find(id: SQLOutputValue): string {
    const row = this.#statement?.get(id);
    const ownName = typeof row?.name === "string" ? row.name : this.#default;
    if (this.#naming.noNid || typeof row?.nid !== "number") return ownName;
    const name = nodeName(row.nid);
    return this.#naming.cluster ? `${row.cluster ?? ""}/${name}` : name;
  }
}
