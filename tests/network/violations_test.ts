import assert from "node:assert/strict";
import { Connection } from "../../network/connection.ts";
import { ConnectionClosed, Refusal } from "../../network/handler.ts";
import { encodeMessage } from "../../protocol/codec.ts";
import { ErrorCode, NodeType } from "../../protocol/enums.ts";
import { ProtocolError } from "../../protocol/errors.ts";
import { accepted, errorText } from "./scene.ts";
import { openStream, Peer, quiet } from "./support.ts";

/** What is received and what is sent back. */
const VIOLATIONS: readonly (readonly [string, Uint8Array, RegExp | null])[] = [
  ["bytes are not MessagePack", Uint8Array.of(0xc1), null],
  ["a value is no array of 3", Uint8Array.of(0x92, 1, 2), null],
  ["the code is unknown", Uint8Array.of(0x93, 5, 0xcd, 0x12, 0x34, 0x90), null],
  ["the id is out of range", Uint8Array.of(0x93, 0xff, 2, 0x90), null],
  [
    "a message is not accepted in this phase",
    encodeMessage("AskPrimary", 5, {}),
    /^5 PROTOCOL_ERROR AskPrimary: unexpected message/,
  ],
  [
    "an answer was not asked for",
    encodeMessage("Pong", 5, {}),
    /^5 PROTOCOL_ERROR Pong: unexpected answer/,
  ],
  [
    "there are too many arguments",
    Uint8Array.of(0x93, 5, 2, 0x91, 0),
    /^5 PROTOCOL_ERROR Ping: Ping has 0 arguments, not 1/,
  ],
  [
    "an argument has another type",
    Uint8Array.of(0x93, 5, 0x19, 0x91, 0xc0),
    /^5 PROTOCOL_ERROR AskNewOIDs: expected an integer/,
  ],
  [
    "a member is not in its enumeration",
    Uint8Array.of(0x93, 5, 0x25, 0x91, 0xd4, 4, 9),
    /^5 PROTOCOL_ERROR AskNodeList: no member 9/,
  ],
  [
    "an error has an unknown code",
    Uint8Array.of(0x93, 5, 0xcd, 0x80, 0, 0x92, 99, 0xc4, 0),
    /^5 PROTOCOL_ERROR Error: unknown error code 99/,
  ],
];

for (const [what, bytes, answer] of VIOLATIONS) {
  const reaction = answer === null ? "closes" : "explains and closes";
  Deno.test(`Connection ${reaction} when ${what}`, async () => {
    const scene = await accepted({ notifyReady: () => assert.fail("handled") });
    scene.peer.write(bytes, encodeMessage("NotifyReady", 6, {}));
    await quiet();
    assert.equal(scene.connection.open, false);
    assert.ok(scene.peer.isClosed);
    assert.equal(scene.closings.length, 1);
    const errors = errorText(scene);
    if (answer === null) assert.deepEqual(errors, []);
    else {
      assert.equal(errors.length, 1);
      assert.match(errors[0] ?? "", answer);
    }
    scene.log.assertHas(/WARNING/);
  });
}

Deno.test("Connection explains and closes when an answer is of the wrong kind", async () => {
  const scene = await accepted();
  const asked = scene.connection.ask("AskClusterState", {});
  await quiet();
  scene.peer.send("AnswerPrimary", 0, { nid: 1 });
  await assert.rejects(asked, ConnectionClosed);
  assert.match(errorText(scene).join(), /^0 PROTOCOL_ERROR AnswerPrimary: unexpected answer/);
});

Deno.test("Connection ignores an acknowledgement and logs a complaint that nobody waits for", async () => {
  const { peer, connection, log } = await accepted();
  peer.send("Error", 3, { code: ErrorCode.ACK, message: "" });
  peer.send("Error", 4, { code: ErrorCode.PROTOCOL_ERROR, message: "go away" });
  await quiet();
  assert.ok(connection.open);
  assert.equal(peer.summary.length, 0);
  log.assertHas(/WARNING.*complains: PROTOCOL_ERROR go away/);
});

