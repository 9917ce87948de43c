/** What the documentation says is what the programs do. */

import assert from "node:assert/strict";
import { parseCommandLine } from "../../node/command_line.ts";
import type { OptionTable } from "../../node/option_kinds.ts";
import { neoadmin, neoctl, neomaster, neostorage } from "../../node/programs.ts";
import { neolog } from "../../neolog/options.ts";
import { parseConfigFile } from "../../node/config_file.ts";
import { loadOptions } from "../../node/options.ts";
import { fakeHost } from "../node/fake_host.ts";
import { Page } from "./page.ts";
import { ROOT, runTool } from "../support/processes.ts";

const PAGES = [
  "README.md",
  ...[...Deno.readDirSync(new URL("docs/", ROOT))]
    .map(({ name }) => `docs/${name}`)
    .filter((name) => name.endsWith(".md") && name !== "docs/messages.md"),
];

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

/** The commands of the shell blocks of a page. */
function commands(page: string): string[] {
  return Page.read(page).commands
    .filter(({ language }) => language !== "sql")
    .flatMap(({ text }) => text.replaceAll(/ *\\\n */g, " ").split("\n"))
    .map((line) => line.replace(/ +#.*$/, "").replace(/^\$ /, "").trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** The test that executes all commands of a page. */
const EXECUTED_BY: Readonly<Record<string, string>> = {
  "README.md": "tests/docs/readme_test.ts",
  "docs/deployment.md": "tests/deploy/walkthrough_test.ts",
  "docs/getting-started.md": "tests/docs/getting_started_test.ts",
  "docs/metrics.md": "tests/deploy/walkthrough_test.ts",
  "docs/migration.md": "tests/docs/migration_test.ts",
  "docs/operations.md": "tests/deploy/walkthrough_test.ts",
  "docs/tracing.md": "tests/system/tracing_test.ts",
};

const PROGRAMS: Readonly<Record<string, OptionTable>> = {
  neomaster: neomaster.options,
  neostorage: neostorage.options,
  neoadmin: neoadmin.options,
  neoctl: neoctl.options,
  neolog: neolog.options,
};
const TASKS: Readonly<Record<string, string>> = {
  master: "neomaster",
  storage: "neostorage",
  admin: "neoadmin",
  neoctl: "neoctl",
  neolog: "neolog",
};

/** The commands of a page, in its text, that are those of tasks or of our programs. */
function inlineCommands(page: string): string[] {
  const text = read(page).replaceAll(/^ *```[^]*?^ *```$/gm, "");
  return [...text.matchAll(/`((?:deno task |neo(?:master|storage|admin|ctl|log) )[^`]+)`/g)]
    .map(([, command = ""]) => command.replaceAll("\n", " "));
}

/** A command line of one of our programs, wherever it is in a line. */
function ownCommand(line: string): { program: string; args: string[] } | null {
  const words = (line.match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) =>
    word.replace(/^["']|["']$/g, "")
  );
  const [first = "", second = "", third = "", ...rest] = words;
  const task = TASKS[third];
  if (/deno$/.test(first) && second === "task" && task !== undefined) {
    return { program: task, args: rest };
  }
  return PROGRAMS[first] === undefined ? null : { program: first, args: words.slice(1) };
}

Deno.test("links of the documentation lead somewhere", () => {
  for (const page of PAGES) {
    for (const [, target = ""] of read(page).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
      if (/^https?:/.test(target)) continue;
      assert.ok(Deno.statSync(new URL(target, new URL(page, ROOT))), `${page}: ${target}`);
    }
  }
});

Deno.test("each page with commands has a test that executes all of them", () => {
  const pages = PAGES.filter((page) => Page.read(page).commands.length > 0);
  assert.deepEqual(pages.sort(), Object.keys(EXECUTED_BY).sort());
  for (const [page, test] of Object.entries(EXECUTED_BY)) {
    const source = read(test);
    assert.ok(source.includes(`Page.read("${page}")`), `${test} does not read ${page}`);
    assert.ok(source.includes("assertExecuted()"), test);
  }
});

Deno.test("Page.assertExecuted() fails if a command is left", () => {
  const page = Page.read("docs/tracing.md");
  assert.throws(() => page.assertExecuted(), /commands that no test executes/);
  for (const _ of page.all());
  page.assertExecuted();
});

Deno.test("commands of the documentation have options and tasks that exist", async () => {
  const listed = (await runTool("--allow-read", "--allow-env", "neoctl/main.ts")).stdout;
  const manifest: { tasks: Record<string, unknown> } = JSON.parse(read("deno.json"));
  let checked = 0;
  for (const page of PAGES) {
    for (const line of [...commands(page), ...inlineCommands(page)]) {
      const task = /\bdeno(?:@\S+)? task (?:-q )?(\S+)/.exec(line)?.[1];
      if (task !== undefined) assert.ok(task in manifest.tasks, `${page}: ${line}`);
      const own = ownCommand(line);
      if (own === null) continue;
      checked++;
      const { operands } = parseCommandLine(PROGRAMS[own.program] ?? {}, own.args);
      if (own.program !== "neoctl") continue;
      const [first = "", second = ""] = operands;
      const known = [first, `${first} ${second}`].some((words) =>
        listed.split("\n").some((row) => row === `  ${words}` || row.startsWith(`  ${words} `))
      );
      assert.ok(known, `${page}: ${line}`);
    }
  }
  assert.ok(checked > 50, `only ${checked} commands`);
});

Deno.test("configuration files of the documentation and of deploy/ are accepted", async () => {
  const files = [
    read("deploy/neo.conf"),
    ...PAGES.flatMap((page) =>
      [...read(page).matchAll(/^```ini\n([^]*?)^```/gm)].map(([, block = ""]) => block)
    ),
  ];
  assert.ok(files.length >= 3);
  const [site = assert.fail()] = /^\[DEFAULT\][^]*/m.exec(read("deploy/neo.conf")) ?? [];
  assert.ok(read("docs/deployment.md").includes(`\`\`\`ini\n${site}\`\`\`\n`));
  for (const file of files) {
    parseConfigFile(file, "neo.conf");
    for (const [, section = ""] of file.matchAll(/^\[(\w+)\]/gm)) {
      if (section !== "DEFAULT") assert.deepEqual(await warningsOf(file, section), [], section);
    }
  }
});

