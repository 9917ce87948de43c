/**
 * `deno task bench`: what the cluster does, next to the raw limits measured in the same run. Its
 * options are told by `--help`.
 *
 * @module
 */

import { parseArgs } from "node:util";

import { hasMariadb, Mariadb } from "../tests/support/mariadb.ts";
import { measureCluster } from "./cluster.ts";
import { measureFailover } from "./failover.ts";
import { measureImport } from "./import.ts";
import { measureMetrics } from "./metrics.ts";
import { measurePack } from "./pack.ts";
import { echo, mariadbLimits, sqliteLimits } from "./raw.ts";
import { copySqlite, measureReplication } from "./replication.ts";
import { type Figure, reached, table } from "./report.ts";

const HELP = `Usage: deno task bench [--sqlite | --mariadb] [--size MB]

Measures a cluster of real processes for a few minutes, and prints each figure
next to the raw limit measured in the same run.

  --sqlite   only clusters that keep their data in SQLite
  --mariadb  only those that keep it in MariaDB
  --size MB  data that is replicated to a storage that is added, 100 by default
  --help     show this text

Exit status: 0 if all targets are reached, 1 if one is missed, 2 if an option is
wrong or MariaDB is asked for and not installed.
`;

async function measureSqlite(roundTrip: number, megabytes: number): Promise<Figure[]> {
  const folder = await Deno.makeTempDir();
  try {
    const raw = await sqliteLimits(folder);
    const database = (
      name: string,
    ) => [{ adapter: "SQLite", database: `${folder}/${name}.sqlite` }];
    return [
      ...await measureCluster("SQLite", database("storage"), raw, roundTrip),
      ...await measureMetrics("SQLite", database("plain"), database("watched")),
      ...await measureImport("SQLite", database("import")),
      ...await measureFailover("SQLite", [...database("replica1"), ...database("replica2")]),
      ...await measurePack("SQLite", database("pack")),
      ...await measureReplication({
        backend: "SQLite",
        databases: ["source", "target1", "target2"].flatMap(database),
        megabytes,
        copy: copySqlite,
      }),
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function measureMariadb(roundTrip: number, megabytes: number): Promise<Figure[]> {
  const server = await Mariadb.start(
    "--innodb-buffer-pool-size=256M",
    "--innodb-log-file-size=256M",
  );
  try {
    const raw = await mariadbLimits(server.url(await server.createDatabase()));
    const database = async () => [
      { adapter: "MySQL", database: server.address(await server.createDatabase()) },
    ];
    return [
      ...await measureCluster("MariaDB", await database(), raw, roundTrip),
      ...await measureImport("MariaDB", await database()),
      ...await measurePack("MariaDB", await database()),
      ...await measureReplication({
        backend: "MariaDB",
        databases: (await Promise.all([1, 2, 3].map(database))).flat(),
        megabytes,
      }),
    ];
  } finally {
    await server.stop();
  }
}

type Backend = "sqlite" | "mariadb";

/** What is measured. */
interface Settings {
  readonly backends: ReadonlySet<Backend>;
  readonly megabytes: number;
}

/**
 * What to measure, or what to print instead.
 *
 * @throws {TypeError} if an option is not known, {@linkcode RangeError} if it can't be done.
 */
function parse(args: string[]): Settings | "help" {
  const { values } = parseArgs({
    args,
    options: {
      sqlite: { type: "boolean" },
      mariadb: { type: "boolean" },
      size: { type: "string", default: "100" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return "help";
  const megabytes = Number(values.size);
  if (!Number.isSafeInteger(megabytes) || megabytes < 1) {
    throw new RangeError(`--size must be a number of MB, at least 1, not '${values.size}'`);
  }
  if (values.mariadb && !hasMariadb) throw new RangeError("MariaDB is not installed");
  const both = values.sqlite === values.mariadb;
  const backends = new Set<Backend>();
  if (both || values.sqlite) backends.add("sqlite");
  if ((both || values.mariadb) && hasMariadb) backends.add("mariadb");
  return { backends, megabytes };
}

async function main(): Promise<number> {
  let settings: Settings | "help";
  try {
    settings = parse(Deno.args);
  } catch (error) {
    console.error(`bench: error: ${(error as Error).message}\nTry 'deno task bench --help'.`);
    return 2;
  }
  if (settings === "help") {
    console.log(HELP.trimEnd());
    return 0;
  }
  const { backends, megabytes } = settings;
  console.error("measuring for a few minutes…");
  if (!hasMariadb) console.error("MariaDB is not installed and not measured");
  const roundTrip = await echo();
  const figures: Figure[] = [
    { backend: "", what: "echo over loopback TCP", value: roundTrip, unit: "µs" },
  ];
  if (backends.has("sqlite")) figures.push(...await measureSqlite(roundTrip, megabytes));
  if (backends.has("mariadb")) figures.push(...await measureMariadb(roundTrip, megabytes));
  console.log(table(figures));
  const missed = figures.filter((figure) => !reached(figure));
  if (missed.length === 0) return 0;
  console.error(`${missed.length} of the targets missed`);
  return 1;
}

if (import.meta.main) Deno.exit(await main());