Deno.test("a refusal keeps the connection, but for NOT_READY and PROTOCOL_ERROR", async () => {
  for (const code of [ErrorCode.DENIED, ErrorCode.READ_ONLY_ACCESS, ErrorCode.OID_NOT_FOUND]) {
    const scene = await accepted({
      askPrimary() {
        throw new Refusal(code, "no");
      },
    });
    scene.peer.send("AskPrimary", 5, {});
    await quiet();
    assert.ok(scene.connection.open);
    assert.deepEqual(errorText(scene), [`5 ${ErrorCode[code]} no`]);
  }
  for (const code of [ErrorCode.NOT_READY, ErrorCode.PROTOCOL_ERROR]) {
    const scene = await accepted({
      askPrimary() {
        throw new Refusal(code, "no");
      },
    });
    scene.peer.send("AskPrimary", 5, {});
    await quiet();
    assert.ok(!scene.connection.open && scene.peer.isClosed);
    assert.match(errorText(scene).join(), new RegExp(`^5 ${ErrorCode[code]} .*no$`));
  }
});

for (const when of ["at once", "later"]) {
  Deno.test(`a handler that fails ${when} costs its connection, and no other`, async () => {
    const handler = {
      askPrimary: () => {
        if (when === "at once") throw new Error("bug");
        return Promise.resolve().then(() => Promise.reject(new Error("bug")));
      },
    };
    const scene = await accepted(handler);
    const [near, far] = await openStream(scene.env);
    const other = new Connection(scene.env, far, { connecting: false, handler });
    const friend = new Peer(near);
    friend.handshake();
    scene.peer.send("AskPrimary", 5, {});
    await quiet();
    friend.send("Ping", 1, {});
    await quiet();
    assert.deepEqual(errorText(scene), ["5 PROTOCOL_ERROR internal error"]);
    assert.ok(scene.peer.isClosed && !scene.connection.open);
    assert.ok(other.open);
    assert.deepEqual(friend.summary, [["Pong", 1, {}]]);
    scene.log.assertHas(/ERROR AskPrimary of .* failed: Error: bug/);
  });
}

Deno.test("what handlers throw later is a violation, a refusal, or nothing once it is closed", async () => {
  const failures = [
    new ProtocolError("odd"),
    new Refusal(ErrorCode.DENIED, "no"),
    new ConnectionClosed("gone"),
  ];
  const texts: string[] = [];
  for (const failure of failures) {
    const { promise, reject } = Promise.withResolvers<void>();
    const scene = await accepted({ askPrimary: () => promise });
    scene.peer.send("AskPrimary", 5, {});
    await quiet();
    if (failure instanceof ConnectionClosed) scene.peer.transport.close();
    await quiet();
    reject(failure);
    await quiet();
    texts.push(errorText(scene).join());
    assert.ok(!scene.log.lines.some((line) => line.startsWith("ERROR")), scene.log.lines.join());
  }
  assert.deepEqual(texts, ["5 PROTOCOL_ERROR AskPrimary: odd", "5 DENIED no", ""]);
});

Deno.test("callbacks of answers that fail cost their connection", async () => {
  const scene = await accepted();
  scene.connection.request("AskClusterState", {}, () => {
    throw new Error("bug");
  }, () => {});
  await quiet();
  scene.peer.send("AnswerClusterState", 0, { state: null });
  await quiet();
  assert.ok(!scene.connection.open);
  scene.log.assertHas(/ERROR AnswerClusterState .*bug/);
});

Deno.test("Connection refuses a long message that nobody accepts without decoding it", async () => {
  const scene = await accepted();
  scene.connection.identified("C1", NodeType.CLIENT);
  // The types of its arguments are wrong, which decoding would notice first.
  const rows = new Uint8Array(100_000).fill(0x90);
  const head = [0x93, 5, 0x0a, 0x93, 0xc0, 0, 0xdd, 0, 1, 0x86, 0xa0];
  scene.peer.write(Uint8Array.of(...head, ...rows.subarray(1), 0xc0));
  await quiet();
  assert.deepEqual(errorText(scene), ["5 PROTOCOL_ERROR SendPartitionTable: unexpected message"]);
  assert.equal(scene.connection.open, false);
});
