/** Does what `docs/migration.md` says, with a small file. */

import assert from "node:assert/strict";
import { fixture } from "../filestorage/support.ts";
import { withCredentials } from "../network/certificates.ts";
import { ProcessCluster, ROOT } from "../support/processes.ts";
import { run } from "../support/python.ts";
import { Page } from "./page.ts";
import { Shell } from "./shell.ts";

Deno.test("docs/migration.md works as it is written", async () => {
  const page = Page.read("docs/migration.md");
  await withCredentials(async (_, folder) => {
    await Deno.rename(`${folder}/node.crt`, `${folder}/client.crt`);
    await Deno.rename(`${folder}/node.key`, `${folder}/client.key`);
    const [original, file] = [`${folder}/original.fs`, `${folder}/Data.fs`];
    await Deno.writeFile(original, await fixture("small"));
    const start = (name: string, extra: string[]) =>
      new ProcessCluster({
        name: "site",
        databases: [{ adapter: "SQLite", database: `${folder}/${name}.sqlite` }],
        extra,
      }).start();
    await using plain = start("plain", []);
    await using encrypted = start(
      "encrypted",
      ["ca.crt", "client.crt", "client.key"].flatMap((name, index) => [
        ["--ca", "--cert", "--key"][index] ?? "",
        `${folder}/${name}`,
      ]),
    );
    const execute = (section: string, { uri }: ProcessCluster) =>
      new Shell({
        folder: ROOT.pathname,
        path: [],
        // Tasks are run in the folder of the repository.
        translate: (text) =>
          text.replaceAll("neo://site@10.0.0.1:10000", uri)
            .replaceAll(
              /(?<= )(\/srv\/site\/)?(?=(Data\.fs|(ca|client)\.(crt|key))\b)/g,
              `${folder}/`,
            ),
      }).run(page.take(section));
    try {
      await Deno.copyFile(original, file);
      assert.match(await execute("From FileStorage to NEO", plain), /^copied /m);
      await Deno.remove(file);
      assert.match(await execute("From NEO to FileStorage", plain), /^copied /m);
      await run("cmp", original, file);
      assert.match(await execute("TLS", encrypted), /^copied /m);
    } catch (error) {
      console.error(plain.output(), encrypted.output());
      throw error;
    }
  });
  page.assertExecuted();
});
