/** The life of a storage: initialization, operation, leaving, coming back, ending. */

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { CellState, ClusterState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { MAX_TID } from "../../protocol/ids.ts";
import { type Database, DatabaseError, openDatabase } from "../../storage/database/mod.ts";
import {
  bytes,
  client,
  commit,
  oid,
  quiet,
  type Scene,
  SELF,
  start,
  tid,
  until,
  withScene,
  ZERO_TID,
} from "./support.ts";

/** Runs a test with the path of a database that does not exist yet. */
async function withPath(test: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "neo-storage-" });
  try {
    await test(`${folder}/db.sqlite`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("Storage introduces itself with its address, cluster and devices", async () => {
  await withScene({ operational: false }, async ({ master, storage }) => {
    const [identification] = master.identifications;
    assert.ok(identification);
    const { type, nid, address, cluster, idTimestamp, extra } = identification;
    assert.deepEqual([type, nid, cluster, idTimestamp], [NodeType.STORAGE, null, "test", null]);
    assert.deepEqual(address, await storage.address);
    assert.deepEqual([...extra.keys()], ["devpath", "new_nid"]);
    assert.deepEqual(extra.get("new_nid"), []);
    const devices = extra.get("devpath");
    assert.ok(Array.isArray(devices) && devices.every((device) => device instanceof Uint8Array));
  });
});

Deno.test("Storage answers the questions of recovery and verification when it is new", async () => {
  await withScene({ operational: false }, async ({ master }) => {
    assert.deepEqual(await master.ask("AskRecovery", {}).got(), {
      ptid: null,
      backupTid: null,
      truncateTid: null,
    });
    master.notify("NotifyClusterInformation", { state: ClusterState.VERIFYING });
    master.table(CellState.UP_TO_DATE, CellState.UP_TO_DATE);
    assert.deepEqual(await master.ask("AskLockedTransactions", {}).got(), {
      transactions: new Map(),
    });
    assert.deepEqual(await master.ask("AskLastIDs", {}).got(), {
      lastTid: null,
      lastOid: null,
      firstTid: MAX_TID,
    });
    assert.deepEqual(master.all("NotifyPackCompleted"), [{ id: ZERO_TID }]);
    assert.deepEqual(await master.ask("AskPackOrders", { minId: tid(1) }).got(), { orders: [] });
    assert.deepEqual(await master.ask("AskFinalTID", { ttid: tid(1) }).got(), { tid: null });
  });
});

Deno.test("Storage says NotifyPackCompleted before the answer to AskLastIDs", async () => {
  await withScene({ operational: false }, async ({ master }) => {
    master.table(CellState.UP_TO_DATE);
    await new Promise<void>((resolve, reject) => {
      master.connection.request("AskLastIDs", {}, () => {
        const { names } = master;
        if (names.includes("NotifyPackCompleted")) resolve();
        else reject(new Error(`only ${names}`));
      }, reject);
    });
  });
});

Deno.test("Storage keeps its id, partition table and data when it restarts", async () => {
  await withPath(async (database) => {
    await withScene({ database }, async (scene) => {
      const c1 = await scene.connect(client(1));
      await commit(scene, c1, tid(100), oid(2), ZERO_TID, "x");
    });
    await withScene({ database, operational: false }, async ({ master }) => {
      assert.equal(master.identifications[0]?.nid, SELF);
      assert.equal((await master.ask("AskRecovery", {}).got()).ptid, 1);
      assert.deepEqual(await master.ask("AskPartitionTable", {}).got(), {
        ptid: 1,
        replicas: 0,
        rows: Array(2).fill([{ nid: SELF, state: CellState.UP_TO_DATE }]),
      });
      assert.deepEqual(await master.ask("AskLastIDs", {}).got(), {
        lastTid: tid(100),
        lastOid: oid(2),
        firstTid: tid(100),
      });
    });
  });
});

Deno.test("Storage only asks for another id when told so", async () => {
  await withPath(async (database) => {
    await withScene({ database }, async () => {});
    const options = { newNid: true };
    await withScene({ database, operational: false, options, nid: 7 }, async (scene) => {
      const [identification] = scene.master.identifications;
      assert.deepEqual([identification?.nid, identification?.address], [null, null]);
      assert.deepEqual(identification?.extra.get("new_nid"), [0, 1]);
      scene.master.nodes(self(NodeState.DOWN, 7));
      await scene.ended;
    });
    await withScene({ database, operational: false, nid: 7 }, async ({ master }) => {
      assert.equal(master.identifications[0]?.nid, 7);
      const { rows } = await master.ask("AskPartitionTable", {}).got();
      // It must not serve alone: the other one may have gone on.
      const cells = [{ nid: SELF, state: CellState.UP_TO_DATE }, {
        nid: 7,
        state: CellState.OUT_OF_DATE,
      }];
      assert.deepEqual(rows, [cells, cells]);
    });
  });
});

Deno.test("run() rejects when a new id is wanted for an empty database", async () => {
  await withScene({ starts: false, options: { newNid: true } }, async ({ ended }) => {
    await assert.rejects(ended, { name: "ConfigError", message: /empty/ });
  });
});

Deno.test("Storage refuses a partition table that it can't use", async () => {
  await withScene({ operational: false }, async ({ master }) => {
    master.notify("SendPartitionTable", { ptid: null, replicas: 0, rows: [] });
    await until(() => master.closed, "the master is left");
  });
  await withScene({ operational: false }, async ({ master }) => {
    master.notify("SendPartitionTable", { ptid: 1, replicas: 0, rows: [[]] });
    await until(() => master.closed, "the master is left");
  });
});

Deno.test("Truncate deletes what follows when the master asks for the last ids", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    const c1 = await scene.connect(client(1));
    for (const n of [100, 200]) await commit(scene, c1, tid(n), oid(n), ZERO_TID, "x");
    master.notify("StopOperation", {});
    master.notify("Truncate", { tid: tid(150) });
    assert.deepEqual(await master.ask("AskRecovery", {}).got(), {
      ptid: 1,
      backupTid: null,
      truncateTid: tid(150),
    });
    const { lastTid, lastOid } = await master.ask("AskLastIDs", {}).got();
    assert.deepEqual([lastTid, lastOid], [tid(100), oid(100)]);
    assert.equal((await master.ask("AskRecovery", {}).got()).truncateTid, null);
    assert.ok(!master.names.includes("Truncate"));
  });
});

