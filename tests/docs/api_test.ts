/** The documentation of what programs import, and its types. */

import assert from "node:assert/strict";
import { ROOT } from "../support/processes.ts";

/** What programs import, as far as it is documented by pages. */
const MODULES = ["mod.ts", "client/mod.ts", "node/open_telemetry.ts"];

async function deno(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, output: `${out}${err}` };
}

Deno.test("the public API is documented, and names no type that it does not export", async () => {
  const { code, output } = await deno("doc", "--lint", ...MODULES);
  assert.equal(code, 0, output);
});

Deno.test("deno task api writes the pages of the API into a folder", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { code, output } = await deno("task", "api", folder);
    assert.equal(code, 0, output);
    const read = (page: string) => Deno.readTextFile(`${folder}/${page}`);
    for (const symbol of ["connect", "Client", "ConflictError"]) {
      assert((await read("client/index.html")).includes(`>${symbol}<`), symbol);
    }
    assert((await read("opentelemetry/index.html")).includes(">openTelemetry<"));
    assert((await read("index.html")).includes("What programs import: the client"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("deno task api tells how it is used, and takes no option for a folder", async () => {
  const help = await deno("task", "api", "--help");
  assert.equal(help.code, 0, help.output);
  assert.match(help.output, /^Usage: deno task api FOLDER$/m);
  for (const args of [[], ["--output"], ["folder", "--html"], ["folder", "other"]]) {
    const { code, output } = await deno("task", "api", ...args);
    assert.equal(code, 2, output);
    assert.match(output, /api: error: (no folder is given|unexpected argument)/);
  }
  await assert.rejects(Deno.stat(new URL("--help", ROOT)), Deno.errors.NotFound);
});

Deno.test("deno publish accepts the package", async () => {
  const { code, output } = await deno(
    ...["publish", "--dry-run", "--allow-dirty", "--allow-slow-types"],
  );
  assert.equal(code, 0, output);
});

Deno.test("all types of the package are explicit, but those that derive from the messages", async () => {
  const { output } = await deno("publish", "--dry-run", "--allow-dirty");
  const places = [...output.matchAll(/^error\[.*\n *--> .*\/(\w+\/\w+\.ts):/gm)].map(([, path]) =>
    path
  );
  // The table of messages is the one place that tells what they are.
  const derived = ["protocol/messages.ts", "protocol/types.ts"];
  assert.deepEqual([...new Set(places)].sort(), derived, output);
});
