/** A storage that was away when the others truncated. */

import assert from "node:assert/strict";
import { CellState } from "../../protocol/enums.ts";
import { client, commit, oid, quiet, tid, until, withScene, ZERO_TID } from "./support.ts";

Deno.test("StartOperation first deletes what an order that was missed tells to delete", async () => {
  await withScene({}, async (scene) => {
    const { master, held } = scene;
    const c1 = await scene.connect(client(1));
    for (const n of [100, 200]) await commit(scene, c1, tid(n), oid(n), ZERO_TID, "x");
    master.notify("StopOperation", {});
    master.notify("Truncate", { tid: tid(150) });
    assert.equal((await master.ask("AskRecovery", {}).got()).truncateTid, tid(150));
    // The others started without it, truncated and went on.
    held().hold("truncate");
    master.clear();
    master.table(CellState.OUT_OF_DATE, CellState.OUT_OF_DATE);
    master.notify("StartOperation", { backup: false });
    await until(() => held().waiting("truncate") === 1, "it truncates");
    await quiet();
    assert.ok(!master.names.includes("NotifyReady"), "not ready before that is done");
    await held().release("truncate");
    await until(() => master.names.includes("NotifyReady"), "the storage is ready");
    assert.equal(held().database.truncateTid, null);

    master.notify("StopOperation", {});
    assert.equal((await master.ask("AskRecovery", {}).got()).truncateTid, null);
    master.table(CellState.UP_TO_DATE, CellState.UP_TO_DATE);
    assert.equal((await master.ask("AskLastIDs", {}).got()).lastTid, tid(100));
  });
});

Deno.test("StartOperation of a master that is lost meanwhile starts nothing", async () => {
  await withScene({}, async (scene) => {
    const { master, held } = scene;
    master.notify("StopOperation", {});
    master.notify("Truncate", { tid: tid(150) });
    await master.ask("AskRecovery", {}).got();
    held().hold("truncate");
    master.clear();
    master.table(CellState.OUT_OF_DATE, CellState.OUT_OF_DATE);
    master.notify("StartOperation", { backup: false });
    await until(() => held().waiting("truncate") === 1, "it truncates");
    master.connection.close();
    await quiet();
    await held().release("truncate");
    assert.ok(!master.names.includes("NotifyReady"));
    assert.equal(held().database.truncateTid, null, "what was begun is done");
  });
});
