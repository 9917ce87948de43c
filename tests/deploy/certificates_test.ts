import assert from "node:assert/strict";
import { localHost } from "../../node/host.ts";
import { readTlsFiles } from "../../node/tls_files.ts";
import { runTool } from "../support/processes.ts";

function certificates(...args: string[]) {
  const permissions = ["--allow-read", "--allow-write", "--allow-env=HOME", "--allow-run=openssl"];
  return runTool(...permissions, "deploy/certificates.ts", ...args);
}

Deno.test("certificates makes an authority and nodes that accept each other, and revokes one", async () => {
  const parent = await Deno.makeTempDir();
  const folder = `${parent}/tls`;
  const files = (name: string) => {
    const warnings: string[] = [];
    const paths = {
      ca: `${folder}/ca.crt`,
      cert: `${folder}/${name}.crt`,
      key: `${folder}/${name}.key`,
    };
    return readTlsFiles(paths, localHost, (text) => warnings.push(text))
      .then(() => warnings);
  };
  try {
    const first = await certificates(folder, "neo1", "10.0.0.2");
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    assert.deepEqual(await files("neo1"), []);
    assert.deepEqual(await files("10.0.0.2"), []);
    for (const key of ["ca.key", "neo1.key"]) {
      assert.equal(((await Deno.stat(`${folder}/${key}`)).mode ?? 0) & 0o777, 0o600);
    }

    const second = await certificates(folder, "neo1", "neo3", "--revoke", "neo1");
    assert.equal(second.code, 2, "options come first");
    const before = await Deno.readTextFile(`${folder}/neo1.crt`);
    const third = await certificates("--revoke", "10.0.0.2", folder, "neo1", "neo3");
    assert.deepEqual([third.code, third.stderr], [0, ""]);
    assert.match(third.stdout, /neo1\.crt exists already\n/);
    assert.equal(await Deno.readTextFile(`${folder}/neo1.crt`), before);
    assert.deepEqual(await files("neo3"), []);
    await Deno.rename(`${folder}/10.0.0.2.crt.revoked`, `${folder}/10.0.0.2.crt`);
    await assert.rejects(files("10.0.0.2"), {
      name: "ConfigError",
      message: /is revoked by a list/,
    });
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assert.ok(!names.some((name) => /\.(csr|ext|new)$/.test(name)), names.join());
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
});

Deno.test("certificates refuses in one line what it can't do", async () => {
  const [none, wrong, days] = await Promise.all([
    certificates(),
    certificates("/tmp/x", "a/b"),
    certificates("--days", "0", "/tmp/x"),
  ]);
  assert.equal(none.code, 2);
  assert.match(wrong.stderr, /error: 'a\/b' is not the name of a machine\n/);
  assert.deepEqual([days.code, days.stderr], [1, "certificates: error: days must be at least 1\n"]);
});