Deno.test("StartOperation in backup mode is refused until it exists", async () => {
  await withScene({ operational: false }, async (scene) => {
    scene.master.table(CellState.UP_TO_DATE);
    scene.master.notify("StartOperation", { backup: true });
    await until(() => scene.master.closed, "the master is left");
    scene.log.assertHas(/backup mode is not supported yet/);
  });
});

Deno.test("StopOperation disconnects clients and drops what was not voted", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    const c1 = await scene.connect(client(1));
    await c1.store(tid(100), oid(2), ZERO_TID, "voted").got();
    await c1.vote(tid(100), [oid(2)]).got();
    await c1.store(tid(102), oid(4), ZERO_TID, "not voted").got();
    master.notify("StopOperation", {});
    await until(() => c1.closed, "the client is left");
    assert.deepEqual(await master.ask("AskRecovery", {}).got(), {
      ptid: 1,
      backupTid: null,
      truncateTid: null,
    });
    assert.deepEqual(await master.ask("AskLockedTransactions", {}).got(), {
      transactions: new Map([[tid(100), null]]),
    });
    assert.ok(!master.closed);
    const [row] = await dataRows(scene);
    assert.equal(row, 1, "the data that was not voted is deleted");
    master.announce(client(1), NodeState.UNKNOWN);
    await start(scene);
    assert.deepEqual(await dataRows(scene), [0]);
    const again = await scene.connect(client(1));
    await commit(scene, again, tid(104), oid(2), ZERO_TID, "x");
  });
});

