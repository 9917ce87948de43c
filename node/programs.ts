/**
 * The options of each program, declared once.
 *
 * @module
 */

import { NodeType } from "../protocol/enums.ts";
import { type Address, nidOf, nodeName, nodeTypeOf } from "../protocol/nodes.ts";
import { isWildcard } from "./addresses.ts";
import { ConfigError } from "./errors.ts";
import {
  bindAddress,
  choice,
  credentials,
  endpoint,
  flag,
  integer,
  nodeAddress,
  nodeAddresses,
  type OptionsOf,
  type OptionTable,
  path,
  seconds,
  text,
  texts,
} from "./option_kinds.ts";

/** A program with a command line. */
export interface Program<Table extends OptionTable> {
  readonly name: string;
  readonly summary: string;
  readonly options: Table;
  /** What follows the options, as shown in the usage; `null` if nothing may. */
  readonly operands: string | null;
  /**
   * Checks what no option can check alone.
   *
   * @returns warnings to show.
   * @throws {ConfigError} if the options can't work.
   */
  check(options: OptionsOf<Table>): string[];
}

/** The values of the options of a program. */
export type ProgramOptions<P> = P extends Program<infer Table> ? OptionsOf<Table> : never;

/** Gives a table its precise type, so that the type of the values can be derived from it. */
function program<Table extends OptionTable>(definition: Program<Table>): Program<Table> {
  return definition;
}

/** How much a program logs, and how. */
export const logLimits = {
  logSize: integer({
    metavar: "MIB",
    default: "4096",
    help: "size the log database may grow to, 0 for no limit",
  }),
  logKeep: integer({
    default: "1",
    help: "former log databases (FILE.1, FILE.2…) to keep when a new one is started because of " +
      "its size; 0 to stop writing instead",
  }),
  logFormat: choice("text", "json")({
    default: "text",
    help: "form of the records on the console",
  }),
};

/** Where a process takes orders. */
export const control = path({
  help: "Unix socket to create, for its owner to flush or reopen the log, or to see the state",
});

const logAndTls = {
  logfile: path({ short: "l", help: "SQLite database that receives the log" }),
  ...logLimits,
  verbose: flag({ short: "v", help: "also show informative records on the console" }),
  ca: path({ help: "certificate authority of the cluster, in PEM format; enables TLS" }),
  cert: path({ help: "certificate of this node, in PEM format" }),
  key: path({ help: "private key of this node, in PEM format, not encrypted" }),
};

const nid = integer({ short: "i", help: "node id to ask for, as an integer (for tests)" });

/** Options of all nodes; the keys of `section` are completed by those of `[DEFAULT]`. */
const node = (section: string) => ({
  ...logAndTls,
  control,
  file: path({ short: "f", commandLineOnly: true, help: "configuration file" }),
  section: text({
    short: "s",
    metavar: "NAME",
    default: section,
    commandLineOnly: true,
    help: "section of the configuration file",
  }),
  cluster: text({ short: "c", metavar: "NAME", required: true, help: "name of the cluster" }),
  metrics: bindAddress({
    help: "address to listen to by HTTP, for Prometheus (/metrics) and supervisors (/health)",
  }),
  dynamicMasterList: path({
    short: "D",
    help: "JSON file where the masters that appear are remembered, created when missing",
  }),
});

interface Common {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  readonly logSize: number;
  readonly logKeep: number;
}

function checkMetrics(metrics: Address | null): void {
  if (metrics?.port === 0) throw new ConfigError("metrics needs a port: expected HOST:PORT");
}

function checkCommon({ ca, cert, key, logSize, logKeep }: Common): void {
  const given = [ca, cert, key].filter((file) => file !== null).length;
  if (given !== 0 && given !== 3) {
    const missing = Object.entries({ ca, cert, key }).filter(([, file]) => file === null);
    throw new ConfigError(
      `TLS needs all of ca, cert and key: ${missing.map(([name]) => name).join(", ")} not given`,
    );
  }
  if (logSize < 0) throw new ConfigError("log-size must not be negative");
  if (logKeep < 0) throw new ConfigError("log-keep must not be negative");
}

