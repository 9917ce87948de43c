/** Does what `README.md` says, at other ports and in other folders. */

import assert from "node:assert/strict";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { freePort, type NodeProcess, ROOT, until } from "../support/processes.ts";
import { Page } from "./page.ts";
import { Shell } from "./shell.ts";

/** The commands of a block, one by one. */
const lines = (block: string) => block.split("\n").filter((line) => line !== "");

Deno.test("README.md works as it is written", async () => {
  const page = Page.read("README.md");
  const folder = await Deno.makeTempDir();
  const [master, admin, cluster] = [freePort(), freePort(), freePort()];
  const mariadb = hasMariadb ? await Mariadb.start() : null;
  const database = mariadb === null
    ? `--adapter SQLite --database ${folder}/s1.sqlite`
    : `--adapter MySQL --database ${mariadb.address(await mariadb.createDatabase())}`;
  // It would fetch the version of Deno that runs this.
  await Deno.writeTextFile(
    `${folder}/npx`,
    `#!/bin/sh -e\n[ "$1 $2" = "-y deno@${Deno.version.deno}" ]\nshift 2\nexec deno "$@"\n`,
    { mode: 0o755 },
  );
  const shell = new Shell({
    folder: ROOT.pathname,
    path: [folder],
    translate: (text) =>
      text.replaceAll(
        /task cluster\b/g,
        `$& --data ${folder}/data -b 127.0.0.1:${cluster} -a 127.0.0.1:0`,
      )
        .replaceAll("--adapter MySQL --database neo:secret@neo1", database)
        .replaceAll("/srv/neo", folder)
        .replaceAll("task neoctl  -a", "task neoctl -a")
        .replaceAll("task neoctl  ", `task neoctl -a 10.0.0.1:9999 `)
        .replaceAll("10.0.0.1:10000", `127.0.0.1:${master}`)
        .replaceAll("10.0.0.1:9999", `127.0.0.1:${admin}`)
        .replaceAll(/10\.0\.0\.\d/g, "127.0.0.1"),
  });
  const nodes: NodeProcess[] = [];
  try {
    const [first = "", second = "", ...rest] = lines(page.take("NEO for Deno"));
    assert.deepEqual(rest, []);
    const whole = shell.start(`exec ${first}`);
    nodes.push(whole);
    await until("the cluster is ready", () => whole.output.includes("is ready"));
    await whole.kill("SIGINT");
    assert.match(whole.output, /the cluster is stopped/);
    // This test is part of it.
    assert.match(second, /^npx -y deno@\S+ task test +#/);

    for (const line of lines(page.take("Running nodes one by one"))) {
      if (/task (master|storage|admin) /.test(line)) nodes.push(shell.start(`exec ${line}`));
      else if (line.endsWith(" start")) {
        await until("both storages wait", async () => {
          const listed = await shell.run("deno task neoctl  print node storage").catch(() => "");
          return listed.match(/PENDING/g)?.length === 2;
        });
        await shell.run(line.replace(" start", " --wait start"));
      } else await until(line, () => shell.run(line).then(() => true, () => false));
    }
    const third = `deno task storage --cluster prod --masters 10.0.0.1:10000 --bind 10.0.0.4 ` +
      "--adapter SQLite --database /srv/neo/s3.sqlite";
    nodes.push(shell.start(`exec ${third}`));
    await until("a third storage waits", async () => {
      return (await shell.run("deno task neoctl  print node storage")).includes("PENDING");
    });
    await shell.run(page.take("Running nodes one by one"));
    assert.match(await shell.run("deno task neoctl  print pt"), /^S1 R U+\nS3 R U+$/m);
    await shell.run("deno task neoctl  set cluster stopping");
    for (const node of nodes) assert.equal((await node.ended()).code, 0, node.output);
    page.assertExecuted();
  } catch (error) {
    for (const { output } of nodes) console.error(output.slice(-1500));
    throw error;
  } finally {
    await Promise.all(nodes.map((node) => node.kill("SIGTERM")));
    await mariadb?.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
