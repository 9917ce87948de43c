/**
 * The program of the storage node.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-write --allow-env --allow-sys --allow-ffi \
 *   storage/main.ts --cluster test --masters 127.0.0.1:10000 --adapter SQLite --database test.sqlite
 * ```
 *
 * | permission | for |
 * |---|---|
 * | `--allow-net` | listening to clients and storages, connecting to masters; the control socket |
 * | `--allow-read` | the database, configuration file, certificates, log database, control socket, list of masters |
 * | `--allow-write` | the database, log database, control socket, list of masters |
 * | `--allow-env` | the home directory, for paths that start with `~`; accounts of databases |
 * | `--allow-sys` | the host name, so that copies are kept on different machines |
 * | `--allow-ffi` | the lock of a SQLite database; real-time signals |
 *
 * @module
 */

import { ConfigError } from "../node/errors.ts";
import type { DatabaseCounters } from "../node/measures.ts";
import { runNode } from "../node/process.ts";
import { neostorage } from "../node/programs.ts";
import { ExitStatus } from "../node/supervise.ts";
import { knownMasters, openSurroundings } from "../node/surroundings.ts";
import { DatabaseError, openDatabase } from "./database/mod.ts";
import { Storage } from "./mod.ts";

if (import.meta.main) {
  await runNode(neostorage, async (options, log, signal) => {
    const { adapter, database, wait, engine, dedup, disableDropPartitions } = options;
    if (adapter === "Importer") throw new ConfigError("adapter Importer is not supported yet");
    const open = async (reset: boolean, counters: DatabaseCounters | null = null) => {
      try {
        return await openDatabase(adapter, {
          database,
          wait,
          engine,
          dedup,
          reset,
          disableDropPartitions,
          log: (level, message) => log[level](message),
          ...counters !== null && { onCommit: counters.onCommit },
        });
      } catch (error) {
        if (error instanceof DatabaseError) throw new ConfigError(error.message, { cause: error });
        throw error;
      }
    };
    if (options.reset) {
      await (await open(true)).close();
      log.info("the database is erased");
      return ExitStatus.SUCCESS;
    }
    const surroundings = await openSurroundings("neostorage", options, log);
    const { cluster, bind, nid, newNid, disablePack } = options;
    const storage = new Storage(surroundings.env, {
      cluster,
      bind,
      nid,
      newNid,
      disablePack,
      masters: knownMasters(surroundings, options),
      onMasters: surroundings.saveMasters,
      openDatabase: () => open(false, surroundings.database),
    });
    surroundings.watch(() => storage.measure());
    log.describe = () => storage.dump();
    await storage.run(signal);
    return ExitStatus.SUCCESS;
  });
}
