/** Copies that differ in a cluster of real nodes. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { toOid } from "../../client/mod.ts";
import { type Database, openDatabase } from "../../storage/database/mod.ts";
import { RealCluster } from "../client/real_cluster.ts";
import { until } from "../network/support.ts";
import { databaseOptions } from "../storage/database/support.ts";

Deno.test("Operators find a copy that differs, and have it replaced", async () => {
  const folder = await Deno.makeTempDir({ prefix: "neo-check-" });
  const path = (number: number) => `${folder}/${number}.sqlite`;
  const open = (number: number): Promise<Database> =>
    openDatabase("SQLite", databaseOptions(path(number)));
  try {
    await using cluster = await RealCluster.start({
      partitions: 1,
      replicas: 1,
      storages: 2,
      openDatabase: open,
    });
    await cluster.startAdmin();
    // Ids are given in the order in which storages come.
    const second = 1 + cluster.databases.findIndex(({ nid }) => nid === 2);
    const client = await cluster.connect();
    for (let i = 1; i <= 6; i++) {
      await using transaction = await client.begin();
      transaction.store(toOid(i), null, new TextEncoder().encode("x"));
      await transaction.commit();
    }
    // One storage loses a revision behind everybody's back, before those that it compares anyway when it
    // comes back.
    await cluster.stopStorage(second);
    await until(() => cluster.describe().includes("0: S1:U S2:O"), "S2 is known to be away");
    {
      using database = new DatabaseSync(path(second));
      database.exec("DELETE FROM obj WHERE oid = 2");
    }
    cluster.startStorage(second);
    await until(() => cluster.describe().includes("0: S1:U S2:U"), "S2 has caught up");
    assert.equal(await cluster.neoctl("check 0:S1"), "");
    await until(() => cluster.describe().includes("0: S1:U S2:C"), "the difference is found");
    assert.equal(await cluster.neoctl("check 0:S1"), "", "there is a single copy");
    assert.equal(await cluster.neoctl("tweak", { wait: true }), "S1 R U\nS2 R O\n");
    assert.equal(await cluster.neoctl("print pt"), "# ptid: 6, replicas: 1\nS1 R U\nS2 R U\n");
    await cluster.stopStorage(second);
    {
      using database = new DatabaseSync(path(second), { readOnly: true });
      const rows = database.prepare("SELECT oid FROM obj ORDER BY oid").all();
      assert.deepEqual(rows.map(({ oid }) => oid), [1, 2, 3, 4, 5, 6]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
