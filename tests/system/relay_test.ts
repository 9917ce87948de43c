/** The network of chaos runs: what it does to the streams of a program. */

import assert from "node:assert/strict";
import { detour } from "./chaos/detour.ts";
import { Relay } from "./chaos/relay.ts";
import { freePort } from "../support/processes.ts";

const HOST = "127.0.0.1";

/** A relay between the program of this test, `here`, and a server that sends back what it gets. */
class Scene implements Disposable {
  readonly #server = Deno.listen({ hostname: HOST, port: 0 });
  readonly relay = new Relay((_, port) => port === this.port ? "echo" : "nobody");
  readonly #detour = detour("here", this.relay.port);

  constructor() {
    this.#serve();
  }

  get port(): number {
    return this.#server.addr.port;
  }

  async #serve(): Promise<void> {
    for await (const conn of this.#server) {
      conn.readable.pipeTo(conn.writable).catch(() => {});
    }
  }

  connect(signal?: AbortSignal): Promise<Deno.TcpConn> {
    return Deno.connect({ hostname: HOST, port: this.port, ...signal && { signal } });
  }

  [Symbol.dispose](): void {
    this.#detour[Symbol.dispose]();
    this.relay[Symbol.dispose]();
    this.#server.close();
  }
}

/** What comes back of a text, `null` if the stream ends. */
async function echo(conn: Deno.TcpConn, text: string): Promise<string | null> {
  await conn.write(new TextEncoder().encode(text));
  return await receive(conn);
}

async function receive(conn: Deno.TcpConn): Promise<string | null> {
  const buffer = new Uint8Array(100);
  const length = await conn.read(buffer).catch(() => null);
  return length === null ? null : new TextDecoder().decode(buffer.subarray(0, length));
}

Deno.test("Relay passes on what two nodes send, and the end of it", async () => {
  using scene = new Scene();
  using conn = await scene.connect();
  assert.equal(await echo(conn, "one"), "one");
  assert.equal(await echo(conn, "two"), "two");
  await conn.closeWrite();
  assert.equal(await receive(conn), null);
});

Deno.test("Relay refuses streams to where nobody listens", async () => {
  using _scene = new Scene();
  await assert.rejects(Deno.connect({ port: freePort() }), Deno.errors.ConnectionRefused);
});

Deno.test("Relay.cut() breaks streams and refuses others until heal(), between two nodes only", async () => {
  using scene = new Scene();
  using conn = await scene.connect();
  scene.relay.cut("echo", "another");
  assert.equal(await echo(conn, "still here"), "still here");
  scene.relay.cut("echo", "here");
  assert.equal(await receive(conn), null);
  await assert.rejects(scene.connect(), Deno.errors.ConnectionRefused);
  scene.relay.heal("here", "echo");
  using again = await scene.connect();
  assert.equal(await echo(again, "back"), "back");
});

Deno.test("Relay.reset() breaks streams once", async () => {
  using scene = new Scene();
  using conn = await scene.connect();
  scene.relay.reset("here", "echo");
  assert.equal(await receive(conn), null);
  using again = await scene.connect();
  assert.equal(await echo(again, "back"), "back");
});

Deno.test("Relay.freeze() keeps what is sent, and who connects, until heal()", async () => {
  using scene = new Scene();
  using conn = await scene.connect();
  scene.relay.freeze("here", "echo");
  const received: unknown[] = [];
  const answer = echo(conn, "late").then((text) => received.push(text));
  const other = scene.connect().then((conn) => {
    received.push("connected");
    conn.close();
  });
  const impatient = scene.connect(AbortSignal.timeout(50));
  await assert.rejects(impatient, { name: "TimeoutError" });
  assert.deepEqual(received, []);
  scene.relay.heal("here", "echo");
  await Promise.all([answer, other]);
  assert.deepEqual(received.sort(), ["connected", "late"]);
});

Deno.test("detour() is undone by its disposal", async () => {
  const original = Deno.connect;
  {
    using _scene = new Scene();
    assert.notEqual(Deno.connect, original);
  }
  assert.equal(Deno.connect, original);
  await assert.rejects(original({ port: freePort() }), Deno.errors.ConnectionRefused);
});
