/**
 * The raw limits that the cluster is compared with, measured on the same machine in the same run.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { DatabaseSync } from "node:sqlite";
import mariadb from "npm:mariadb@3.5.3";
import { mean, rate } from "./measure.ts";

/** Objects in the tables that are read. */
const OBJECTS = 20_000;
/** Length of an object, in bytes. */
const LENGTH = 300;

const READ = `SELECT obj.tid, data.compression, data.hash, data.value FROM obj
  JOIN data ON data.id = obj.data_id
  WHERE obj.part = ? AND obj.oid = ? AND obj.tid < ? ORDER BY obj.tid DESC LIMIT 1`;

/** Limits of a database, in microseconds and calls per second. */
export interface RawLimits {
  /** One read after the other. */
  readonly read: number;
  /** Reads per second, the best way there is. */
  readonly reads: number;
  /** One durable commit of one row after the other. */
  readonly commit: number;
}

/** Microseconds of a round trip of a small message between two processes over loopback TCP. */
export async function echo(): Promise<number> {
  const server = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", new URL("./echo_server.ts", import.meta.url).pathname],
    stdout: "piped",
  }).spawn();
  try {
    const { value } = await server.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(value) });
    conn.setNoDelay(true);
    const message = new Uint8Array(50);
    const buffer = new Uint8Array(1000);
    return await mean(async () => {
      await conn.write(message);
      await conn.read(buffer);
    });
  } finally {
    server.kill("SIGKILL");
    await server.status;
  }
}

/** Limits of SQLite, with a write-ahead log and an fsync per commit. */
export async function sqliteLimits(folder: string): Promise<RawLimits> {
  const database = new DatabaseSync(`${folder}/raw.sqlite`);
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE obj (part INTEGER, oid INTEGER, tid INTEGER, data_id INTEGER,
      PRIMARY KEY (part, oid, tid)) WITHOUT ROWID;
    CREATE TABLE data (id INTEGER PRIMARY KEY, hash BLOB, compression INTEGER, value BLOB);
    BEGIN`);
  const insertObject = database.prepare("INSERT INTO obj VALUES (?, ?, 1, ?)");
  const insertData = database.prepare("INSERT INTO data VALUES (?, ?, 0, ?)");
  const hash = new Uint8Array(20);
  const value = new Uint8Array(LENGTH);
  for (let oid = 0; oid < OBJECTS; oid++) {
    insertObject.run(oid % 12, oid, oid);
    insertData.run(oid, hash, value);
  }
  database.exec("COMMIT");
  const select = database.prepare(READ);
  select.setReadBigInts(true);
  const readOne = (n: number) => {
    const oid = n * 7919 % OBJECTS;
    return select.get(oid % 12, oid, 1n << 62n);
  };
  const start = performance.now();
  let reads = 0;
  while (performance.now() - start < 1000) for (let i = 0; i < 100; i++) readOne(reads++);
  const read = (performance.now() - start) * 1000 / reads;
  let id = OBJECTS;
  const commit = await mean(() => {
    database.exec("BEGIN IMMEDIATE");
    insertData.run(id++, hash, value);
    database.exec("COMMIT");
  });
  database.close();
  return { read, reads: 1e6 / read, commit };
}

/** Limits of MariaDB through its driver. */
export async function mariadbLimits(url: string): Promise<RawLimits> {
  const { username, password, hostname, port, pathname } = new URL(url);
  const connection = await mariadb.createConnection({
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    host: hostname,
    port: Number(port),
    database: pathname.slice(1),
    pipelining: true,
  });
  try {
    await connection.query(`CREATE TABLE obj (part INT, oid BIGINT, tid BIGINT, data_id BIGINT,
      PRIMARY KEY (part, oid, tid)) ENGINE = InnoDB`);
    await connection.query(`CREATE TABLE data (id BIGINT PRIMARY KEY, hash BINARY(20),
      compression TINYINT, value MEDIUMBLOB) ENGINE = InnoDB`);
    const hash = new Uint8Array(20);
    const value = Buffer.alloc(LENGTH);
    await connection.beginTransaction();
    const oids = Array.from({ length: OBJECTS }, (_, oid) => oid);
    await connection.batch("INSERT INTO obj VALUES (?, ?, 1, ?)", oids.map((o) => [o % 12, o, o]));
    await connection.batch(
      "INSERT INTO data VALUES (?, ?, 0, ?)",
      oids.map((oid) => [oid, Buffer.from(hash), value]),
    );
    await connection.commit();
    const readOne = (n: number) => {
      const oid = n * 7919 % OBJECTS;
      return connection.query(READ, [oid % 12, oid, 1n << 62n]);
    };
    const read = await mean(readOne);
    const reads = await rate(64, (_, n) => readOne(n));
    let id = OBJECTS;
    const commit = await mean(() =>
      connection.query("INSERT INTO data VALUES (?, ?, 0, ?)", [id++, Buffer.from(hash), value])
    );
    return { read, reads, commit };
  } finally {
    await connection.end();
  }
}
