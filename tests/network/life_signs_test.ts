import assert from "node:assert/strict";
import {
  FIRST_PING,
  MASTER_PATIENCE,
  PATIENCE,
  PING_INTERVAL,
  PROMPT_PATIENCE,
} from "../../network/life_signs.ts";
import type { PacketRecord } from "../../network/log.ts";
import { encodeMessage } from "../../protocol/codec.ts";
import { CellState, NodeType } from "../../protocol/enums.ts";
import { toOid, ZERO_TID } from "../../protocol/ids.ts";
import { accepted, connected } from "./scene.ts";
import { type Peer, quiet } from "./support.ts";

const { ADMIN, CLIENT, MASTER, STORAGE } = NodeType;

/** Milliseconds of silence after which a peer is given up, from its last word on. */
async function patience(
  type: NodeType,
  lastWord: (peer: Peer) => void = () => {},
): Promise<number> {
  const scene = await accepted({ notifyReady() {} });
  scene.connection.identified("X1", type);
  await scene.clock.advance(FIRST_PING);
  lastWord(scene.peer);
  let passed = 0;
  while (scene.connection.open) {
    await scene.clock.advance(PING_INTERVAL);
    passed += PING_INTERVAL;
  }
  scene.log.assertHas(/WARNING X1 .* gives no sign of life/);
  assert.equal(scene.clock.timers, 0);
  return passed;
}

const ping = (peer: Peer) => peer.send("Ping", 7, {});

Deno.test("a server node that pings is given up soon when it is silent", async () => {
  for (const type of [STORAGE, MASTER, ADMIN]) {
    assert.equal(await patience(type, ping), PING_INTERVAL + PROMPT_PATIENCE);
  }
});

Deno.test("a node that does not ping may be busy for long, unless it is a master", async () => {
  const others = (peer: Peer) => peer.send("NotifyReady", 0, {});
  assert.equal(await patience(STORAGE, others), PING_INTERVAL + PATIENCE);
  assert.equal(await patience(MASTER, others), PING_INTERVAL + MASTER_PATIENCE);
});

Deno.test("a client may be busy for long, even if it pings", async () => {
  assert.equal(await patience(CLIENT, ping), PING_INTERVAL + PATIENCE);
});

Deno.test("a peer that answers a ping is alive", async () => {
  const scene = await accepted();
  scene.connection.identified("S1", STORAGE);
  await scene.clock.advance(FIRST_PING);
  ping(scene.peer);
  for (let id = 0; id < 200; id++) {
    await scene.clock.advance(PING_INTERVAL);
    scene.peer.send("Pong", id, {});
  }
  assert.ok(scene.connection.open);
  const pings = scene.peer.summary.filter(([name]) => name === "Ping");
  assert.ok(pings.length >= 200);
});

Deno.test("a peer that is not read, as it takes nothing, is given up if that lasts", async () => {
  for (const [type, frozen] of [[CLIENT, true], [CLIENT, false], [STORAGE, true]] as const) {
    const scene = await accepted();
    const { connection, peer: { transport } } = scene;
    connection.identified("X1", type);
    // One that answers at any time otherwise may be busy with what it was sent.
    await scene.clock.advance(FIRST_PING);
    ping(scene.peer);
    await quiet();
    const oids = Array.from({ length: 1000 }, () => toOid(1));
    const fill = async () => {
      while (!connection.congested) {
        for (let n = 0; n < 100; n++) {
          connection.notify("InvalidateObjects", { tid: ZERO_TID, oids });
        }
        await quiet();
      }
    };
    transport.pause();
    await fill();
    let passed = 0;
    for (; passed < 2 * PATIENCE && connection.open; passed += PING_INTERVAL) {
      if (!frozen && passed % (PATIENCE / 3) === 0) {
        // It reads now and then, and more is there to read at once.
        transport.resume();
        await quiet();
        transport.pause();
        await fill();
      }
      await scene.clock.advance(PING_INTERVAL);
    }
    assert.equal(connection.open, !frozen);
    assert(passed >= PATIENCE, `${passed}`);
    connection.close();
  }
});