Deno.test("Storage claims the id that a master gave it once it has a partition table", async () => {
  await withScene({ operational: false }, async (scene) => {
    const { master, clock } = scene;
    const lose = async (count: number) => {
      master.connection.close();
      await quiet();
      await clock.advance(1000);
      await until(() => master.identifications.length === count, "the master is found again");
      return master.identifications.at(-1)?.nid;
    };
    assert.equal(await lose(2), null);
    master.table(CellState.UP_TO_DATE, CellState.UP_TO_DATE);
    await master.ask("AskLastIDs", {}).got();
    assert.equal(await lose(3), SELF);
  });
});

for (
  const [what, nid] of [["without cells takes another id", null], [
    "with cells keeps its id",
    SELF,
  ]] as const
) {
  Deno.test(`Storage ${what} when its own is refused`, async () => {
    await withScene({ operational: false }, async ({ master, clock }) => {
      const rows = [[{ nid: nid ?? 9, state: CellState.UP_TO_DATE }]];
      master.notify("SendPartitionTable", { ptid: 1, replicas: 0, rows });
      await master.ask("AskRecovery", {}).got();
      master.refusal = "already connected: another one has this id";
      master.connection.close();
      const asked: unknown[] = [];
      for (let count = 2; count < 5; count++) {
        if (count === 4) master.refusal = null;
        while (master.identifications.length < count) {
          await quiet();
          await clock.advance(1000);
        }
        asked.push(master.identifications.at(-1)?.nid);
      }
      assert.deepEqual(asked, [SELF, nid, nid]);
    });
  });
}

Deno.test("Storage does not take the id of another one that it knows", async () => {
  await withScene({ operational: false }, async ({ master, clock, held }) => {
    const rows = [[{ nid: 9, state: CellState.UP_TO_DATE }]];
    master.notify("SendPartitionTable", { ptid: 1, replicas: 0, rows });
    await master.ask("AskRecovery", {}).got();
    master.nid = 9;
    master.connection.close();
    const searched = async (ended: () => boolean) => {
      while (!ended()) {
        await quiet();
        await clock.advance(1000);
      }
      await quiet();
    };
    await searched(() => master.identifications.length > 1);
    assert.equal(held().database.nid, SELF);
    master.nid = 5;
    await searched(() => held().database.nid === 5);
    const { rows: saved } = await master.ask("AskPartitionTable", {}).got();
    assert.deepEqual(saved, rows);
  });
});

Deno.test("AskRecovery is answered once what the master said before is durable", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    scene.held().hold("flush");
    const cells = [{ partition: 0, nid: SELF, state: CellState.OUT_OF_DATE }];
    master.notify("NotifyPartitionChanges", { ptid: 2, replicas: 0, cells });
    master.notify("StopOperation", {});
    let answered = false;
    const asked = master.ask("AskRecovery", {}).got();
    asked.finally(() => answered = true);
    await until(() => scene.held().waiting("flush") > 0, "a flush");
    await quiet();
    assert.equal(answered, false);
    await scene.held().release("flush");
    assert.equal((await asked).ptid, 2);
  });
});

/** Number of rows of raw data that can be read back. */
async function dataRows({ held }: Scene): Promise<number[]> {
  await held().database.flush();
  let rows = 0;
  for (let id = 0n; id < 10n; id++) {
    const found = await held().real.loadData(id).then(() => true, () => false);
    if (found) rows++;
  }
  return [rows];
}

Deno.test("a lock that ends after the operation is not answered", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    const c1 = await scene.connect(client(1));
    await c1.vote(tid(100)).got();
    scene.held().hold("lock");
    const lock = master.ask("AskLockInformation", { ttid: tid(100), tid: tid(100), pack: false });
    await quiet();
    master.notify("StopOperation", {});
    await quiet();
    await scene.held().release("lock");
    assert.ok(lock.pending);
    assert.deepEqual(await master.ask("AskLockedTransactions", {}).got(), {
      transactions: new Map([[tid(100), tid(100)]]),
    });
  });
});

