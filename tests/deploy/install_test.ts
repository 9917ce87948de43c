import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect, toOid } from "../../client/mod.ts";
import { installablePrograms } from "../../deploy/programs.ts";
import { freePort, NodeProcess, ROOT, until } from "../support/processes.ts";
import { Machine } from "./support.ts";

Deno.test("install makes commands of all programs, with the permissions of the tasks", async () => {
  await using machine = await Machine.create();
  const names = [...Deno.readDirSync(machine.path("usr/local/bin"))].map(({ name }) => name);
  assert.deepEqual(
    names.sort(),
    ["neoadmin", "neoctl", "neolog", "neomaster", "neomigrate", "neostorage"],
  );
  await Promise.all(
    installablePrograms().map(async ({ name, permissions }) => {
      assert.ok(permissions.length > 0 && permissions.every((word) => /^--allow-\w+/.test(word)));
      const text = await Deno.readTextFile(machine.path(`usr/local/bin/${name}`));
      for (const permission of permissions) assert.ok(text.includes(`'${permission}'`));
      const { code, stdout, stderr } = await machine.run(name, "--help");
      assert.deepEqual([code, stderr], [0, ""], name);
      assert.match(stdout, /usage/i);
    }),
  );
  const { code, stderr } = await machine.run("neoctl", "-a", "127.0.0.1:1", "print", "cluster");
  assert.equal(code, 1);
  assert.match(stderr, /^ERROR: not connected/);
});

async function compile(args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-read", "--allow-write", "--allow-env=HOME", "--allow-run=deno"],
      ...["deploy/compile.ts", ...args],
    ],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Checks what an executable is made of, on a base that can't run it: Deno itself. */
async function compileOnStandIn(folder: string): Promise<void> {
  const { code, stdout, stderr } = await compile(["--output", folder, "neostorage"], {
    DENORT_BIN: Deno.execPath(),
  });
  assert.deepEqual([code, stdout], [0, `${await Deno.realPath(folder)}/neostorage\n`], stderr);
  const content = Buffer.from(await Deno.readFile(`${folder}/neostorage`));
  const { main, workers } = installablePrograms().find(({ name }) => name === "neostorage") ??
    assert.fail();
  // No other module imports the workers.
  for (const module of [main, ...workers]) {
    assert.ok(content.includes(await Deno.readTextFile(new URL(module, ROOT))), module);
  }
}

Deno.test("compile refuses programs that do not exist", async () => {
  const { code, stderr } = await compile(["neostorage", "neo"]);
  assert.equal(code, 2);
  assert.match(stderr, /compile: error: there is no program 'neo'\n/);
});

Deno.test("compile makes executables that run a cluster", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const compiled = await compile(["--output", folder]);
    if (compiled.code !== 0 && /denort.*(dns|connect|request)/is.test(compiled.stderr)) {
      await compileOnStandIn(folder);
      console.warn(
        "NOT TESTED: whether executables run, as their base can't be downloaded here: " +
          compiled.stderr,
      );
      return;
    }
    assert.equal(compiled.code, 0, compiled.stderr);
    const [master, admin] = [freePort(), freePort()].map((port) => `127.0.0.1:${port}`);
    assert(master !== undefined && admin !== undefined);
    const start = (program: string, ...args: string[]) =>
      new NodeProcess(program, ["--cluster", "test", ...args], {}, `${folder}/${program}`).start();
    const processes = [
      start("neomaster", "--bind", master, "--autostart", "1", "--partitions", "2"),
      start("neostorage", "-m", master, "-a", "SQLite", "-d", `${folder}/db.sqlite`),
      start("neoadmin", "-m", master, "--bind", admin),
    ];
    try {
      await using client = await connect(`neo://test@${master}`);
      await using txn = await client.begin();
      await txn.store(toOid(1), null, new Uint8Array(3));
      await txn.commit();
      const ctl = new Deno.Command(`${folder}/neoctl`, { args: ["-a", admin, "print", "cluster"] });
      await until("neoctl works", async () => {
        return new TextDecoder().decode((await ctl.output()).stdout) === "RUNNING\n";
      });
    } finally {
      await Promise.all(processes.map((process) => process.kill()));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the container file copies all that programs import", async () => {
  const text = await Deno.readTextFile(new URL("../../deploy/Containerfile", import.meta.url));
  const copied = [...text.matchAll(/^COPY (.*) \S+$/gm)].flatMap(([, names = ""]) =>
    names.split(" ")
  );
  for (const name of copied) await Deno.stat(new URL(name, ROOT));
  for (const { main } of installablePrograms()) {
    const { stdout } = await new Deno.Command("deno", {
      args: ["info", "--json", main],
      cwd: ROOT,
    }).output();
    const graph: { modules: { specifier: string }[] } = JSON.parse(
      new TextDecoder().decode(stdout),
    );
    for (const { specifier } of graph.modules) {
      if (!specifier.startsWith(ROOT.href)) continue;
      const [top = ""] = specifier.slice(ROOT.href.length).split("/");
      assert.ok(copied.includes(top), specifier);
    }
  }
  assert.match(text, new RegExp(`deno:debian-${Deno.version.deno.replaceAll(".", "\\.")}\n`));
});
