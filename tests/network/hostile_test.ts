import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { Connection } from "../../network/connection.ts";
import { MAX_BUFFERED } from "../../network/outbox.ts";
import type { Request } from "../../network/handler.ts";
import { realEnvironment } from "../../network/real.ts";
import { HIGH_WATER_MARK } from "../../network/transport.ts";
import { encodeMessage, HANDSHAKE } from "../../protocol/codec.ts";
import { toOid, toTid, ZERO_TID } from "../../protocol/ids.ts";
import { arbitraryMessage } from "../protocol/arbitrary.ts";
import { MemoryLog, openStream, Peer, quiet, until, world } from "./support.ts";

/** Answers each `AskObject` with so much data, at once or when it is `done`. */
class ObjectHandler {
  asked = 0;
  readonly #data: Uint8Array;
  readonly #done: Promise<void>;

  constructor(length: number, done?: Promise<void>) {
    this.#data = new Uint8Array(length);
    this.#done = done ?? Promise.resolve();
  }

  askObject = async (_: unknown, from: Request<"AskObject">): Promise<void> => {
    this.asked++;
    await this.#done;
    from.answer({
      oid: toOid(1),
      serial: toTid(1),
      nextSerial: null,
      compression: 0,
      checksum: new Uint8Array(20),
      data: this.#data,
      dataSerial: null,
    });
  };
}

const ask = encodeMessage("AskObject", 1, { oid: toOid(1), at: null, before: null });

Deno.test("a peer that asks and does not read is not read any more", async () => {
  const { env } = world();
  const handler = new ObjectHandler(10_000);
  const [near, far] = await openStream(env);
  const connection = new Connection(env, far, { connecting: false, handler });
  const peer = new Peer(near);
  near.pause();
  peer.handshake();
  const total = 10_000;
  for (let i = 0; i < total; i++) {
    peer.write(ask);
    if (i % 100 === 0) await quiet();
  }
  await quiet();
  // What fits in its queue, in the network, and in the chunk that was being handled.
  assert.ok(handler.asked < 400, `${handler.asked} requests were handled`);
  assert.ok(connection.buffered <= 400 * 11_000, `${connection.buffered} bytes are waiting`);
  assert.ok(near.buffered > 0, "requests wait on the side of the peer");
  assert.ok(connection.open);
  near.resume();
  await until(() => peer.length > total * 10_000, "all is answered once it reads");
  assert.equal(handler.asked, total);
});

Deno.test("a peer that asks for too much without reading is closed, and no other", async () => {
  const { env, log } = world();
  const done = Promise.withResolvers<void>();
  const handler = new ObjectHandler(10_000_000, done.promise);
  const [near, far] = await openStream(env);
  const greedy = new Connection(env, far, { connecting: false, handler });
  const peer = new Peer(near);
  near.pause();
  const [friendNear, friendFar] = await openStream(env);
  const other = new Connection(env, friendFar, { connecting: false, handler });
  const friend = new Peer(friendNear);
  friend.handshake();
  peer.handshake();
  const count = 2 + Math.ceil(MAX_BUFFERED / 10_000_000);
  for (let i = 0; i < count; i++) peer.write(ask);
  await quiet();
  assert.equal(handler.asked, count);
  done.resolve();
  await quiet();
  assert.ok(!greedy.open);
  assert.equal(greedy.buffered, 0);
  log.assertHas(/WARNING .* does not read: \d+ bytes are waiting, closing/);
  friend.send("Ping", 3, {});
  await quiet();
  assert.ok(other.open);
  assert.deepEqual(friend.summary, [["Pong", 3, {}]]);
});

Deno.test("the end that opened a connection always reads, even when its peer does not", async () => {
  const { env } = world();
  const [near, far] = await openStream(env);
  let invalidations = 0;
  const client = new Connection(env, near, {
    connecting: true,
    handler: { invalidateObjects: () => invalidations++ },
  });
  const peer = new Peer(far);
  far.pause();
  const chunk = new Uint8Array(100_000);
  for (let i = 0; i < 30; i++) {
    client.notify("AddObject", {
      oid: toOid(1),
      tid: ZERO_TID,
      compression: 0,
      checksum: new Uint8Array(20),
      data: chunk,
      dataSerial: null,
    });
  }
  await quiet();
  assert.ok(client.buffered > HIGH_WATER_MARK);
  peer.handshake();
  peer.send("InvalidateObjects", 0, { tid: toTid(1), oids: [] });
  await quiet();
  assert.equal(invalidations, 1);
  client.close();
});

Deno.test("Connection over TCP stops reading a flood of requests, and answers when it can", async () => {
  const log = new MemoryLog();
  const env = realEnvironment({ log });
  const handler = new ObjectHandler(50_000);
  const [near, far] = await openStream(env);
  const connection = new Connection(env, far, { connecting: false, handler });
  const peer = new Peer(near);
  near.pause();
  peer.handshake();
  const total = 5_000;
  const flood = new Uint8Array(total * ask.length);
  for (let i = 0; i < total; i++) flood.set(ask, i * ask.length);
  peer.write(flood);
  await until(() => connection.buffered > HIGH_WATER_MARK, "answers wait");
  const asked = handler.asked;
  await quiet();
  await quiet();
  assert.ok(connection.buffered < MAX_BUFFERED / 2, `${connection.buffered} bytes are waiting`);
  assert.ok(handler.asked < total, `${asked} requests were handled`);
  near.resume();
  await until(() => peer.length > total * 50_000, "all is answered once it reads");
  connection.close();
  await until(() => peer.isClosed, "the peer is closed");
});

Deno.test("Connection survives any stream of bytes, and only that peer suffers", async () => {
  const { env, log } = world();
  const stream = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.array(arbitraryMessage, { maxLength: 3 }).map((messages) =>
      Uint8Array.from(
        messages.flatMap((
          { codec, id, args },
        ) => [...encodeMessage(codec.name, id, args as never)]),
      )
    ),
  );
  await fc.assert(
    fc.asyncProperty(stream, fc.nat(500), fc.nat(255), async (bytes, position, value) => {
      const [near, far] = await openStream(env);
      const connection = new Connection(env, far, {
        connecting: false,
        handler: { askObject() {}, notifyReady() {}, setNumReplicas() {} },
      });
      const peer = new Peer(near);
      if (position < bytes.length) bytes[position] = value;
      peer.write(HANDSHAKE, bytes);
      peer.transport.end();
      await quiet();
      assert.ok(!connection.open);
      assert.ok(peer.isClosed);
    }),
    { numRuns: 300 },
  );
  assert.deepEqual(log.lines.filter((line) => line.startsWith("ERROR")), []);
});