Deno.test("ValidateTransaction commits what was voted before", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    const c1 = await scene.connect(client(1));
    await c1.store(tid(100), oid(2), ZERO_TID, "x").got();
    await c1.vote(tid(100), [oid(2)]).got();
    master.notify("StopOperation", {});
    master.notify("ValidateTransaction", { ttid: tid(100), tid: tid(102) });
    const { lastTid } = await master.ask("AskLastIDs", {}).got();
    assert.equal(lastTid, tid(102));
    assert.deepEqual(await master.ask("AskFinalTID", { ttid: tid(100) }).got(), { tid: tid(102) });
    master.announce(client(1), NodeState.UNKNOWN);
    await start(scene);
    const c2 = await scene.connect(client(2));
    assert.deepEqual((await c2.load(oid(2)).got()).data, bytes("x"));
  });
});

/** How far a commit goes before the crash, and what a restarted node may say of it. */
const CRASHES: Record<string, { steps: number; locked: Map<bigint, bigint | null>[] }> = {
  "before the vote": { steps: 1, locked: [new Map()] },
  "after the vote": { steps: 2, locked: [new Map([[100n, null]])] },
  "after the lock": { steps: 3, locked: [new Map([[100n, 102n]])] },
  // The unlock is not durable by itself: the same question may be asked and answered again.
  "after the unlock": { steps: 4, locked: [new Map([[100n, 102n]]), new Map()] },
};

for (const [when, { steps, locked }] of Object.entries(CRASHES)) {
  Deno.test(`the database has what is needed to recover from a crash ${when}`, async () => {
    await withPath(async (database) => {
      const copy = `${database}.copy`;
      await withScene({ database }, async (scene) => {
        const { master } = scene;
        const c1 = await scene.connect(client(1));
        await c1.store(tid(100), oid(2), ZERO_TID, "x").got();
        if (steps > 1) await c1.vote(tid(100), [oid(2)]).got();
        if (steps > 2) await master.lock(tid(100), tid(102));
        if (steps > 3) master.unlock(tid(100));
        await quiet();
        // A crash keeps the files as they are.
        await Deno.copyFile(database, copy);
        await Deno.copyFile(`${database}-wal`, `${copy}-wal`);
      });
      await withScene({ database: copy, operational: false }, async (scene) => {
        const { master } = scene;
        const { transactions } = await master.ask("AskLockedTransactions", {}).got();
        assert.ok(locked.some((expected) => isDeepStrictEqual(transactions, expected)));
        const decided = transactions.get(tid(100)) ?? null;
        if (decided !== null) {
          master.notify("ValidateTransaction", { ttid: tid(100), tid: tid(102) });
        }
        await start(scene);
        const c1 = await scene.connect(client(1));
        if (steps < 3) await c1.load(oid(2)).refused(ErrorCode.OID_DOES_NOT_EXIST);
        else assert.equal((await c1.load(oid(2)).got()).serial, tid(102));
        assert.equal((await scene.held().database.lockedTransactions()).size, 0);
      });
    });
  });
}

function self(state: NodeState, nid = SELF) {
  return {
    type: NodeType.STORAGE,
    address: { host: "127.0.0.1", port: 1 },
    nid,
    state,
    idTimestamp: null,
  };
}

Deno.test("Storage ends when the master says that it is down", async () => {
  await withPath(async (database) => {
    await withScene({ database }, async (scene) => {
      const c1 = await scene.connect(client(1));
      await commit(scene, c1, tid(100), oid(2), ZERO_TID, "x");
      scene.master.nodes(self(NodeState.DOWN));
      await scene.ended;
      await until(() => c1.closed && scene.master.closed, "everybody is left");
    });
    await withScene({ database, operational: false }, async ({ master }) => {
      assert.equal((await master.ask("AskLastIDs", {}).got()).lastTid, tid(100));
    });
  });
});

