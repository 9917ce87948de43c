/**
 * The tables as SQLite has them.
 *
 * @module
 */

import { asBigInt, asText, type Dialect, type Engine, type TableName } from "./sql.ts";

const TRANSACTION = `packed BOOLEAN NOT NULL,
  oids BLOB NOT NULL,
  user BLOB NOT NULL,
  description BLOB NOT NULL,
  ext BLOB NOT NULL,
  ttid INTEGER NOT NULL`;

const RECORD = `partition INTEGER NOT NULL,
  oid INTEGER NOT NULL,
  tid INTEGER NOT NULL,
  data_id INTEGER,
  value_tid INTEGER`;

/** Definitions; the order of columns is part of the format. */
const TABLES: Partial<Record<TableName, string>> = {
  pt: `(
  partition INTEGER NOT NULL,
  nid INTEGER NOT NULL,
  tid INTEGER NOT NULL,
  pack INTEGER,
  PRIMARY KEY (partition, nid)
) WITHOUT ROWID`,
  pack: `(
  tid INTEGER PRIMARY KEY,
  approved BOOLEAN,
  partial BOOLEAN NOT NULL,
  oids BLOB,
  pack_tid INTEGER
)`,
  trans: `(
  partition INTEGER NOT NULL,
  tid INTEGER NOT NULL,
  ${TRANSACTION},
  PRIMARY KEY (partition, tid)
) WITHOUT ROWID`,
  obj: `(
  ${RECORD},
  PRIMARY KEY (partition, oid, tid)
) WITHOUT ROWID`,
  data: `(
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  compression INTEGER NOT NULL,
  value BLOB NOT NULL
)`,
  ttrans: `(
  partition INTEGER NOT NULL,
  tid INTEGER,
  ${TRANSACTION}
)`,
  tobj: `(
  ${RECORD},
  PRIMARY KEY (tid, oid)
) WITHOUT ROWID`,
  // Last: a database that has it has all the others.
  config: `(
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT
) WITHOUT ROWID`,
};

/** The dialect of SQLite. */
export const sqliteDialect: Dialect = {
  tables: Object.keys(TABLES) as TableName[],
  createTable: (table, name) => `CREATE TABLE ${name} ${TABLES[table]}`,
  createIndexes: (table) =>
    table === "obj"
      ? [
        "CREATE INDEX IF NOT EXISTS _obj_i1 ON obj(partition, tid, oid)",
        "CREATE INDEX IF NOT EXISTS _obj_i2 ON obj(data_id)",
      ]
      : [],
  createDedup: "CREATE UNIQUE INDEX IF NOT EXISTS _data_i1 ON data(hash, compression)",
  dedupAnyTime: true,
  listTables: "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') " +
    "AND name NOT LIKE 'sqlite%'",
  async shape(engine: Engine, table: string) {
    const rows = await engine.read("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", [
      table,
    ]);
    if (rows.length === 0) return null;
    const columns = rows.map(([name, key]) => ({ name: asText(name), key: asBigInt(key) }));
    return {
      columns: columns.map(({ name }) => name),
      primaryKey: columns
        .filter(({ key }) => key > 0n)
        .sort((a, b) => Number(a.key - b.key))
        .map(({ name }) => name),
    };
  },
  async hasDedup(engine: Engine) {
    const rows = await engine.read(
      "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = '_data_i1'",
      [],
    );
    return rows.length > 0;
  },
  rowsPerDelete: 1,
  byOid: "",
  byTid: "INDEXED BY _obj_i1",
  dataSize: "LENGTH(d.value)",
  bigData: null,
  // SQLite's own limit is 10^9 bytes for a whole row.
  maxData: 999_000_000,
  maxMetadata: null,
};
