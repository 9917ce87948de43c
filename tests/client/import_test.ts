/**
 * The client as programs use it: imported by URL, with the least permissions.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ProcessCluster } from "../support/processes.ts";

const ROOT = new URL("../../", import.meta.url);

const PROGRAM = `
const [url, uri] = Deno.args;
const { connect } = await import(url);
await using client = await connect(uri);
const oid = await client.newOid();
await using transaction = await client.begin({ user: "alice" });
await transaction.store(oid, null, new TextEncoder().encode("Hello!"));
const tid = await transaction.commit();
const { data, serial } = await client.load(oid);
console.log(new TextDecoder().decode(data), serial === tid);
`;

/** Serves the files of this repository, and tells which ones were fetched. */
function serveCheckout() {
  const fetched: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const path = new URL(request.url).pathname.slice(1);
      fetched.push(path);
      try {
        const text = await Deno.readTextFile(new URL(path, ROOT));
        return new Response(text, { headers: { "content-type": "application/typescript" } });
      } catch {
        return new Response(null, { status: 404 });
      }
    },
  );
  return { server, fetched, url: `http://127.0.0.1:${server.addr.port}/` };
}

Deno.test("client/mod.ts is imported by URL from anywhere, with --allow-net only", async () => {
  const folder = await Deno.makeTempDir();
  const { server, fetched, url } = serveCheckout();
  try {
    await using cluster = new ProcessCluster({
      partitions: 2,
      databases: [{ adapter: "SQLite", database: ":memory:" }],
    }).start();
    await Deno.mkdir(`${folder}/empty`);
    const program = new Deno.Command(Deno.execPath(), {
      // Hosts that are not well-known have to be allowed for imports.
      args: [
        "run",
        "--no-prompt",
        "--allow-net",
        "--allow-import",
        "-",
        `${url}client/mod.ts`,
        cluster.uri,
      ],
      cwd: `${folder}/empty`,
      env: { NO_COLOR: "1", DENO_DIR: `${folder}/cache` },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const input = program.stdin.getWriter();
    await input.write(new TextEncoder().encode(PROGRAM));
    await input.close();
    const { code, stdout, stderr } = await program.output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.deepEqual([code, out], [0, "Hello! true\n"], `${err}${cluster.output()}`);
    const folders = new Set(fetched.map((path) => path.replace(/\/.*/, "")));
    assert.deepEqual([...folders].sort(), ["client", "network", "node", "protocol"]);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
});
