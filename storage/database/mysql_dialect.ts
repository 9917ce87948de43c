/**
 * The tables as MySQL and MariaDB have them.
 *
 * @module
 */

import { asText, type Dialect, type Engine, type TableName } from "./sql.ts";

/** Storage engines that are supported. */
export type StorageEngine = "InnoDB" | "RocksDB";

const TRANSACTION = `packed BOOLEAN NOT NULL,
  oids MEDIUMBLOB NOT NULL,
  user BLOB NOT NULL,
  description BLOB NOT NULL,
  ext BLOB NOT NULL,
  ttid BIGINT UNSIGNED NOT NULL`;

const RECORD = `\`partition\` SMALLINT UNSIGNED NOT NULL,
  oid BIGINT UNSIGNED NOT NULL,
  tid BIGINT UNSIGNED NOT NULL,
  data_id BIGINT UNSIGNED NULL,
  value_tid BIGINT UNSIGNED NULL`;

/** Definitions; the order of columns is part of the format. `family` is a column family of RocksDB. */
function definitions(family: (name: string) => string): Partial<Record<TableName, string>> {
  return {
    pt: `(
  \`partition\` SMALLINT UNSIGNED NOT NULL,
  nid INT NOT NULL,
  tid BIGINT NOT NULL,
  pack BIGINT UNSIGNED NULL,
  PRIMARY KEY (\`partition\`, nid)
)`,
    pack: `(
  tid BIGINT UNSIGNED NOT NULL,
  approved BOOLEAN NULL,
  partial BOOLEAN NOT NULL,
  oids MEDIUMBLOB NULL,
  pack_tid BIGINT UNSIGNED NULL,
  PRIMARY KEY (tid)
)`,
    trans: `(
  \`partition\` SMALLINT UNSIGNED NOT NULL,
  tid BIGINT UNSIGNED NOT NULL,
  ${TRANSACTION},
  PRIMARY KEY (\`partition\`, tid)${family("cf_neo_append_meta")}
)`,
    obj: `(
  ${RECORD},
  PRIMARY KEY (\`partition\`, oid, tid)${family("rev:cf_neo_obj_pk")},
  KEY tid (\`partition\`, tid, oid)${family("cf_neo_append_meta")},
  KEY data_id (data_id)${family("cf_neo_append_meta")}
)`,
    data: `(
  id BIGINT UNSIGNED NOT NULL,
  hash BINARY(20) NOT NULL,
  compression TINYINT UNSIGNED NULL,
  value MEDIUMBLOB NOT NULL,
  PRIMARY KEY (id)${family("cf_neo_append")}
)`,
    bigdata: `(
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  value MEDIUMBLOB NOT NULL,
  PRIMARY KEY (id)${family("cf_neo_append")}
)`,
    ttrans: `(
  \`partition\` SMALLINT UNSIGNED NOT NULL,
  tid BIGINT UNSIGNED NULL,
  ${TRANSACTION},
  PRIMARY KEY (ttid)${family("cf_neo_no_comp")}
)`,
    tobj: `(
  ${RECORD},
  PRIMARY KEY (tid, oid)${family("cf_neo_no_comp")}
)`,
    todel: `(
  data_id BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (data_id)${family("cf_neo_no_comp")}
)`,
    // Last: a database that has it has all the others.
    config: `(
  name VARBINARY(255) NOT NULL,
  value VARBINARY(255) NULL,
  PRIMARY KEY (name)
)`,
  };
}

/** A 32-bit number inside the pointer of big data. */
function pointerPart(table: string, position: number): string {
  return `CAST(CONV(HEX(SUBSTR(${table}.value, ${position}, 4)), 16, 10) AS UNSIGNED)`;
}

const CHUNK = 0x80_0000;

/** The dialect of MySQL and MariaDB. */
export function mysqlDialect(storageEngine: StorageEngine): Dialect {
  const family = (name: string) => storageEngine === "RocksDB" ? ` COMMENT '${name}'` : "";
  const tables = definitions(family);
  return {
    tables: Object.keys(tables) as TableName[],
    createTable: (table, name) => `CREATE TABLE ${name} ${tables[table]} ENGINE=${storageEngine}`,
    createIndexes: () => [],
    createDedup: `ALTER TABLE data ADD UNIQUE KEY hash (hash, compression)${
      family("cf_neo_no_comp")
    }`,
    dedupAnyTime: false,
    listTables: "SHOW TABLES",
    async shape(engine: Engine, table: string) {
      const columns = await engine.read(
        "SELECT column_name FROM information_schema.columns " +
          "WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position",
        [table],
      );
      if (columns.length === 0) return null;
      const primaryKey = await engine.read(
        "SELECT column_name FROM information_schema.statistics WHERE table_schema = DATABASE() " +
          "AND table_name = ? AND index_name = 'PRIMARY' ORDER BY seq_in_index",
        [table],
      );
      const names = (rows: typeof columns) => rows.map(([name]) => asText(name));
      return { columns: names(columns), primaryKey: names(primaryKey) };
    },
    async hasDedup(engine: Engine) {
      const rows = await engine.read(
        "SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() " +
          "AND table_name = 'data' AND index_name = 'hash' LIMIT 1",
        [],
      );
      return rows.length > 0;
    },
    rowsPerDelete: 100,
    byOid: "FORCE INDEX (PRIMARY)",
    byTid: "FORCE INDEX (tid)",
    dataSize: `IF(d.compression >= 128, ${pointerPart("d", 5)}, LENGTH(d.value))`,
    bigData: {
      threshold: 0x100_0000,
      chunk: CHUNK,
      deleteChunks: "DELETE bigdata FROM data STRAIGHT_JOIN bigdata " +
        `ON bigdata.id >= ${pointerPart("data", 1)} AND bigdata.id < ${pointerPart("data", 1)} + ` +
        `CEIL(${pointerPart("data", 5)} / ${CHUNK}) ` +
        `WHERE data.compression >= 128 AND`,
    },
    maxData: 0xffff_ffff,
    maxMetadata: 0xffff,
  };
}