Deno.test("Prometheus is told the metrics of all nodes of deploy/neo.conf", () => {
  const addresses = (path: string, pattern: RegExp) =>
    [...read(path).matchAll(pattern)].map(([, address]) => address).sort();
  const nodes = addresses("deploy/neo.conf", /^metrics: (.*)$/gm);
  assert.equal(nodes.length, 7);
  assert.deepEqual(addresses("deploy/prometheus.yml", /^ +- ([\d.]+:\d+)$/gm), nodes);
});

Deno.test("supervisor is told all nodes of deploy/neo.conf, by the names of their sections", () => {
  const sections = [...read("deploy/neo.conf").matchAll(/^\[(?!DEFAULT)(\w+)\]/gm)]
    .map(([, section]) => section);
  const programs = [
    ...read("deploy/supervisor/neo.conf").matchAll(
      /^\[program:neo(\w+)\]\ncommand=\S+ -f \S+ -s \1$/gm,
    ),
  ].map(([, section]) => section);
  assert.deepEqual(programs.sort(), sections.sort());
});

/** What a node whose section it is warns about. */
async function warningsOf(file: string, section: string): Promise<readonly string[]> {
  const args = ["-f", "neo.conf", "-s", section];
  const host = fakeHost({ "neo.conf": file });
  const loaded = section.startsWith("storage")
    ? await loadOptions(neostorage, args, host)
    : section === "admin"
    ? await loadOptions(neoadmin, args, host)
    : await loadOptions(neomaster, args, host);
  return loaded.help === null ? loaded.warnings : assert.fail("help");
}

Deno.test("messages that the documentation explains are in the programs", () => {
  const sources: string[] = [];
  for (const folder of ["network", "node", "master", "storage", "admin", "neoctl", "neolog"]) {
    collect(new URL(`${folder}/`, ROOT), sources);
  }
  // Texts that continue on the next line, and what is inserted.
  const text = sources.join("\n").replaceAll(/["`] \+\n\s*["`]/g, "").replaceAll(
    /\$\{[^}]*\}/g,
    "…",
  );
  const system = /^(: )?(Address already in use|Cannot assign requested address)$/;
  const titles = [...read("docs/troubleshooting.md").matchAll(/^### `(.*)`$/gm)];
  assert.ok(titles.length > 20);
  for (const [, title = ""] of titles) {
    for (
      const part of title.split("…").map((part) => part.replace(/^[: ]+|[: ]+$/g, "")).filter((
        part,
      ) => part.length > 3)
    ) {
      if (!system.test(part)) assert.ok(text.includes(part), `${title}: '${part}'`);
    }
  }
});

function collect(folder: URL, sources: string[]): void {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) collect(new URL(`${name}/`, folder), sources);
    else if (name.endsWith(".ts")) sources.push(Deno.readTextFileSync(new URL(name, folder)));
  }
}
