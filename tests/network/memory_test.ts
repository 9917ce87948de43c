import assert from "node:assert/strict";
import { MemoryNetwork, NETWORK_CAPACITY } from "../../network/memory.ts";
import { HERE, openStream, Peer, quiet, world } from "./support.ts";

Deno.test("MemoryNetwork delivers after the delay, in order, whatever it becomes", async () => {
  let delay = 100;
  const { env, clock } = world({ delay: () => delay });
  const opening = openStream(env);
  await clock.advance(100);
  const [near, far] = (await opening).map((transport) => new Peer(transport));
  assert.ok(near && far);
  near.write(Uint8Array.of(1));
  delay = 10;
  near.write(Uint8Array.of(2));
  far.write(Uint8Array.of(3));
  await clock.advance(10);
  assert.deepEqual([...near.bytes], [3]);
  await clock.advance(89);
  assert.equal(far.length, 0);
  await clock.advance(1);
  assert.deepEqual([...far.bytes], [1, 2]);
});

Deno.test("MemoryNetwork lets bytes travel together", async () => {
  const { env, clock } = world({ delay: () => 10 });
  const opening = openStream(env);
  await clock.advance(10);
  const [near, far] = (await opening).map((transport) => new Peer(transport));
  assert.ok(near && far);
  for (let i = 0; i < 100; i++) near.write(Uint8Array.of(i));
  await clock.advance(10);
  assert.equal(far.length, 100);
});

Deno.test("MemoryNetwork holds a bounded number of bytes, and the sender the rest", async () => {
  const { env } = world();
  const [near, far] = (await openStream(env)).map((transport) => new Peer(transport));
  assert.ok(near && far);
  far.transport.pause();
  near.write(new Uint8Array(NETWORK_CAPACITY + 1000));
  await quiet();
  assert.equal(near.transport.buffered, 1000);
  assert.equal(far.length, 0);
  far.transport.resume();
  await quiet();
  assert.equal(near.transport.buffered, 0);
  assert.deepEqual(far.chunks.map((chunk) => chunk.length), [NETWORK_CAPACITY, 1000]);
});

Deno.test("MemoryNetwork gives the receiver a copy", async () => {
  const { env } = world();
  const [near, far] = (await openStream(env)).map((transport) => new Peer(transport));
  assert.ok(near && far);
  const bytes = Uint8Array.of(1);
  near.transport.write(bytes);
  await quiet();
  bytes[0] = 2;
  assert.deepEqual(far.bytes, Uint8Array.of(1));
});

Deno.test("Link.cut() loses what is on its way and tells both ends why", async () => {
  const { env, network } = world();
  const [near, far] = (await openStream(env)).map((transport) => new Peer(transport));
  assert.ok(near && far);
  assert.equal(network.links.size, 1);
  near.write(new Uint8Array(200_000));
  for (const link of network.links) link.cut();
  await quiet();
  assert.equal(far.length, 0);
  assert.match(String(near.closedWith), /the network broke the connection/);
  assert.match(String(far.closedWith), /the network broke the connection/);
  assert.equal(near.transport.buffered, 0);
  assert.equal(network.links.size, 0);
});

Deno.test("Link.freeze() stops everything silently until thaw()", async () => {
  const { env, network } = world();
  const [near, far] = (await openStream(env)).map((transport) => new Peer(transport));
  assert.ok(near && far);
  const [link] = network.links;
  assert.ok(link);
  link.freeze();
  near.write(Uint8Array.of(1));
  near.transport.close();
  await quiet();
  assert.ok(near.isClosed && !far.isClosed);
  assert.equal(far.length, 0);
  link.thaw();
  await quiet();
  assert.ok(far.isClosed);
  assert.equal(far.length, 1);
});

Deno.test("MemoryNetwork refuses streams between hosts that don't reach each other", async () => {
  let reachable = false;
  const { clock, env } = world();
  const network = new MemoryNetwork(clock, {
    reachable: (from, to) => reachable || from.host === to.host,
  });
  const a = network.host("10.0.0.1");
  const b = network.host("10.0.0.2");
  const listener = await b.listen({ host: "10.0.0.2", port: 7 }, (transport) => transport.close());
  await assert.rejects(a.connect(listener.address), /connection to 10\.0\.0\.2:7 refused/);
  (await b.connect(listener.address)).close();
  reachable = true;
  const transport = await a.connect(listener.address);
  assert.deepEqual(transport.remote, listener.address);
  transport.close();
  assert.ok(env);
});

Deno.test("MemoryNetwork gives up connecting when the signal says so", async () => {
  const { env, clock } = world({ delay: () => 100 });
  const listener = await env.listen(HERE, () => assert.fail("accepted"));
  const controller = new AbortController();
  const connecting = env.connect(listener.address, controller.signal);
  controller.abort(new Error("changed my mind"));
  await assert.rejects(connecting, /changed my mind/);
  await clock.advance(1000);
  assert.equal(clock.timers, 0);
});

Deno.test("an end of a MemoryNetwork that is lost before it is started is closed when started", async () => {
  const { env, network } = world();
  const [near] = await openStream(env);
  for (const link of network.links) link.cut();
  const peer = new Peer(near);
  await quiet();
  assert.ok(peer.isClosed);
});