Deno.test("Storage erases its database when it is removed from the cluster", async () => {
  await withPath(async (database) => {
    await withScene({ database }, async (scene) => {
      scene.master.nodes(self(NodeState.UNKNOWN));
      await scene.ended;
    });
    await withScene({ database, operational: false }, async ({ master }) => {
      assert.equal(master.identifications[0]?.nid, null);
      assert.equal((await master.ask("AskRecovery", {}).got()).ptid, null);
    });
  });
});

Deno.test("Storage does not erase anything when other nodes are removed", async () => {
  await withScene({}, async (scene) => {
    scene.master.nodes(self(NodeState.UNKNOWN, 2), {
      ...self(NodeState.UNKNOWN),
      type: NodeType.CLIENT,
      nid: client(1),
    });
    await quiet();
    assert.ok(!scene.master.closed);
  });
});

Deno.test("Storage leaves clients and looks for a master when it loses its own", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    const c1 = await scene.connect(client(1));
    await c1.store(tid(100), oid(2), ZERO_TID, "x").got();
    master.connection.close();
    await until(() => c1.closed, "the client is left");
    await scene.clock.advance(1000);
    await until(() => master.identifications.length === 2, "the master is found again");
    assert.equal(master.identifications[1]?.nid, SELF);
    await start(scene);
    const c2 = await scene.connect(client(2));
    await commit(scene, c2, tid(102), oid(2), ZERO_TID, "y");
  });
});

Deno.test("Storage learns other masters from the primary", async () => {
  const learned: unknown[] = [];
  const options = { onMasters: (masters: readonly unknown[]) => learned.push(...masters) };
  await withScene({ options }, async ({ master }) => {
    const address = { host: "127.0.0.1", port: 10001 };
    master.nodes({
      type: NodeType.MASTER,
      address,
      nid: null,
      state: NodeState.DOWN,
      idTimestamp: null,
    });
    await quiet();
    assert.deepEqual(learned.at(-1), address);
  });
});

Deno.test("Storage leaves a master that is not the primary any more", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const masters = [{ host: "127.0.0.1", port: 10001 }];
    scene.master.notify("NotPrimaryMaster", { primary: null, masters });
    await until(() => c1.closed && scene.master.closed, "everybody is left");
    assert.match(scene.storage.dump(), /masters: 127.0.0.1:10000 127.0.0.1:10001/);
    await scene.clock.advance(2000);
    await until(() => scene.master.identifications.length === 2, "it is back");
  });
});

Deno.test("Storage asks again when a master does not answer", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    const { onMessage } = master;
    let ignored = 0;
    master.onMessage = () => ignored++;
    master.connection.close();
    await quiet();
    await scene.clock.advance(1000);
    await until(() => ignored === 1, "the master is asked");
    master.onMessage = onMessage;
    await scene.clock.advance(60_000);
    await until(() => master.identifications.length === 2, "it is asked again");
  });
});

Deno.test("Storage leaves a master that asks for what the database can't hold", async () => {
  await withScene({ operational: false }, async (scene) => {
    scene.master.notify("Truncate", { tid: tid(2 ** 63) });
    await until(() => scene.master.closed, "the master is left");
    scene.log.assertHas(/ERROR the master asks for what .* 2\^63/);
    await scene.clock.advance(1000);
    await until(() => scene.master.identifications.length === 2, "it is back");
  });
});

Deno.test("Storage ends its session when something unexpected fails, and comes back", async () => {
  await withScene({ operational: false }, async (scene) => {
    scene.held().breakMethod("setTruncateTid");
    scene.master.notify("Truncate", { tid: tid(1) });
    await until(() => scene.master.closed, "the master is left");
    scene.log.assertHas(/ERROR unexpected failure: Error: a bug/);
    await scene.clock.advance(1000);
    await until(() => scene.master.identifications.length === 2, "it is back");
  });
});

