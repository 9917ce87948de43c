import assert from "node:assert/strict";
import type { Connection } from "../../network/connection.ts";
import type { Notification } from "../../network/handler.ts";
import {
  acceptConnections,
  IDENTIFICATION_TIME,
  MAX_UNIDENTIFIED,
  type Server,
} from "../../network/server.ts";
import { NodeType } from "../../protocol/enums.ts";
import { HERE, Peer, quiet, type World, world } from "./support.ts";

interface Scene extends World {
  readonly server: Server;
  readonly closed: Connection[];
  connect(): Promise<Peer>;
}

/** A server for which `NotifyReady` is an introduction and `StopOperation` one that has to wait. */
async function serve(): Promise<Scene> {
  const here = world();
  const closed: Connection[] = [];
  const server = await acceptConnections(here.env, {
    address: HERE,
    handler: {
      notifyReady: (_: unknown, { connection }: Notification) =>
        connection.identified("S1", NodeType.STORAGE),
      stopOperation: (_: unknown, { connection }: Notification) => server.hold(connection),
    },
    onClosed: (connection) => closed.push(connection),
  });
  const connect = async () => new Peer(await here.env.connect(server.address));
  return { ...here, server, closed, connect };
}

Deno.test("acceptConnections() closes who does not introduce itself in time", async () => {
  const scene = await serve();
  const silent = await scene.connect();
  const greeting = await scene.connect();
  greeting.handshake();
  const talking = await scene.connect();
  talking.handshake();
  for (let i = 0; i < 10; i++) {
    talking.send("Ping", i, {});
    await scene.clock.advance(IDENTIFICATION_TIME / 10 - 1);
  }
  assert.ok(!silent.isClosed && !greeting.isClosed && !talking.isClosed);
  await scene.clock.advance(10);
  assert.ok(silent.isClosed && greeting.isClosed && talking.isClosed);
  assert.equal(scene.closed.length, 3);
  assert.equal(scene.server.connections.size, 0);
  assert.equal(scene.clock.timers, 0);
  scene.log.assertHas(/INFO .* did not introduce itself, closing/);
});

Deno.test("acceptConnections() keeps who is identified, and who waits on purpose", async () => {
  const scene = await serve();
  const friend = await scene.connect();
  friend.handshake();
  friend.send("NotifyReady", 0, {});
  const waiting = await scene.connect();
  waiting.handshake();
  waiting.send("StopOperation", 0, {});
  await quiet();
  await scene.clock.advance(IDENTIFICATION_TIME);
  assert.ok(!friend.isClosed && !waiting.isClosed);
  assert.equal(scene.server.connections.size, 2);
  waiting.send("NotifyReady", 1, {});
  await quiet();
  assert.ok(!waiting.isClosed);
  scene.server.stop();
});

Deno.test("acceptConnections() closes the oldest stranger when there are too many", async () => {
  const scene = await serve();
  const friend = await scene.connect();
  friend.handshake();
  friend.send("NotifyReady", 0, {});
  const waiting = await scene.connect();
  waiting.handshake();
  waiting.send("StopOperation", 0, {});
  await quiet();
  const strangers: Peer[] = [];
  for (let i = 1; i < MAX_UNIDENTIFIED; i++) strangers.push(await scene.connect());
  await quiet();
  assert.equal(scene.closed.length, 0);
  strangers.push(await scene.connect());
  await quiet();
  assert.ok(strangers[0]?.isClosed);
  assert.ok(!strangers[1]?.isClosed && !friend.isClosed && !waiting.isClosed);
  assert.equal(scene.closed.length, 1);
  scene.log.assertHas(/WARNING more than 1000 unknown peers, closing/);
  scene.server.stop();
});

Deno.test("acceptConnections() closes those who wait when they take all the room", async () => {
  const scene = await serve();
  const waiting: Peer[] = [];
  for (let i = 0; i < MAX_UNIDENTIFIED; i++) {
    const peer = await scene.connect();
    peer.handshake();
    peer.send("StopOperation", 0, {});
    waiting.push(peer);
  }
  await quiet();
  const strangers = [await scene.connect(), await scene.connect(), await scene.connect()];
  await quiet();
  assert.ok(strangers.every(({ isClosed }) => !isClosed));
  assert.deepEqual(waiting.slice(0, 4).map(({ isClosed }) => isClosed), [true, true, true, false]);
  assert.equal(scene.closed.length, 3);
  scene.server.stop();
});

Deno.test("Server.stop() closes everything and accepts nothing more", async () => {
  const scene = await serve();
  const peers = [await scene.connect(), await scene.connect()];
  peers[0]?.handshake();
  peers[0]?.send("NotifyReady", 0, {});
  await quiet();
  scene.server.stop();
  scene.server.stop();
  await quiet();
  assert.ok(peers.every((peer) => peer.isClosed));
  assert.equal(scene.closed.length, 2);
  assert.equal(scene.clock.timers, 0);
  await assert.rejects(scene.connect(), /refused/);
});

Deno.test("acceptConnections() forgets who closes", async () => {
  const scene = await serve();
  const peer = await scene.connect();
  await quiet();
  assert.equal(scene.server.connections.size, 1);
  peer.transport.close();
  await quiet();
  assert.equal(scene.server.connections.size, 0);
  assert.equal(scene.clock.timers, 0);
});
