/**
 * `deno task install`: makes `neomaster`, `neostorage`, `neoadmin`, `neoctl`, `neolog` and `neomigrate`
 * commands, each with just the permissions it needs.
 *
 * | permission | for |
 * |---|---|
 * | `--allow-run=deno` | fetching what programs depend on, once |
 * | `--allow-read`, `--allow-write` | the folder of the commands |
 * | `--allow-env` | where that is: `HOME`, `PATH`, `DENO_DIR` |
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { ConfigError } from "../node/errors.ts";
import { localHost } from "../node/host.ts";
import { path } from "../node/option_kinds.ts";
import { loadOptions } from "../node/options.ts";
import { print, refuse } from "../node/process.ts";
import type { Program } from "../node/programs.ts";
import { ExitStatus } from "../node/supervise.ts";
import { type InstallableProgram, installablePrograms, ROOT } from "./programs.ts";

const table = {
  bin: path({
    metavar: "FOLDER",
    default: "~/.local/bin",
    help: "folder of the commands; /usr/local/bin makes them everybody's",
  }),
  cache: path({
    metavar: "FOLDER",
    default: `${ROOT}/.deno`,
    help: "where what programs depend on is kept; who runs them must be able to read it",
  }),
};

const program: Program<typeof table> = {
  name: "install",
  summary: "Makes commands of the programs of NEO. They run what is in this folder: keep it.",
  operands: null,
  options: table,
  check: () => [],
};

/** A text that a shell takes as it is. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The command that runs a program. */
function launcher(
  { permissions, main }: InstallableProgram,
  deno: string,
  cache: string,
): string {
  const words = [deno, "run", "--quiet", "--no-prompt", "--cached-only"].map(quote);
  return `#!/bin/sh
DENO_DIR=\${DENO_DIR:-${quote(cache)}}
DENO_NO_UPDATE_CHECK=1
export DENO_DIR DENO_NO_UPDATE_CHECK
exec ${words.join(" ")} ${permissions.map(quote).join(" ")} \\
  ${quote(`${ROOT}/${main}`)} "$@"
`;
}

async function run(): Promise<ExitStatus> {
  const loaded = await loadOptions(program, Deno.args, localHost);
  if (loaded.help !== null) {
    print(Deno.stdout, loaded.help);
    return ExitStatus.SUCCESS;
  }
  const { bin, cache } = loaded.options;
  if (bin === null || cache === null) throw new ConfigError("bin and cache must not be empty");
  const programs = installablePrograms();
  await fetchDependencies(programs, cache);
  try {
    await Deno.mkdir(bin, { recursive: true });
    for (const one of programs) {
      const file = `${bin}/${one.name}`;
      await Deno.writeTextFile(file, launcher(one, Deno.execPath(), cache));
      await Deno.chmod(file, 0o755);
      print(Deno.stdout, `${file}\n`);
    }
  } catch (error) {
    throw new ConfigError(`can't write to ${bin}: ${errorText(error)}`);
  }
  if (!(Deno.env.get("PATH") ?? "").split(":").includes(bin)) {
    print(Deno.stdout, `${bin} is not on PATH: add it, for example in ~/.profile\n`);
  }
  return ExitStatus.SUCCESS;
}

async function fetchDependencies(programs: readonly InstallableProgram[], cache: string) {
  const modules = programs.flatMap(({ main, workers }) => [main, ...workers]);
  const { success, stderr } = await new Deno.Command("deno", {
    args: ["cache", "--quiet", ...modules.map((module) => `${ROOT}/${module}`)],
    cwd: ROOT,
    env: { DENO_DIR: cache },
  }).output();
  if (success) return;
  throw new ConfigError(
    `can't fetch what programs depend on: ${new TextDecoder().decode(stderr).trim()}`,
  );
}

async function main(): Promise<ExitStatus> {
  try {
    return await run();
  } catch (error) {
    return refuse(program, error);
  }
}

if (import.meta.main) Deno.exit(await main());
