import assert from "node:assert/strict";
import { Connection } from "../../network/connection.ts";
import { ErrorAnswer, Refusal, type Request } from "../../network/handler.ts";
import { encodeMessage, HANDSHAKE } from "../../protocol/codec.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import { toOid, toTid, ZERO_TID } from "../../protocol/ids.ts";
import { accepted, connected } from "./scene.ts";
import { openStream, Peer, quiet, world } from "./support.ts";

Deno.test("Connection sends its handshake first, with what is said at once behind it", async () => {
  const here = world();
  const [near, far] = await openStream(here.env);
  const connection = new Connection(here.env, near, { connecting: true, handler: {} });
  connection.notify("NotifyReady", {});
  const peer = new Peer(far);
  await quiet();
  assert.deepEqual(peer.chunks.length, 1);
  assert.deepEqual(peer.summary, [["NotifyReady", 0, {}]]);
});

Deno.test("Connection takes a handshake and messages in any cutting", async () => {
  const names: string[] = [];
  const { peer, connection } = await accepted({ notifyReady: () => names.push("ready") });
  const bytes = encodeMessage("NotifyReady", 0, {});
  for (const byte of bytes) peer.write(Uint8Array.of(byte));
  await quiet();
  assert.deepEqual(names, ["ready"]);
  assert.ok(connection.open && connection.received);

  const here = world();
  const [near, far] = await openStream(here.env);
  new Connection(here.env, far, {
    connecting: false,
    handler: { notifyReady: () => names.push("again") },
  });
  const other = new Peer(near);
  for (const byte of [...HANDSHAKE, ...bytes]) other.write(Uint8Array.of(byte));
  await quiet();
  assert.deepEqual(names, ["ready", "again"]);
});

for (
  const [what, bytes, log] of [
    ["is no handshake", [0x16, 3, 1], /DEBUG.*does not speak the protocol/],
    ["is an HTTP request", [0x47, 0x45, 0x54], /DEBUG.*does not speak the protocol/],
    ["has a wrong name", [0x92, 0xa3, 0x4e, 0x45, 0x50], /DEBUG.*does not speak/],
    ["has another version", [0x92, 0xa3, 0x4e, 0x45, 0x4f, 6], /WARNING.*another version/],
  ] as const
) {
  Deno.test(`Connection is closed without a word when what it receives first ${what}`, async () => {
    const here = world();
    const [near, far] = await openStream(here.env);
    const peer = new Peer(near);
    const closings: (Error | null)[] = [];
    const connection = new Connection(here.env, far, {
      connecting: false,
      handler: { askPrimary: () => assert.fail("handled") },
      onClosed: (reason) => closings.push(reason),
    });
    for (const byte of bytes) peer.write(Uint8Array.of(byte));
    peer.send("AskPrimary", 0, {});
    await quiet();
    assert.equal(connection.open, false);
    assert.deepEqual(closings, [null]);
    assert.ok(peer.isClosed);
    assert.deepEqual(peer.summary, []);
    here.log.assertHas(log);
  });
}

Deno.test("Connection.ask() takes answers in any order", async () => {
  const { client, server } = await connected({}, {
    askNewOIDs({ count }: { count: number }, from: Request<"AskNewOIDs">) {
      waiting.push(() => from.answer({ oids: [toOid(count)] }));
    },
  });
  const waiting: (() => void)[] = [];
  const asked = [1, 2, 3].map((count) => client.ask("AskNewOIDs", { count }));
  await quiet();
  assert.equal(client.pendingRequests, 3);
  for (const answer of waiting.reverse()) answer();
  assert.deepEqual(await Promise.all(asked), [1, 2, 3].map((n) => ({ oids: [toOid(n)] })));
  assert.equal(client.pendingRequests, 0);
  assert.ok(server.open);
});

Deno.test("Connection numbers what is not an answer, and answers echo", async () => {
  const { connection, peer } = await accepted({
    askLastTransaction: (_: unknown, from: Request<"AskLastTransaction">) => {
      from.answer({ tid: ZERO_TID });
    },
  });
  connection.notify("NotifyReady", {});
  connection.request("AskClusterState", {}, () => {}, () => {});
  peer.send("AskLastTransaction", 0xffffffff, {});
  await quiet();
  connection.notify("NotifyReady", {});
  connection.push(77, "AddTransaction", {
    tid: ZERO_TID,
    user: new Uint8Array(),
    description: new Uint8Array(),
    extension: new Uint8Array(),
    packed: false,
    ttid: ZERO_TID,
    oids: [],
    pack: null,
  });
  connection.notify("StopOperation", {});
  await quiet();
  assert.deepEqual(peer.summary.map(([name, id]) => [name, id]), [
    ["NotifyReady", 0],
    ["AskClusterState", 1],
    ["AnswerLastTransaction", 0xffffffff],
    ["NotifyReady", 2],
    ["AddTransaction", 77],
    ["StopOperation", 3],
  ]);
});

