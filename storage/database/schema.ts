/**
 * Creation and upgrade of the tables.
 *
 * @module
 */

import type { Config } from "./config.ts";
import { DatabaseError, type DatabaseOptions } from "./database.ts";
import { asText, type Dialect, type Engine, type Write, write } from "./sql.ts";
import { upgrade } from "./upgrade.ts";

/** The version of the schema that is described by the dialects. */
export const SCHEMA_VERSION = 4;

/**
 * Checks that the database is empty or NEO's: nothing is to be changed in that of something else.
 *
 * @throws {DatabaseError} if it is not.
 */
export async function refuseForeign(engine: Engine): Promise<void> {
  const { dialect } = engine;
  const config = await dialect.shape(engine, "config");
  if (config !== null && ["name", "value"].every((name) => config.columns.includes(name))) return;
  const own = new Set<string>(config === null ? dialect.tables : []);
  const names = (await engine.read(dialect.listTables, [])).map(([name]) => asText(name));
  const foreign = names.filter((name) => !own.has(name)).sort();
  if (foreign.length === 0) return;
  const some = foreign.slice(0, 3).join(", ") + (foreign.length > 3 ? "…" : "");
  throw new DatabaseError(
    `the database is not one of NEO, as it contains ${some}: give the node a database of its own`,
  );
}

/**
 * Makes the tables current and loads the configuration.
 *
 * @throws {DatabaseError} if the database is newer, or must first be opened by an older version.
 */
export async function prepareSchema(
  engine: Engine,
  config: Config,
  options: DatabaseOptions,
): Promise<void> {
  const { dialect } = engine;
  if (await dialect.shape(engine, "config") !== null) {
    await config.load(engine);
    const version = config.number("version") ?? 0;
    if (version > SCHEMA_VERSION) {
      throw new DatabaseError(
        `the database has version ${version}, this program knows ${SCHEMA_VERSION}: ` +
          "a database can not be downgraded",
      );
    }
    await upgrade(engine, config, version, options.log);
  }
  const createdData = await createMissingTables(engine);
  await prepareDedup(engine, options, createdData);
  if (config.number("version") !== SCHEMA_VERSION) {
    await engine.commit([config.set("version", SCHEMA_VERSION)], true);
  }
}

/** Returns whether `data` was missing. */
async function createMissingTables(engine: Engine): Promise<boolean> {
  const { dialect } = engine;
  let createdData = false;
  const writes = [];
  for (const table of dialect.tables) {
    if (await dialect.shape(engine, table) === null) {
      writes.push(write(dialect.createTable(table, table)));
      if (table === "data") createdData = true;
    }
    for (const sql of dialect.createIndexes(table)) writes.push(write(sql));
  }
  if (writes.length > 0) await engine.commit(writes, true);
  return createdData;
}

async function prepareDedup(
  engine: Engine,
  { dedup, log }: DatabaseOptions,
  createdData: boolean,
): Promise<void> {
  const { dialect } = engine;
  if (!dedup || await dialect.hasDedup(engine)) return;
  if (!createdData && !dialect.dedupAnyTime) {
    log("warning", "deduplication is only decided when a database is created: option ignored");
    return;
  }
  try {
    await engine.commit([write(dialect.createDedup)], true);
  } catch (error) {
    throw new DatabaseError(
      "deduplication can not be enabled on this database, which holds duplicates: " +
        "remove the option, or create the database again",
      { cause: error },
    );
  }
}

/** The writes that drop all the tables. */
export function dropTables({ tables }: Dialect): Write[] {
  // The first one tells that there is a database.
  return tables.toReversed().map((table) => write(`DROP TABLE IF EXISTS ${table}`));
}