Deno.test("Storage leaves the cluster when its database fails, and comes back with it", async () => {
  await withScene({}, async (scene) => {
    const { master, log, clock } = scene;
    const c1 = await scene.connect(client(1));
    await scene.held().fail("disk full");
    await until(() => c1.closed && master.closed, "everybody is left");
    log.assertHas(/ERROR the database failed, leaving the cluster: disk full/);
    await clock.advance(1000);
    log.assertHas(/WARNING the database is back/);
    await until(() => master.identifications.length === 2, "the master is found again");
    await start(scene);
    await scene.connect(client(2));
  });
});

Deno.test("Storage tries to open its database for ever, and tells why once", async () => {
  await withPath(async (database) => {
    await withScene({ database }, async (scene) => {
      const { log, clock, master } = scene;
      await scene.held().fail("the disk is gone");
      const moved = `${database}.moved`;
      await Deno.rename(database, moved);
      await Deno.mkdir(database);
      await clock.advance(10_000);
      assert.equal(log.lines.filter((line) => /can't be opened/.test(line)).length, 1);
      await Deno.remove(database);
      await Deno.rename(moved, database);
      await clock.advance(1000);
      await until(() => master.identifications.length === 2, "the node is back");
    });
  });
});

Deno.test("run() rejects when the database is that of another cluster or node", async () => {
  await withPath(async (database) => {
    await withScene({ database }, async () => {});
    for (const options of [{ cluster: "other" }, { nid: 9 }]) {
      await withScene({ database, starts: false, options }, async ({ ended }) => {
        await assert.rejects(ended, { name: "ConfigError", message: /the database belongs to/ });
      });
    }
  });
});

Deno.test("run() rejects when the database can't be opened at first", async () => {
  const options = {
    openDatabase: () => Promise.reject(new DatabaseError("no such database")),
  };
  await withScene({ starts: false, options }, async ({ ended, storage }) => {
    await assert.rejects(ended, { message: "no such database" });
    await assert.rejects(storage.address, { message: "no such database" });
  });
});

Deno.test("run() ends when it is told to while it waits for its database", async () => {
  const database = await openDatabase("SQLite", {
    database: ":memory:",
    wait: 0,
    engine: null,
    dedup: false,
    reset: false,
    disableDropPartitions: false,
    log: () => {},
  });
  const opening = Promise.withResolvers<Database>();
  const options = { openDatabase: () => opening.promise };
  await withScene({ starts: false, options }, async ({ stop, storage }) => {
    await quiet();
    await stop();
    await assert.rejects(storage.address);
  });
  // What comes too late is not kept.
  opening.resolve(database);
  await quiet();
  await assert.rejects(database.flush(), /closed/);
});

Deno.test("run() rejects when no master is given", async () => {
  await withScene({ starts: false, options: { masters: [] } }, async ({ ended }) => {
    await assert.rejects(ended, { name: "ConfigError", message: /master/ });
  });
});

Deno.test("NotifyPartitionChanges is saved", async () => {
  await withScene({}, async ({ master, held }) => {
    const cells = [{ partition: 0, nid: 2, state: CellState.OUT_OF_DATE }];
    master.notify("NotifyPartitionChanges", { ptid: 2, replicas: 1, cells });
    await quiet();
    const saved = await held().database.loadPartitionTable();
    assert.deepEqual([saved?.ptid, saved?.replicas, saved?.cells.length], [2, 1, 3]);
  });
});

Deno.test("a Ping of the master is answered when the table that was sent before is safe", async () => {
  await withScene({ cells: [CellState.UP_TO_DATE] }, async ({ master, held }) => {
    held().hold("flush");
    master.notify("NotifyPartitionChanges", {
      ptid: 2,
      replicas: 0,
      cells: [{ partition: 0, nid: 9, state: CellState.OUT_OF_DATE }],
    });
    const ping = master.ask("Ping", {});
    await until(() => held().waiting("flush") === 1, "it makes sure of that");
    await quiet();
    assert.equal(ping.answer, null);
    await held().release("flush");
    await ping.got();
  });
});
