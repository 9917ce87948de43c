import assert from "node:assert/strict";
import { openStream, quietNetwork } from "./support.ts";

Deno.test("Network keeps the order of a stream, whatever its delays", async () => {
  for (let seed = 1; seed < 20; seed++) {
    const world = quietNetwork({ jitter: 50, fragmentation: 0.5 }, seed);
    const { near, far } = await openStream(world);
    let text = "";
    for (let i = 0; i < 50; i++) {
      near.write(`${i};`);
      text += `${i};`;
      if (i % 10 === 0) await world.pass(10);
    }
    await world.pass(5000);
    assert.equal(far.text, text);
  }
});

Deno.test("Network lets messages that are not of the same direction overtake each other", async () => {
  const first = new Set<string>();
  for (let seed = 1; seed < 20; seed++) {
    const world = quietNetwork({ jitter: 5 }, seed);
    const { near, far } = await openStream(world);
    near.write("x");
    far.write("y");
    await world.clock.until(() => far.text + near.text !== "", 1000, "something");
    first.add(far.text + near.text);
  }
  assert.deepEqual([...first].sort(), ["x", "y"]);
});

Deno.test("Network.block() holds what is sent one way, until it is unblocked", async () => {
  const world = quietNetwork();
  const { near, far } = await openStream(world);
  const unblock = world.network.block("a", "b");
  const again = world.network.block("a", "b");
  near.write("there");
  far.write("back");
  await world.pass(10_000);
  assert.deepEqual([far.text, near.text], ["", "back"]);
  unblock();
  await world.pass(10);
  assert.equal(far.text, "");
  again();
  await world.pass(10);
  assert.equal(far.text, "there");
});

Deno.test("Network.cut() makes both ends notice", async () => {
  const world = quietNetwork();
  const { near, far } = await openStream(world);
  assert.equal(world.network.cut("b", "a"), 1);
  await world.pass(1000);
  for (const { end } of [near, far]) assert.match(String(end), /the network broke the connection/);
  assert.deepEqual([...world.network.open()], ["listener at b:1"]);
});

Deno.test("Port.kill() of a process delivers what was sent, and then the end", async () => {
  const world = quietNetwork();
  const { a, b, near, far } = await openStream(world);
  near.write("last words");
  a.kill(false);
  near.write("never said");
  await world.pass(10);
  assert.deepEqual([far.text, far.end, near.end], ["last words", null, undefined]);
  b.kill(false);
  assert.deepEqual([...world.network.open()], []);
});

Deno.test("Port.kill() of a machine is only noticed by those who write once it is back", async () => {
  const world = quietNetwork();
  const { b, near } = await openStream(world);
  b.kill(true);
  world.network.setPower("b", false);
  await world.pass(100_000);
  near.write("are you there?");
  await world.pass(100_000);
  assert.equal(near.end, undefined);
  world.network.setPower("b", true);
  await world.pass(10);
  assert.match(String(near.end), /connection reset by peer/);
});

Deno.test("Port.connect() is refused, times out, or is aborted", async () => {
  const world = quietNetwork();
  const { clock, network } = world;
  const port = network.port("a");
  const connect = (signal?: AbortSignal) =>
    clock.run(port.connect({ host: "b", port: 1 }, signal), 200_000, "an answer");
  await assert.rejects(connect(), /connection to b:1 refused/);
  network.setPower("b", false);
  await assert.rejects(connect(), /connection to b:1 timed out/);
  assert(clock.now > 120_000);
  const stop = new AbortController();
  clock.after(5000, () => stop.abort(new Error("enough")));
  await assert.rejects(connect(stop.signal), /enough/);
  await assert.rejects(connect(stop.signal), /enough/);
  await world.pass(10_000);
  assert.equal(clock.pending, 0);
});