Deno.test("a node that is frozen itself blames nobody for the time that it missed", async () => {
  const scene = await accepted({ notifyReady() {} });
  scene.connection.identified("M1", MASTER);
  ping(scene.peer);
  await scene.clock.advance(PING_INTERVAL);
  // Its timers are late; what its peer said meanwhile is read after that.
  scene.clock.skip(10 * PROMPT_PATIENCE);
  await scene.clock.advance(0);
  scene.peer.send("NotifyReady", 0, {});
  await scene.clock.advance(PROMPT_PATIENCE);
  assert.ok(scene.connection.open);
});

Deno.test("both ends say something all the time, and no more than that", async () => {
  const scene = await connected({}, {});
  scene.server.identified("M1", MASTER);
  await scene.clock.advance(PING_INTERVAL / 2);
  scene.client.identified("S1", STORAGE);
  const records: PacketRecord[] = [];
  scene.log.packet = (record) => records.push(record);
  await scene.clock.advance(100 * PING_INTERVAL);
  assert.ok(scene.client.open && scene.server.open);
  // One end pings, the other one only has to answer; each begins with a ping.
  const sent = records.filter(({ sent }) => sent).length;
  assert.ok(sent >= 200 && sent <= 206, `${sent} messages`);
  scene.client.close();
});

Deno.test("an end that talks all the time pings once, and hears that the other one is alive", async () => {
  const scene = await connected({ notifyReady() {} }, { notifyReady() {} });
  scene.server.identified("M1", MASTER);
  scene.client.identified("S1", STORAGE);
  const sent: number[] = [];
  scene.log.packet = (record) => {
    if (record.sent) sent.push(record.code);
  };
  for (let i = 0; i < 100; i++) {
    await scene.clock.advance(PING_INTERVAL / 2);
    for (const end of [scene.client, scene.server]) end.notify("NotifyReady", {});
  }
  assert.ok(scene.client.open && scene.server.open);
  assert.equal(sent.filter((code) => code === 2).length, 2);
  scene.client.close();
});

Deno.test("a peer that is not identified may not send long messages", async () => {
  const long = encodeMessage("AbortTransaction", 0, {
    ttid: ZERO_TID,
    nids: Array.from({ length: 70_000 }, () => 1),
  });
  let handled = 0;
  const handler = { abortTransaction: () => handled++ };
  const stranger = await accepted(handler);
  stranger.peer.write(long);
  await quiet();
  assert.ok(!stranger.connection.open);
  const friend = await accepted(handler);
  friend.connection.identified("C1", CLIENT);
  friend.peer.write(long);
  await quiet();
  assert.ok(friend.connection.open);
  assert.equal(handled, 1);
});

Deno.test("messages are shown to the log with the name and the address of the peer", async () => {
  const scene = await accepted({ sendPartitionTable() {} });
  const records: PacketRecord[] = [];
  scene.log.packet = (record) => records.push({ ...record, body: record.body.slice() });
  scene.connection.identified("M1", MASTER);
  const rows = [[{ nid: 1, state: CellState.UP_TO_DATE }]];
  scene.peer.send("SendPartitionTable", 7, { ptid: 1, replicas: 0, rows });
  scene.connection.notify("NotifyReady", {});
  await quiet();
  const peer = `M1 (${scene.connection.remote})`;
  assert.match(peer, /^M1 \(127\.0\.0\.1:\d+\)$/);
  assert.deepEqual(records, [
    { sent: true, id: 0, code: 0x3b, peer, body: Uint8Array.of(0x90) },
    {
      sent: false,
      id: 7,
      code: 0x0a,
      peer,
      body: Uint8Array.of(0x93, 1, 0, 0x91, 0x91, 0x92, 1, 0xd4, 0, 1),
    },
  ]);
});

Deno.test("FlushLog flushes the log whatever the handler", async () => {
  const { connection, peer, log } = await accepted();
  connection.identified("A1", ADMIN);
  peer.send("FlushLog", 0, {});
  await quiet();
  assert.equal(log.flushes, 1);
  connection.close();
});

Deno.test("FlushLog is refused to a stranger", async () => {
  const { connection, peer, log } = await accepted();
  peer.send("FlushLog", 0, {});
  await quiet();
  assert.equal(log.flushes, 0);
  assert.ok(!connection.open);
});
