import assert from "node:assert/strict";
import { MemoryNetwork } from "../../network/memory.ts";
import { silentLog } from "../../network/log.ts";
import { realEnvironment } from "../../network/real.ts";
import { HIGH_WATER_MARK, type Transport } from "../../network/transport.ts";
import { sharedCredentials } from "./certificates.ts";
import { openStream, Peer, until } from "./support.ts";

const real = realEnvironment({ log: silentLog });

/** All ways to carry a stream, which behave alike. */
const STREAMS: Readonly<Record<string, () => Promise<[Transport, Transport]>>> = {
  memory: () => openStream(new MemoryNetwork(real).host("127.0.0.1")),
  "slow memory": () => {
    return openStream(new MemoryNetwork(real, { delay: () => 2 }).host("127.0.0.1"));
  },
  tcp: () => openStream(real),
  tls: async () => {
    return await openStream(realEnvironment({ log: silentLog, tls: await sharedCredentials() }));
  },
};

/** Bytes that differ from their neighbours, whatever the distance. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = Math.imul(state, 1103515245) + 12345 >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

for (const [name, open] of Object.entries(STREAMS)) {
  const test = (title: string, body: (near: Peer, far: Peer) => Promise<void>) => {
    Deno.test(`${name} transport ${title}`, async () => {
      const [a, b] = await open();
      const near = new Peer(a);
      const far = new Peer(b);
      try {
        await body(near, far);
      } finally {
        near.transport.close();
        far.transport.close();
        await until(() => near.isClosed && far.isClosed, "both ends are closed");
      }
    });
  };

  test("carries bytes both ways in their order", async (near, far) => {
    const bytes = noise(3_000_000);
    for (let i = 0; i < bytes.length; i += 333_333) near.write(bytes.subarray(i, i + 333_333));
    for (const byte of bytes.subarray(0, 1000)) far.write(Uint8Array.of(byte));
    await until(() => far.length === bytes.length, "all is received");
    await until(() => near.length === 1000, "the answer is received");
    assert.ok(Uint8Array.prototype.every.call(far.bytes, (byte, i) => byte === bytes[i]));
    assert.deepEqual(near.bytes, bytes.slice(0, 1000));
    assert.equal(Object.getPrototypeOf(far.chunks[0]), Uint8Array.prototype);
  });

  test("knows the address of the other end", async (near, far) => {
    await Promise.resolve();
    assert.equal(near.transport.remote?.host, "127.0.0.1");
    assert.equal(far.transport.remote?.host, "127.0.0.1");
    assert.notEqual(near.transport.remote?.port, far.transport.remote?.port);
  });

  test("end() delivers everything before the end", async (near, far) => {
    const bytes = noise(5_000_000);
    near.write(bytes);
    near.transport.end();
    near.write(Uint8Array.of(1));
    await until(() => far.isClosed && near.isClosed, "both ends are closed");
    assert.equal(far.length, bytes.length);
    assert.equal(far.closedWith, null);
    assert.equal(near.closedWith, null);
  });

  test("end() reads nothing more", async (near, far) => {
    near.write(Uint8Array.of(1));
    near.transport.end();
    far.write(new Uint8Array(100));
    await until(() => near.isClosed, "the end is seen");
    assert.equal(near.length, 0);
    assert.deepEqual(far.bytes, Uint8Array.of(1));
  });

  test("close() ends both sides once", async (near, far) => {
    near.transport.close();
    near.transport.close();
    near.transport.end();
    near.write(Uint8Array.of(1));
    assert.equal(near.transport.buffered, 0);
    assert.equal(near.isClosed, false, "told from inside of close()");
    await until(() => near.isClosed && far.isClosed, "both ends are closed");
    assert.equal(near.closedWith, null);
    assert.equal(far.length, 0);
  });

  test("makes the sender wait when the receiver pauses, and continues", async (near, far) => {
    far.transport.pause();
    const chunk = noise(1 << 20);
    // More than systems and libraries hold.
    const count = 32;
    for (let i = 0; i < count; i++) near.write(chunk);
    await until(() => near.transport.buffered > HIGH_WATER_MARK, "the sender waits");
    near.write(Uint8Array.of(1));
    await until(() => near.transport.buffered > 0, "the sender waits");
    assert.ok(near.transport.buffered > HIGH_WATER_MARK);
    // What was being read when reading was paused.
    assert.ok(far.length <= 1 << 17, `${far.length} bytes were received while paused`);
    assert.equal(near.drains, 0);
    far.transport.resume();
    await until(() => far.length === count * chunk.length + 1, "all is received");
    await until(() => near.drains === 1, "the sender is told");
    assert.equal(near.transport.buffered, 0);
  });

  test("tells the end to a receiver that paused when it reads again", async (near, far) => {
    far.transport.pause();
    near.write(noise(1000));
    near.transport.end();
    assert.equal(far.isClosed, false);
    far.transport.resume();
    await until(() => far.isClosed, "the end is received");
    assert.equal(far.length, 1000);
  });

  test("can be closed by a receiver that paused", async (near, far) => {
    near.transport.pause();
    far.write(noise(100_000));
    near.transport.close();
    await until(() => near.isClosed && far.isClosed, "both ends are closed");
  });

  test("still reads what came before when writing has become impossible", async (near, far) => {
    far.transport.pause();
    near.write(noise(10_000));
    await until(() => near.transport.buffered === 0, "the system took it");
    near.transport.close();
    await until(() => near.isClosed, "one end is closed");
    far.write(noise(100_000), noise(100_000));
    far.transport.resume();
    await until(() => far.isClosed, "the end is received");
    assert.equal(far.length, 10_000);
  });
}

for (const name of ["memory", "tcp"]) {
  Deno.test(`connect() over ${name} fails when nobody listens`, async () => {
    const env = name === "tcp" ? real : new MemoryNetwork(real).host("127.0.0.1");
    const listener = await env.listen({ host: "127.0.0.1", port: 0 }, () => {});
    assert.notEqual(listener.address.port, 0);
    await assert.rejects(env.listen(listener.address, () => {}), /in use/i);
    listener.close();
    listener.close();
    await assert.rejects(env.connect(listener.address), /refused|reset/i);
  });

  Deno.test(`connect() over ${name} fails with the reason of the signal`, async () => {
    const env = name === "tcp" ? real : new MemoryNetwork(real).host("127.0.0.1");
    const reason = new Error("no time");
    await assert.rejects(
      env.connect({ host: "127.0.0.1", port: 9 }, AbortSignal.abort(reason)),
      reason,
    );
  });
}
