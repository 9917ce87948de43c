/**
 * The programs of server nodes.
 *
 * @module
 */

import { Admin } from "../admin/mod.ts";
import { Master } from "../master/mod.ts";
import type { Address } from "../protocol/nodes.ts";
import type { Database } from "../storage/database/database.ts";
import { openSqlDatabase } from "../storage/database/sql_database.ts";
import { Storage } from "../storage/mod.ts";
import type { Disk } from "./disk.ts";
import type { Program } from "./node.ts";

/** Name of the cluster. */
export const CLUSTER = "simulation";
/** Port of masters. */
export const MASTER_PORT = 10_000;

/** Port of admins. */
export const ADMIN_PORT = 30_000;
/** Port of storages. */
export const STORAGE_PORT = 20_000;

/** How a cluster is created. */
export interface ClusterOptions {
  readonly masters: readonly Address[];
  readonly partitions: number;
  readonly replicas: number;
  /** Storages that are enough to create the cluster; `null` once it is created. */
  readonly autostart: () => number | null;
}

/** A master that listens at one of the addresses of the cluster. */
export function masterProgram(bind: Address, options: ClusterOptions): Program {
  return ({ env }, signal) => {
    const master = new Master(env, {
      cluster: CLUSTER,
      bind,
      masters: options.masters,
      nid: null,
      partitions: options.partitions,
      replicas: options.replicas,
      autostart: options.autostart(),
    });
    return { done: master.run(signal), dump: () => master.dump() };
  };
}

/** A storage that has its database on a disk. */
export function storageProgram(
  host: string,
  disk: Disk,
  options: ClusterOptions,
  onOpen: (database: Database) => void = () => {},
): Program {
  return ({ env }, signal) => {
    const storage = new Storage(env, {
      cluster: CLUSTER,
      bind: { host, port: STORAGE_PORT },
      masters: options.masters,
      nid: null,
      newNid: false,
      disablePack: false,
      openDatabase: async () => {
        const database = await openSqlDatabase(await disk.open(), {
          database: ":memory:",
          wait: 0,
          engine: null,
          dedup: false,
          reset: false,
          disableDropPartitions: false,
          log: (level, message) => env.log[level](message),
          now: () => env.monotonic(),
          setTimer: (callback, milliseconds) => env.setTimer(milliseconds, callback),
        });
        onOpen(database);
        return database;
      },
    });
    return { done: storage.run(signal), dump: () => storage.dump() };
  };
}

/** An admin node. */
export function adminProgram(host: string, options: ClusterOptions): Program {
  return ({ env }, signal) => {
    const admin = new Admin(env, {
      cluster: CLUSTER,
      bind: { host, port: ADMIN_PORT },
      masters: options.masters,
    });
    return { done: admin.run(signal), dump: () => admin.dump() };
  };
}