/** An id that nodes of another type have would confuse a whole cluster. */
function checkNid(nid: number | null, type: NodeType): void {
  if (nid === null || nodeTypeOf(nid) === type) return;
  const example = nidOf(type, 1);
  throw new ConfigError(
    `nid ${nid} is not that of a ${NodeType[type].toLowerCase()}: ${
      nodeName(example)
    } is ${example}`,
  );
}

function checkBind(bind: Address, mayBeAnyPort: boolean): string[] {
  const warnings = [];
  if (bind.port === 0 && !mayBeAnyPort) {
    warnings.push(
      "bind has no port: listening to any free port, which changes at each start " +
        "and which others can't know",
    );
  }
  if (isWildcard(bind)) {
    warnings.push(
      `bind: other nodes are told to connect to ${bind.host}, which only works on this machine; ` +
        "give the address of an interface",
    );
  }
  return warnings;
}

/** The master. */
export const neomaster = program({
  name: "neomaster",
  summary: "Runs a master node of a NEO cluster.",
  operands: null,
  options: {
    ...node("master"),
    masters: nodeAddresses({ short: "m", default: "", help: "other masters of the cluster" }),
    bind: bindAddress({
      short: "b",
      default: "127.0.0.1:10000",
      help: "address to listen to, also given to other nodes",
    }),
    autostart: integer({
      short: "A",
      help: "create a new cluster as soon as N storages are pending",
    }),
    upstreamCluster: text({
      short: "C",
      metavar: "NAME",
      help: "name of the cluster to back up",
    }),
    upstreamMasters: nodeAddresses({ short: "M", help: "masters of the cluster to back up" }),
    backup: flag({ short: "B", help: "back up at once if the database is empty" }),
    nid,
    replicas: integer({ short: "r", default: "0", help: "extra copies, for a new cluster" }),
    partitions: integer({ short: "p", default: "100", help: "partitions, for a new cluster" }),
  },
  check(options) {
    checkCommon(options);
    checkMetrics(options.metrics);
    checkNid(options.nid, NodeType.MASTER);
    if (options.replicas < 0) throw new ConfigError("replicas must be a positive integer");
    if (options.partitions < 1) throw new ConfigError("partitions must be more than zero");
    if (options.autostart !== null && options.autostart < 1) {
      throw new ConfigError("autostart must be at least 1");
    }
    if (options.upstreamCluster === options.cluster) {
      throw new ConfigError("upstream-cluster must not be the cluster itself");
    }
    const upstreamMasters = options.upstreamMasters ?? [];
    if (options.upstreamCluster !== null && upstreamMasters.length === 0) {
      throw new ConfigError("upstream-cluster needs upstream-masters");
    }
    if (options.upstreamCluster === null && upstreamMasters.length > 0) {
      throw new ConfigError("upstream-masters needs upstream-cluster");
    }
    if (options.backup && options.upstreamCluster === null) {
      throw new ConfigError("backup needs upstream-cluster and upstream-masters");
    }
    return checkBind(options.bind, false);
  },
});

const masters = nodeAddresses({
  short: "m",
  default: "127.0.0.1:10000",
  help: "masters of the cluster",
});

function checkMasters(
  options: { masters: readonly Address[]; dynamicMasterList: string | null },
): void {
  if (options.masters.length === 0 && options.dynamicMasterList === null) {
    throw new ConfigError("masters must not be empty");
  }
}

