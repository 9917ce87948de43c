/**
 * Upgrade of databases of versions 0 to 3.
 *
 * A step may have been interrupted, even after its last change of a table and before the new version
 * was saved: the columns that are really there decide what is done.
 *
 * @module
 */

import type { Config } from "./config.ts";
import { DatabaseError, type DatabaseOptions } from "./database.ts";
import { type Engine, type TableName, type Value, write } from "./sql.ts";

/** Upgrades, one committed version after the other. */
export async function upgrade(
  engine: Engine,
  config: Config,
  version: number,
  log: DatabaseOptions["log"],
): Promise<void> {
  const steps = [renewTransactions, reorderObjects, renewCells, addPacks];
  for (const [from, step] of steps.entries()) {
    if (version > from) continue;
    log("info", `upgrading the database from version ${from} to ${from + 1}`);
    await step(engine, config);
    await engine.commit([config.set("version", from + 1)], true);
  }
}

/** Unfinished transactions are not converted. */
async function renewTransactions(engine: Engine): Promise<void> {
  for (const table of ["ttrans", "tobj"]) {
    if (await engine.dialect.shape(engine, table) === null) continue;
    const rows = await engine.read(`SELECT 1 FROM ${table} LIMIT 1`, []);
    if (rows.length > 0) {
      throw new DatabaseError(
        "the database has unfinished transactions of a version that is too old to be upgraded: " +
          "start the cluster once with the version that wrote it, and stop it cleanly",
      );
    }
  }
  await engine.commit([write("DROP TABLE IF EXISTS ttrans")], true);
}

/** Objects were ordered by tid. */
async function reorderObjects(engine: Engine): Promise<void> {
  await finishRebuild(engine, "obj");
  const shape = await engine.dialect.shape(engine, "obj");
  if (shape === null || shape.primaryKey.join() === "partition,oid,tid") return;
  await rebuild(engine, "obj", "SELECT `partition`, oid, tid, data_id, value_tid FROM obj", []);
}

/** Cells had a state, in another numbering, instead of a tid. */
async function renewCells(engine: Engine, config: Config): Promise<void> {
  await finishRebuild(engine, "pt");
  const shape = await engine.dialect.shape(engine, "pt");
  if (shape === null || !shape.columns.includes("rid")) return;
  await rebuild(
    engine,
    "pt",
    "SELECT rid, nid, CASE state WHEN 0 THEN -1 WHEN 2 THEN -2 " +
      "ELSE 1 - CAST(state AS SIGNED) END, CASE WHEN nid = ? THEN 0 END FROM pt",
    [config.number("nid")],
  );
}

/** The number of partitions was saved apart, and there was no progress of packs. */
async function addPacks(engine: Engine, config: Config): Promise<void> {
  await engine.commit([write("DELETE FROM config WHERE name = 'partitions'")], true);
  await finishRebuild(engine, "pt");
  const shape = await engine.dialect.shape(engine, "pt");
  if (shape === null || shape.columns.includes("pack")) return;
  await rebuild(
    engine,
    "pt",
    "SELECT `partition`, nid, tid, CASE WHEN nid = ? THEN 0 END FROM pt",
    [config.number("nid")],
  );
}

/** Replaces a table by a new one, with the result of a query on the old one. */
async function rebuild(
  engine: Engine,
  table: TableName,
  query: string,
  parameters: readonly Value[],
): Promise<void> {
  const { dialect } = engine;
  await engine.commit([
    write(dialect.createTable(table, `new_${table}`)),
    write(`INSERT INTO new_${table} ${query}`, ...parameters),
  ], true);
  await engine.commit([
    write(`DROP TABLE ${table}`),
    write(`ALTER TABLE new_${table} RENAME TO ${table}`),
  ], true);
}

/** Continues, or undoes, a rebuild that was interrupted. */
async function finishRebuild(engine: Engine, table: TableName): Promise<void> {
  const { dialect } = engine;
  if (await dialect.shape(engine, `new_${table}`) === null) return;
  const finished = await dialect.shape(engine, table) === null;
  await engine.commit([
    write(
      finished ? `ALTER TABLE new_${table} RENAME TO ${table}` : `DROP TABLE new_${table}`,
    ),
  ], true);
}
