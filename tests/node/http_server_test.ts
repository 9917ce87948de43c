import assert from "node:assert/strict";
import { listenHttp, MAX_HTTP_CONNECTIONS, plainText } from "../../node/http_server.ts";
import { until } from "../network/support.ts";

const HERE = { host: "127.0.0.1", port: 0 };

/** Calls with the port of a server that repeats the path, or fails. */
async function serving(use: (port: number) => Promise<void>): Promise<void> {
  const listener = listenHttp(HERE, ({ path }) => {
    if (path === "/bug") throw new Error("a bug");
    return plainText(200, path);
  });
  try {
    await use(listener.address.port);
  } finally {
    listener.close();
  }
}

/** Sends a text and returns all that comes back. */
async function exchange(port: number, ...parts: string[]): Promise<string> {
  using connection = await Deno.connect({ port });
  for (const part of parts) await connection.write(new TextEncoder().encode(part));
  return await new Response(connection.readable).text();
}

Deno.test("listenHttp() answers GET and HEAD", async () => {
  await serving(async (port) => {
    const url = `http://127.0.0.1:${port}`;
    const response = await fetch(`${url}/a/b?c=d`);
    assert.deepEqual([response.status, await response.text()], [200, "/a/b\n"]);
    const head = await fetch(`${url}/a`, { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
    assert.equal(head.headers.get("content-length"), "3");
    const post = await fetch(`${url}/a`, { method: "POST", body: "x".repeat(100_000) })
      .catch(() => null);
    // Who still sends may find the connection closed before it reads the answer.
    if (post !== null) assert.equal(post.status, 405);
    await post?.body?.cancel();
    const bug = await fetch(`${url}/bug`);
    assert.deepEqual([bug.status, await bug.text()], [500, "a bug\n"]);
  });
});

Deno.test("listenHttp() reads requests in any pieces, and refuses what is none", async () => {
  await serving(async (port) => {
    const answer = await exchange(port, "GET /x HT", "TP/1.1\r\nhost: y\r\n", "\r\n");
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n\/x\n$/);
    assert.match(await exchange(port, "\x92\xa3NEO\r\n\r\n"), /^HTTP\/1\.1 400 /);
    assert.match(await exchange(port, `GET /${"x".repeat(9000)}`), /^(HTTP\/1\.1 431 |$)/);
  });
});

Deno.test("listenHttp() closes the oldest of too many connections", async () => {
  await serving(async (port) => {
    const idle = await Promise.all(
      Array.from({ length: MAX_HTTP_CONNECTIONS }, () => Deno.connect({ port })),
    );
    for (const connection of idle) await connection.write(Uint8Array.of(0x47));
    assert.match(await exchange(port, "GET /x HTTP/1.1\r\n\r\n"), / 200 OK/);
    let closed = 0;
    const reading = idle.map(async (connection) => {
      await connection.read(new Uint8Array(1)).catch(() => null);
      closed++;
    });
    await until(() => closed > 0, "one is closed");
    assert.equal(closed, 1);
    for (const connection of idle) {
      try {
        connection.close();
      } catch {
        // It is closed.
      }
    }
    await Promise.all(reading);
  });
});
