/**
 * Nodes that are wrong on purpose, to see whether runs notice.
 *
 * @module
 */

import { ObjectCache } from "../client/cache.ts";
import { InvolvedNodes } from "../client/involved_nodes.ts";
import { LastIds } from "../master/last_ids.ts";
import { MasterPartitionTable } from "../master/partition_table.ts";
import { Readiness } from "../master/readiness.ts";
import type { Database } from "../storage/database/database.ts";
import { ReadLocks } from "../storage/read_locks.ts";
import { Transactions } from "../storage/transactions.ts";
import { WriteLocks } from "../storage/locks.ts";
import type { Alterations } from "./cluster.ts";
import { tamperMessages } from "./tamper.ts";

/** A way to be wrong. */
export interface Mutant {
  /** What is wrong. */
  readonly name: string;
  readonly alterations?: Alterations;
  /** Changes the code that runs; the result changes it back. */
  readonly patch?: () => () => void;
}

/** Replaces a method of a class for all its objects; the result puts it back. */
function replace<T extends object, K extends keyof T>(
  prototype: T,
  method: K,
  make: (original: T[K]) => T[K],
): () => void {
  const original = prototype[method];
  prototype[method] = make(original);
  return () => {
    prototype[method] = original;
  };
}

/** Changes each database that is opened. */
function database(name: string, change: (database: Database) => void): Mutant {
  return { name, alterations: { database: change } };
}

/** All mutants. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "an fsync does nothing",
    alterations: {
      disk: (disk) => {
        const { apply } = disk;
        disk.apply = (writes) => apply.call(disk, writes, false);
      },
    },
  },
  database("a vote is answered before it is durable", (database) => {
    const { vote } = database;
    database.vote = (...args) => {
      vote.apply(database, args).catch(() => {});
      return Promise.resolve();
    };
  }),
  database("a lock is answered before the final tid is durable", (database) => {
    const { lock } = database;
    database.lock = (...args) => {
      lock.apply(database, args).catch(() => {});
      return Promise.resolve();
    };
  }),
  database("the final tid is not saved", (database) => {
    database.lock = () => Promise.resolve();
  }),
  database("an unlock forgets one object", (database) => {
    const { unlock } = database;
    database.unlock = (ttid, tid, objects, hasMetadata) =>
      unlock.call(database, ttid, tid, objects.slice(1), hasMetadata);
    const { vote } = database;
    database.vote = (ttid, objects, metadata, pack) =>
      vote.call(database, ttid, objects.slice(1), metadata, pack);
  }),
  database("conflicts are not noticed", (database) => {
    const { lastSerial } = database;
    database.lastSerial = async (oid) => {
      await lastSerial.call(database, oid);
      return null;
    };
  }),
  database("the verification does not finish what was locked", (database) => {
    database.validate = () => Promise.resolve();
  }),
  database("storages do not find the final tids of what they committed", (database) => {
    database.finalTid = () => Promise.resolve(null);
  }),
  database("changes of the partition table are not saved", (database) => {
    const { changePartitionTable } = database;
    database.changePartitionTable = (ptid, replicas, changes, reset, lastPack) =>
      changePartitionTable.call(database, ptid, replicas, reset ? changes : [], reset, lastPack);
  }),
  database("what was not finished is never dropped", (database) => {
    database.dropUnfinished = () => Promise.resolve();
  }),
  {
    name: "read locks are ignored",
    patch: () => replace(ReadLocks.prototype, "hasObject", () => () => false),
  },
  {
    name: "a write lock is given to two transactions",
    patch: () => {
      const undo = [
        replace(WriteLocks.prototype, "get", () => () => undefined),
        replace(WriteLocks.prototype, "take", (take) =>
          function (this: WriteLocks, oid, owner) {
            try {
              take.call(this, oid, owner);
            } catch {
              // The other one keeps it too.
            }
          }),
      ];
      return () => undo.forEach((undo) => undo());
    },
  },
  {
    name: "the cells of a storage that is lost are not outdated",
    patch: () => replace(MasterPartitionTable.prototype, "outdate", () => () => []),
  },
  {
    name: "storages keep the transactions of clients that are gone",
    patch: () => replace(Transactions.prototype, "clientGone", () => () => {}),
  },
  {
    name: "storages forget what they voted when a connection is lost",
    patch: () =>
      replace(
        Transactions.prototype,
        "connectionLost",
        () =>
          function (this: Transactions, client) {
            for (const { ttid } of [...client.transactions]) this.abort(ttid, false);
          },
      ),
  },
  {
    name: "a master does not learn the last ids of its storages",
    patch: () => replace(LastIds.prototype, "learn", () => () => {}),
  },
  {
    name: "a storage that came back is trusted with transactions begun before",
    patch: () =>
      replace(Readiness.prototype, "isReady", (isReady) =>
        function (this: Readiness, nid) {
          return isReady.call(this, nid);
        }),
  },
  {
    name: "a client keeps in its cache what others changed",
    patch: () => replace(ObjectCache.prototype, "invalidate", () => () => {}),
  },
  {
    name: "a client does not tell that it could not write to a storage",
    patch: () => replace(InvolvedNodes.prototype, "lost", () => () => {}),
  },
  {
    name: "invalidations get lost",
    alterations: {
      tamper: () =>
        tamperMessages(({ name, bytes }) => name === "InvalidateObjects" ? [] : [bytes]),
    },
  },
  {
    name: "invalidations come after what follows them",
    alterations: {
      tamper: () =>
        tamperMessages(({ name, bytes, held }) => {
          if (name !== "InvalidateObjects") return [bytes, ...held.splice(0)];
          held.push(bytes);
          return [];
        }),
    },
  },
  {
    name: "unlocks come in the wrong order",
    alterations: {
      tamper: () =>
        tamperMessages(({ name, bytes, held }) => {
          if (name !== "NotifyUnlockInformation") return [bytes];
          if (held.length > 0) return [bytes, ...held.splice(0)];
          held.push(bytes);
          return [];
        }),
    },
  },
];
