/** Does what `docs/getting-started.md` says, at other ports and in another folder. */

import assert from "node:assert/strict";
import { installablePrograms } from "../../deploy/programs.ts";
import { Page } from "./page.ts";
import { freePort, NodeProcess, ROOT, until } from "../support/processes.ts";

Deno.test("docs/getting-started.md works as it is written", async () => {
  const folder = await Deno.makeTempDir();
  const ports: Readonly<Record<string, number>> = { "10000": freePort(), "9999": freePort() };
  const page = Page.read("docs/getting-started.md");
  const here = (text: string) =>
    text.replaceAll(/(?<=127\.0\.0\.1:)(10000|9999)/g, (port) => String(ports[port]))
      .replaceAll(/s[12]\.sqlite|\.\/data/g, (name) => `${folder}/${name.replace("./", "")}`);
  const tasks = new Map(installablePrograms().map((program) => [program.name, program]));
  const processes: NodeProcess[] = [];
  const output: string[] = [];
  const neoctl = async (...args: string[]) => {
    const { permissions = [], main = "" } = tasks.get("neoctl") ?? {};
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", ...permissions, main, "-a", `127.0.0.1:${ports["9999"]}`, ...args],
      cwd: ROOT,
    }).output();
    const decoder = new TextDecoder();
    return { success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  };
  /** Does one line of a block. */
  const execute = async (line: string) => {
    const [first = "", ...words] = line.split(" ");
    const program = tasks.get(first);
    if (line.startsWith("deno task cluster")) {
      const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
      const run = tasks.cluster.command.split(" ").slice(1);
      const where = [
        "--bind",
        `127.0.0.1:${ports["10000"]}`,
        "--admin",
        `127.0.0.1:${ports["9999"]}`,
      ];
      const cluster = new NodeProcess("cluster", [...run, ...words.slice(2), ...where]).start();
      processes.push(cluster);
      await until("the cluster is ready", () => cluster.output.includes("is ready"));
    } else if (line === "deno run --allow-net first.ts") {
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-net", `${folder}/first.ts`],
        cwd: folder,
      }).output();
      const decoder = new TextDecoder();
      assert.equal(decoder.decode(stdout), "Hello, NEO! true\n", decoder.decode(stderr));
    } else if (line.startsWith("deno task install")) {
      const [cluster] = processes.splice(0);
      await cluster?.kill("SIGINT");
    } else if (/^(deno task )?neoctl /.test(line)) {
      const args = words.filter((word) => !["task", "neoctl"].includes(word));
      if (args[0] === "start") {
        await until("both storages wait", async () => {
          return (await neoctl("print", "node")).stdout.match(/PENDING/g)?.length === 2;
        });
      }
      let result = { success: false, stdout: "", stderr: "" };
      await until(line, async () => (result = await neoctl(...args)).success);
      assert.equal(result.stderr, "");
      output.push(result.stdout);
    } else if (program !== undefined) {
      processes.push(
        new NodeProcess(first, ["run", ...program.permissions, program.main, ...words]).start(),
      );
    } else assert.fail(`what is '${line}'?`);
  };
  try {
    for (const block of page.all()) {
      const { language } = block;
      const text = here(block.text);
      if (language === "ts") {
        const client = new URL("client/mod.ts", ROOT).href;
        await Deno.writeTextFile(`${folder}/first.ts`, text.replace("./client/mod.ts", client));
      }
      if (language === "") continue;
      assert.ok(["sh", "ts"].includes(language), language);
      if (language === "ts") continue;
      for (const line of text.split("\n").filter(Boolean)) await execute(line);
    }
    page.assertExecuted();
    await until("the cluster of processes runs", async () => {
      return (await neoctl("print", "cluster")).stdout === "RUNNING\n";
    });
    assert.match(output.join(""), /^S1 R U{12}\nS2 R U{12}$/m);
    assert.equal((await neoctl("set", "cluster", "stopping")).success, true);
    for (const process of processes) assert.equal((await process.ended()).code, 0, process.output);
  } catch (error) {
    for (const { name, output } of processes) console.error(name, output.slice(-1000));
    throw error;
  } finally {
    await Promise.all(processes.map((process) => process.kill()));
    await Deno.remove(folder, { recursive: true });
  }
});
