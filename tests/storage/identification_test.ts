/** Who may talk to a storage. */

import assert from "node:assert/strict";
import { ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import type { ArgsOf } from "../../protocol/messages.ts";
import { type Asked, client, quiet, SELF, tid, until, withScene } from "./support.ts";

const NOTHING = new Uint8Array(0);

Deno.test("RequestIdentification is refused when the storage is not operational", async () => {
  await withScene({ operational: false }, async (scene) => {
    const idTimestamp = scene.master.announce(client(1));
    const peer = await scene.dial();
    await scene.identify(peer, { idTimestamp }).refused(ErrorCode.NOT_READY, /operational/);
    await until(() => peer.closed, "the connection is closed");
  });
});

Deno.test("RequestIdentification accepts a client that the master announced", async () => {
  await withScene({}, async (scene) => {
    await scene.connect(client(1));
    await scene.connect(client(2));
    assert.match(scene.storage.dump(), /client C2 \(.*\): 0 transactions/);
  });
});

Deno.test("RequestIdentification waits for the news when the client is faster", async () => {
  await withScene({}, async (scene) => {
    const { master } = scene;
    const peer = await scene.dial();
    const idTimestamp = master.nextTime + 0.5;
    const asked = scene.identify(peer, { idTimestamp });
    await quiet();
    assert.ok(asked.pending);
    master.nodes(); // Older than the client.
    await quiet();
    assert.ok(asked.pending);
    // It can wait for longer than a stranger.
    await scene.clock.advance(60_000);
    assert.ok(asked.pending);
    master.nodes({
      type: NodeType.CLIENT,
      address: null,
      nid: client(1),
      state: NodeState.RUNNING,
      idTimestamp,
    });
    assert.deepEqual(await asked.got(), {
      type: NodeType.STORAGE,
      nid: SELF,
      yourNid: client(1),
    });
  });
});

Deno.test("RequestIdentification is refused when the news do not mention the client", async () => {
  await withScene({}, async (scene) => {
    const peer = await scene.dial();
    const asked = scene.identify(peer, { idTimestamp: scene.master.nextTime });
    await quiet();
    assert.ok(asked.pending);
    scene.master.nodes();
    await asked.refused(ErrorCode.NOT_READY, /unknown by master/);
    await until(() => peer.closed, "the connection is closed");
  });
});

Deno.test("a peer that waits is forgotten when it leaves or the operation ends", async () => {
  await withScene({}, async (scene) => {
    const first = await scene.dial();
    const second = await scene.dial();
    for (const peer of [first, second]) scene.identify(peer, { idTimestamp: 1e9 });
    await quiet();
    assert.match(scene.storage.dump(), /2 peers wait/);
    first.connection.close();
    await quiet();
    assert.match(scene.storage.dump(), /1 peers wait/);
    scene.master.notify("StopOperation", {});
    await until(() => second.closed, "the connection is closed");
    assert.match(scene.storage.dump(), /0 peers wait/);
  });
});

/** Refused identifications: arguments that differ from those of an announced client. */
const REFUSALS: Record<string, {
  args: Partial<ArgsOf<"RequestIdentification">>;
  code: ErrorCode;
  text: RegExp;
}> = {
  "of another cluster": {
    args: { cluster: "other" },
    code: ErrorCode.PROTOCOL_ERROR,
    text: /invalid cluster name/,
  },
  "without id": { args: { nid: null }, code: ErrorCode.PROTOCOL_ERROR, text: /id/ },
  "with the id of this node": {
    args: { nid: SELF },
    code: ErrorCode.PROTOCOL_ERROR,
    text: /itself/,
  },
  "with an old timestamp": {
    args: { idTimestamp: 1 },
    code: ErrorCode.NOT_READY,
    text: /unknown by master/,
  },
  "without timestamp": {
    args: { idTimestamp: null },
    code: ErrorCode.NOT_READY,
    text: /unknown by master/,
  },
  "of a client as admin": {
    args: { type: NodeType.ADMIN },
    code: ErrorCode.PROTOCOL_ERROR,
    text: /ADMIN/,
  },
  "of a client as master": {
    args: { type: NodeType.MASTER },
    code: ErrorCode.PROTOCOL_ERROR,
    text: /MASTER/,
  },
  "of a storage of another cluster": {
    args: { type: NodeType.STORAGE, nid: null },
    code: ErrorCode.PROTOCOL_ERROR,
    text: /not supported yet/,
  },
};

for (const [who, { args, code, text }] of Object.entries(REFUSALS)) {
  Deno.test(`RequestIdentification ${who} is refused`, async () => {
    await withScene({}, async (scene) => {
      const idTimestamp = scene.master.announce(client(1));
      const peer = await scene.dial();
      await scene.identify(peer, { idTimestamp, ...args }).refused(code, text);
      await until(() => peer.closed, "the connection is closed");
    });
  });
}

Deno.test("RequestIdentification replaces a connection whose loss was not noticed", async () => {
  await withScene({}, async (scene) => {
    const idTimestamp = scene.master.announce(client(1));
    const first = await scene.dial();
    await scene.identify(first, { idTimestamp }).got();
    const vote = { ttid: tid(100), user: NOTHING, description: NOTHING, extension: NOTHING };
    await first.ask("AskStoreTransaction", { ...vote, oids: [], pack: null }).got();
    const second = await scene.dial();
    await scene.identify(second, { idTimestamp }).got();
    await until(() => first.closed, "the first connection is closed");
    assert.ok(!second.closed);
    assert.match(scene.storage.dump(), /client C1 \(.*\): 0 transactions/);
    // It is the same client: what it voted is still there.
    assert.match(scene.storage.dump(), /of C1: 0 objects, 0 requests, METADATA/);
  });
});

Deno.test("a second RequestIdentification costs the connection", async () => {
  await withScene({}, async (scene) => {
    for (const idTimestamp of [1e9, scene.master.announce(client(1))]) {
      const peer = await scene.dial();
      scene.identify(peer, { idTimestamp });
      const second: Asked<"RequestIdentification"> = scene.identify(peer, { idTimestamp });
      await second.refused(ErrorCode.PROTOCOL_ERROR);
      await until(() => peer.closed, "the connection is closed");
    }
  });
});

Deno.test("a request before identification costs the connection", async () => {
  await withScene({}, async (scene) => {
    const peer = await scene.dial();
    await peer.ask("AskFinalTID", { ttid: tid(1) })
      .refused(ErrorCode.PROTOCOL_ERROR, /unexpected/);
    await until(() => peer.closed, "the connection is closed");
  });
});

Deno.test("the connection of a client is closed when the master forgets it", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    scene.master.announce(client(1), NodeState.UNKNOWN);
    await until(() => c1.closed, "the connection is closed");
  });
});