Deno.test("ids continue at 0 after 2^32-1", async () => {
  const { connection, peer } = await accepted({}, { firstId: 0xfffffffe });
  const answered: number[] = [];
  for (let i = 0; i < 4; i++) {
    connection.request("AskClusterState", {}, () => answered.push(i), () => assert.fail());
  }
  await quiet();
  assert.deepEqual(peer.summary.map(([, id]) => id), [0xfffffffe, 0xffffffff, 0, 1]);
  for (const id of [1, 0xffffffff, 0, 0xfffffffe]) {
    peer.send("AnswerClusterState", id, { state: null });
  }
  await quiet();
  assert.deepEqual(answered, [3, 1, 2, 0]);
});

Deno.test("Connection.ask() rejects with the error of the peer, and goes on", async () => {
  const { client } = await connected({}, {
    askFinalTID() {
      throw new Refusal(ErrorCode.DENIED, "not you");
    },
    askLastTransaction: (_: unknown, from: Request<"AskLastTransaction">) => {
      from.answer({ tid: toTid(5) });
    },
  });
  await assert.rejects(client.ask("AskFinalTID", { ttid: ZERO_TID }), (error) => {
    assert.ok(error instanceof ErrorAnswer);
    assert.equal(error.code, ErrorCode.DENIED);
    assert.equal(error.message, "not you");
    return true;
  });
  assert.deepEqual(await client.ask("AskLastTransaction", {}), { tid: toTid(5) });
});

Deno.test("Connection.command() resolves when the peer acknowledges, else rejects", async () => {
  const { client } = await connected({}, {
    setNumReplicas({ replicas }: { replicas: number }, from: Request<"AskPrimary">) {
      if (replicas > 1) throw new Refusal(ErrorCode.DENIED, "too many");
      from.error(ErrorCode.ACK, "done");
    },
  });
  assert.equal(await client.command("SetNumReplicas", { replicas: 1 }), "done");
  await assert.rejects(client.command("SetNumReplicas", { replicas: 2 }), /too many/);
});

Deno.test("answers and messages are handled in the order of arrival", async () => {
  const events: string[] = [];
  const { connection, peer } = await accepted({
    invalidateObjects: ({ tid }: { tid: bigint }) => events.push(`invalidate ${tid}`),
  });
  connection.request("Ping", {}, () => events.push("pong"), () => {});
  await quiet();
  peer.write(
    encodeMessage("InvalidateObjects", 0, { tid: toTid(1), oids: [] }),
    encodeMessage("Pong", 0, {}),
    encodeMessage("InvalidateObjects", 1, { tid: toTid(2), oids: [] }),
  );
  await quiet();
  assert.deepEqual(events, ["invalidate 1", "pong", "invalidate 2"]);
});

Deno.test("Ping is answered after the answers of the requests before it", async () => {
  const { peer } = await accepted({
    askLastTransaction: (_: unknown, from: Request<"AskLastTransaction">) => {
      from.answer({ tid: ZERO_TID });
    },
  });
  peer.send("AskLastTransaction", 0, {});
  peer.send("Ping", 1, {});
  peer.send("AskLastTransaction", 2, {});
  await quiet();
  assert.deepEqual(peer.summary.map(([name, id]) => `${name} ${id}`), [
    "AnswerLastTransaction 0",
    "Pong 1",
    "AnswerLastTransaction 2",
  ]);
});

Deno.test("Connection.push() keeps short notifications for later, and long ones go", async () => {
  const { connection, peer } = await accepted();
  const object = (length: number) => ({
    oid: toOid(1),
    tid: toTid(1),
    compression: 0,
    checksum: new Uint8Array(20),
    data: new Uint8Array(length),
    dataSerial: null,
  });
  await quiet();
  connection.push(9, "AddObject", object(10));
  await quiet();
  assert.equal(peer.summary.length, 0);
  connection.push(9, "AddObject", object(70_000));
  await quiet();
  assert.equal(peer.summary.length, 2);
  connection.push(9, "AddObject", object(10));
  connection.notify("NotifyReady", {});
  await quiet();
  assert.deepEqual(peer.summary.map(([name]) => name), [
    "AddObject",
    "AddObject",
    "AddObject",
    "NotifyReady",
  ]);
});
