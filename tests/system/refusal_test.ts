/** What makes programs end before they begin: one clear line, and a status that is not 0. */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { freePort, NodeProcess, PERMISSIONS, until } from "../support/processes.ts";

type NodeName = keyof typeof PERMISSIONS;

/** Runs a node to its end; what it says is without date and place. */
async function refusal(node: NodeName, ...args: string[]): Promise<[number, string]> {
  const process = new NodeProcess(node, [
    ...["run", ...PERMISSIONS[node], `${node}/main.ts`, "--cluster", "test", ...args],
  ]).start();
  const { code } = await process.ended();
  return [code, process.output.replace(/^.*?(:\s*\d+\]|neo\w+: error:) /, "")];
}

Deno.test("nodes tell in one line why they can't start", async () => {
  const folder = await Deno.makeTempDir();
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const bind = `127.0.0.1:${taken.addr.port}`;
  const path = (name: string) => `${folder}/${name}`;
  Deno.mkdirSync(path("folder"));
  Deno.writeTextFileSync(path("text"), "neither a database nor a list of masters. ".repeat(20));
  const other = new DatabaseSync(path("other.sqlite"));
  other.exec("CREATE TABLE visitors (name)");
  other.close();
  const sqlite = (name: string) => ["--adapter", "SQLite", "--database", path(name)];
  try {
    const cases: [NodeName, string[], RegExp][] = [
      ["master", ["--bind", bind], /^can't listen to 127\.0\.0\.1:\d+: Address already in use/],
      ["admin", ["--bind", bind], /^can't listen to 127\.0\.0\.1:\d+: Address already in use/],
      [
        "storage",
        ["--bind", bind, ...sqlite("new.sqlite")],
        /^can't listen to 127\.0\.0\.1:\d+: Address already in use/,
      ],
      ["master", ["--bind", "192.0.2.1:1"], /^can't listen to 192\.0\.2\.1:1: Cannot assign/],
      ["master", ["-f", path("folder")], /^can't read configuration file .*: Is a directory/],
      ["master", ["-f", path("text")], /text, line 1: .* comes before the first \[section\]$/],
      ["master", ["-l", path("none/log")], /^can't open log database .*unable to open/],
      ["master", ["-l", path("other.sqlite")], /log, as it contains 'visitors'$/],
      ["admin", ["-D", path("text")], /^dynamic master list .*: it is not JSON; expected/],
      ["admin", ["-D", path("none/list")], /^can't create dynamic master list .*: No such file/],
      [
        "master",
        ["--ca", path("none"), "--cert", path("none"), "--key", path("none")],
        /^can't read the certificate authority .*none: No such file/,
      ],
      ["storage", sqlite("folder"), /^the database file can not be opened: Is a directory/],
      ["storage", sqlite("none/x"), /^the database file can not be opened: No such file/],
      ["storage", sqlite("text"), /^SQLite: file is not a database$/],
      ["storage", sqlite("other.sqlite"), /^the database is not one of NEO, as it contains visit/],
      ["storage", [...sqlite("new2.sqlite"), "--new-nid"], /^new-nid is for the copy of a/],
      ["storage", ["--database", `x${path("socket")}`], /^MySQL: connect ENOENT/],
      ["storage", ["--database", "mysql://a@127.0.0.1:1/x"], /^MySQL: connect ECONNREFUSED/],
    ];
    const results = await Promise.all(
      cases.map(([node, args]) => refusal(node, "--bind", `127.0.0.1:${freePort()}`, ...args)),
    );
    for (const [index, [code, said]] of results.entries()) {
      const [node, args, expected] = cases[index] ?? assert.fail();
      const what = `${node} ${args.join(" ")}`;
      const lines = said.trimEnd().split("\n");
      assert.equal(code, 1, what);
      assert.equal(lines.length, 1, `${what}: ${said}`);
      assert.match(lines[0] ?? "", expected, what);
    }
  } finally {
    taken.close();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a second storage on a database refuses to start", async () => {
  const folder = await Deno.makeTempDir();
  const args = ["--adapter", "SQLite", "--database", `${folder}/db`, "-l", `${folder}/log`];
  const first = new NodeProcess("storage", [
    ...["run", ...PERMISSIONS.storage, "storage/main.ts", "--cluster", "test", "-v", ...args],
  ]).start();
  try {
    await until("the first storage runs", () => /127\.0\.0\.1:10000/.test(first.output));
    const [code, said] = await refusal("storage", ...args.slice(0, -2));
    assert.equal(code, 1);
    assert.match(said, /^(?!.*\n.*\n).*another process|locked|in use/);
  } finally {
    await first.kill();
    await Deno.remove(folder, { recursive: true });
  }
});
