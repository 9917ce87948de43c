/** Connections between storages. */

import assert from "node:assert/strict";
import { ErrorCode, NodeState, NodeType } from "../../../protocol/enums.ts";
import { ZERO_TID } from "../../../protocol/ids.ts";
import { IDLE_TIME } from "../../../storage/replication/peers.ts";
import { CLUSTER, quiet, type Scene, SELF, tid, until, withScene } from "../support.ts";
import { type FakeStorage, feedNothing, OUT_OF_DATE, UP_TO_DATE, withReplicas } from "./support.ts";

const unfinished = { lastTid: 301 };
const FILLING = { cells: [UP_TO_DATE, OUT_OF_DATE], unfinished };

const fetchNothing = (other: FakeStorage) =>
  other.ask("AskFetchTransactions", {
    partition: 0,
    length: 1,
    min: ZERO_TID,
    max: tid(1),
    tids: [],
    askPack: false,
  });

async function filled({ master }: Scene): Promise<void> {
  await until(() => master.names.includes("NotifyReplicationDone"), "the cell is filled");
}

Deno.test("a storage introduces itself to others as the master knows it", async () => {
  await withReplicas(FILLING, async (scene, other) => {
    await until(() => other.names.includes("RequestIdentification"), "it connects");
    const [{ idTimestamp, address, ...args }] = other.all("RequestIdentification") as [
      Record<string, unknown>,
    ];
    assert.deepEqual(args, {
      type: NodeType.STORAGE,
      nid: SELF,
      cluster: CLUSTER,
      extra: new Map(),
    });
    assert.deepEqual(address, await scene.storage.address);
    assert.equal(typeof idTimestamp, "number");
  });
});

Deno.test("RequestIdentification of a storage that the master does not know is refused", async () => {
  await withReplicas({ cells: [UP_TO_DATE] }, async (scene, other) => {
    other.announce(NodeState.DOWN);
    const { env, storage } = scene;
    other.attach(env, await env.connect(await storage.address), true);
    await scene.identify(other, { type: NodeType.STORAGE, nid: 2, idTimestamp: 1 })
      .refused(ErrorCode.NOT_READY, /unknown by master/);
  });
});

Deno.test("storages of other clusters are refused", async () => {
  await withScene({}, async (scene) => {
    const peer = await scene.dial();
    await scene.identify(peer, { type: NodeType.STORAGE, nid: null })
      .refused(ErrorCode.PROTOCOL_ERROR, /backup clusters are not supported yet/);
  });
});

Deno.test("a second connection of a storage is refused", async () => {
  await withReplicas({ cells: [UP_TO_DATE] }, async (scene, other) => {
    await other.dial();
    await fetchNothing(other).got();
    const { env, storage, master } = scene;
    const first = other.connection;
    other.attach(env, await env.connect(await storage.address), true);
    const idTimestamp = master.nextTime - 1.5;
    await scene.identify(other, { type: NodeType.STORAGE, nid: 2, idTimestamp })
      .refused(ErrorCode.PROTOCOL_ERROR, /already connected/);
    assert.ok(first.open);
  });
});

Deno.test("a storage that was restarted replaces its former connection", async () => {
  await withReplicas({ cells: [UP_TO_DATE] }, async (_scene, other) => {
    await other.dial();
    await fetchNothing(other).got();
    const first = other.connection;
    await other.dial(); // Announced again.
    await until(() => !first.open, "the former connection is closed");
    await fetchNothing(other).got();
  });
});

Deno.test("when two storages connect to each other, the connection of the greater id remains", async () => {
  await withReplicas({ ...FILLING, others: [2] }, async (scene, other) => {
    other.accepting = false;
    await until(() => other.names.includes("RequestIdentification"), "it connects");
    const opened = other.connection;
    const idTimestamp = scene.master.nextTime - 1.5;
    const { env, storage } = scene;
    other.attach(env, await env.connect(await storage.address), true);
    await scene.identify(other, { type: NodeType.STORAGE, nid: 2, idTimestamp }).got();
    await until(() => !opened.open, "the other connection is closed");
    other.connection.identified("S1", NodeType.STORAGE);
    await feedNothing(other);
    await filled(scene);
  });
});

Deno.test("when two storages connect to each other, the one with the greater id refuses", async () => {
  await withReplicas({ ...FILLING, nid: 3, others: [2] }, async (scene, other) => {
    other.accepting = false;
    await until(() => other.names.includes("RequestIdentification"), "it connects");
    const [request] = other.heard;
    const opened = other.connection;
    const idTimestamp = scene.master.nextTime - 1.5;
    const { env, storage } = scene;
    other.attach(env, await env.connect(await storage.address), true);
    await scene.identify(other, { type: NodeType.STORAGE, nid: 2, idTimestamp })
      .refused(ErrorCode.PROTOCOL_ERROR, /already connected/);
    assert.ok(opened.open);
    request?.from.answer({ type: NodeType.STORAGE, nid: 2, yourNid: 3 });
    await until(() => other.names.includes("AskFetchTransactions"), "it goes on");
  });
});

Deno.test("a connection is used in both directions, and closed when it is idle", async () => {
  await withReplicas(FILLING, async (scene, other) => {
    await feedNothing(other);
    await filled(scene);
    await fetchNothing(other).got();
    await scene.clock.advance(IDLE_TIME - 1000);
    assert.ok(!other.names.includes("CloseClient"));
    await scene.clock.advance(1000);
    await until(() => other.names.includes("CloseClient"), "the client role is given up");
    assert.ok(!other.closed);
    other.notify("CloseClient", {});
    await until(() => other.closed, "nobody needs it any more");
  });
});

Deno.test("a connection that the other does not use is closed when it is idle", async () => {
  await withReplicas(FILLING, async (scene, other) => {
    await feedNothing(other);
    await filled(scene);
    await scene.clock.advance(IDLE_TIME);
    await until(() => other.closed, "it is closed");
    assert.ok(!other.names.includes("CloseClient"));
  });
});

Deno.test("CloseClient does not end a connection that this storage needs", async () => {
  await withReplicas(FILLING, async (scene, other) => {
    await until(() => other.names.includes("AskFetchTransactions"), "it asks");
    other.notify("CloseClient", {});
    await quiet();
    await feedNothing(other);
    await filled(scene);
  });
});

Deno.test("a storage that answers with another id is left", async () => {
  await withReplicas({ ...FILLING, others: [2] }, async (scene, other) => {
    other.onMessage = (name, _, from) => {
      if (name === "RequestIdentification") {
        from.answer({ type: NodeType.STORAGE, nid: 5, yourNid: SELF });
      }
    };
    await until(() => other.closed, "it is left");
    scene.log.assertHas(/WARNING partition 1: replication from S2 stopped: it is S5/);
  });
});
