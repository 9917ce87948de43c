/** The client with real nodes, in clusters of several kinds, does what users of ZODB rely on. */

import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { type Databases, mariadb, sqlite } from "./databases.ts";
import { type Configuration, type Lines, runLines } from "./harness.ts";
import { basicStorage } from "./basic_storage.ts";
import { concurrency, races } from "./concurrency.ts";
import { conflictResolution } from "./conflict_resolution.ts";
import { databaseLevel } from "./database_level.ts";
import { externalGc } from "./external_gc.ts";
import { iteration } from "./iteration.ts";
import { packLines } from "./pack.ts";
import { persistence, readOnly } from "./persistence.ts";
import { recovery } from "./recovery.ts";
import { history, revisions } from "./revisions.ts";
import { failures } from "./scenarios_failures.ts";
import { conflicts, objects } from "./scenarios_objects.ts";
import { synchronizedStorage } from "./synchronized_storage.ts";

import { undoAndPack, undoLines } from "./undo.ts";

const SECTIONS: Readonly<Record<string, Lines>> = {
  "basic storage": basicStorage,
  "synchronized storage": synchronizedStorage,
  "conflict resolution": conflictResolution,
  revisions,
  history,
  iteration,
  pack: packLines,
  undo: undoLines,
  "undo and pack": undoAndPack,
  recovery,
  "external GC": externalGc,
  persistence,
  "read-only": readOnly,
  races,
  concurrency,
  "database level": databaseLevel,
  "scenarios of objects": objects,
  "scenarios of conflicts": conflicts,
  "scenarios of failures": failures,
};

const KINDS = [
  { storages: 1, partitions: 1, replicas: 0 },
  { storages: 3, partitions: 5, replicas: 1 },
];

function register(database: string, databases: Databases): void {
  for (const kind of KINDS) {
    const { storages, partitions, replicas } = kind;
    const name =
      `${database}, ${storages} storages, ${partitions} partitions, ${replicas} replicas`;
    const configuration: Configuration = { ...kind, name, databases };
    for (const [section, lines] of Object.entries(SECTIONS)) {
      Deno.test(`${section} (${name})`, (context) => runLines(context, configuration, lines));
    }
  }
}

register("SQLite", sqlite);

if (hasMariadb) {
  let server: Mariadb;
  Deno.test.beforeAll(async () => {
    server = await Mariadb.start();
  });
  Deno.test.afterAll(() => server.stop());
  register("MariaDB", mariadb(() => server));
}