/** The storage. */
export const neostorage = program({
  name: "neostorage",
  summary: "Runs a storage node of a NEO cluster.",
  operands: null,
  options: {
    ...node("storage"),
    masters,
    bind: bindAddress({
      short: "b",
      default: "127.0.0.1",
      help: "address to listen to, also given to other nodes; any free port if it has none",
    }),
    adapter: choice("MySQL", "MySQLdb", "PyMySQL", "SQLite", "Importer")({
      short: "a",
      default: "MySQL",
      help: "kind of database",
    }),
    database: text({
      short: "d",
      required: true,
      help: "database: [user[:password]@]name[socket] for MySQL, a path for SQLite. " +
        "Passwords are better kept in the configuration file",
    }),
    wait: seconds({
      short: "w",
      default: "0",
      help: "how long to wait for the database, for ever if negative",
    }),
    disablePack: flag({ help: "ignore pack orders" }),
    disableDropPartitions: flag({ help: "keep the data of discarded cells" }),
    newNid: flag({ help: "ask for a new node id, for the copy of a database, then exit" }),
    nid,
    engine: choice("InnoDB", "RocksDB")({
      short: "e",
      help: "MySQL storage engine (default: InnoDB)",
    }),
    dedup: flag({ help: "store equal data once, for a new database" }),
    reset: flag({ help: "erase the database, then exit" }),
  },
  check(options) {
    checkCommon(options);
    checkMasters(options);
    checkMetrics(options.metrics);
    checkNid(options.nid, NodeType.STORAGE);
    if (options.adapter === "Importer") {
      throw new ConfigError("adapter Importer is not supported by this implementation yet");
    }
    if (options.adapter === "SQLite" && options.engine !== null) {
      throw new ConfigError("engine is an option of MySQL, not of SQLite");
    }
    return checkBind(options.bind, true);
  },
});

/** The admin. */
export const neoadmin = program({
  name: "neoadmin",
  summary: "Runs an admin node of a NEO cluster.",
  operands: null,
  options: {
    ...node("admin"),
    masters,
    bind: bindAddress({
      short: "b",
      default: "127.0.0.1:9999",
      help: "address to listen to, also given to other nodes",
    }),
    monitorBackup: texts({ metavar: "NAME", help: "backup cluster to monitor (repeatable)" }),
    monitorMaxlag: seconds({ default: "0", help: "accepted lag of backup clusters" }),
    monitorEmail: texts({ metavar: "ADDRESS", help: "who to tell about problems (repeatable)" }),
    smtp: endpoint({ default: "localhost", help: "mail server" }),
    smtpTls: flag({ help: "use STARTTLS with the mail server" }),
    smtpAuth: credentials({
      help: "account on the mail server; better kept in the configuration file",
    }),
    nid,
  },
  check(options) {
    checkCommon(options);
    checkMasters(options);
    checkMetrics(options.metrics);
    checkNid(options.nid, NodeType.ADMIN);
    if (options.monitorMaxlag < 0) throw new ConfigError("monitor-maxlag must not be negative");
    return checkBind(options.bind, false);
  },
});

/** The command-line tool of operators. */
export const neoctl = program({
  name: "neoctl",
  summary: "Queries and administrates a NEO cluster. Without command, lists the commands.",
  operands: "[COMMAND [ARGUMENT…]]",
  options: {
    ...logAndTls,
    address: nodeAddress(9999)({
      short: "a",
      default: "127.0.0.1:9999",
      help: "address of an admin; port 9999 if it has none",
    }),
    json: flag({ help: "print results as one line of JSON, for programs" }),
    wait: flag({
      help: "wait until what is ordered is done: start, set cluster stopping, tweak, truncate",
    }),
    timeout: seconds({ help: "how long to wait for the command to be done (default: for ever)" }),
  },
  check(options) {
    checkCommon(options);
    if (options.timeout !== null && options.timeout <= 0) {
      throw new ConfigError("timeout must be more than zero");
    }
    return [];
  },
});

/** All programs, to tell whose an option is. */
export const PROGRAMS: readonly { readonly options: OptionTable }[] = [
  neomaster,
  neostorage,
  neoadmin,
  neoctl,
];
