/**
 * The options of `deno task cluster`.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { isWildcard } from "../node/addresses.ts";
import { ConfigError } from "../node/errors.ts";
import { bindAddress, flag, integer, path, text } from "../node/option_kinds.ts";
import { control, logLimits, type Program, type ProgramOptions } from "../node/programs.ts";
import { parseMysqlAddress } from "../storage/database/mysql_address.ts";

const table = {
  name: text({ short: "n", metavar: "NAME", default: "neo", help: "name of the cluster" }),
  storages: integer({ default: "1", help: "number of storage nodes" }),
  masters: integer({
    default: "1",
    help: "number of master nodes: one is the primary, the others take over when it is lost",
  }),
  replicas: integer({ short: "r", default: "0", help: "extra copies of each partition" }),
  partitions: integer({ short: "p", default: "12", help: "number of partitions" }),
  bind: bindAddress({
    short: "b",
    default: "127.0.0.1:10000",
    help: "address of the master: what clients connect to; other masters have the next ports",
  }),
  admin: bindAddress({
    short: "a",
    default: "127.0.0.1:9999",
    help: "address of the admin: what neoctl connects to",
  }),
  data: path({ short: "d", default: "./data", help: "folder of the data" }),
  memory: flag({ help: "keep all data in memory: nothing is left after the end" }),
  database: text({
    metavar: "URL",
    help: "mysql://user:password@host:port/name: keep the data in databases name1, name2…, " +
      "created when missing, instead of SQLite files in the folder",
  }),
  logfile: path({
    short: "l",
    help:
      "SQLite database that receives the log of this process; those of its nodes get the same " +
      "name with .M1, .A1, .S1… ('neoctl flush_log' makes them complete)",
  }),
  ...logLimits,
  control: {
    ...control,
    help: `${control.help}; its nodes get one each, with the same suffixes as log databases`,
  },
  verbose: flag({ short: "v", help: "also show informative records of all nodes" }),
};

/** The local cluster. Number of storages, replicas and partitions are fixed when it is created. */
export const neocluster: Program<typeof table> = {
  name: "neocluster",
  summary: "Runs a whole NEO cluster in one process: masters, storages and admin as workers.",
  operands: null,
  options: table,
  check({ name, bind, masters, storages, replicas, partitions, memory, database }) {
    if (name === "") throw new ConfigError("name must not be empty");
    if (masters < 1) throw new ConfigError("masters must be at least 1");
    if (bind.port > 0 && bind.port + masters - 1 > 0xffff) {
      throw new ConfigError(`there are not ${masters} ports from ${bind.port} on`);
    }
    if (storages < 1) throw new ConfigError("storages must be at least 1");
    if (partitions < 1) throw new ConfigError("partitions must be at least 1");
    if (replicas < 0) throw new ConfigError("replicas must not be negative");
    if (replicas >= storages) {
      throw new ConfigError(
        `${replicas} replicas need ${replicas + 1} storages, and there are ${storages}`,
      );
    }
    if (memory && database !== null) {
      throw new ConfigError("memory and database exclude each other");
    }
    if (database !== null) checkDatabase(database);
    if (!isWildcard(bind)) return [];
    return [
      `bind: clients are told to connect to storages at ${bind.host}, which only works on this ` +
      "machine; give the address of an interface",
    ];
  },
};

/** The values of the options. */
export type ClusterOptions = ProgramOptions<typeof neocluster>;

function checkDatabase(url: string): void {
  try {
    if (!url.startsWith("mysql://")) throw new Error("database must be a mysql: URL");
    parseMysqlAddress(url, null);
  } catch (error) {
    throw new ConfigError(errorText(error));
  }
}
