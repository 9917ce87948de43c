/**
 * `deno task compile`: makes single-file executables of the programs, for machines without Deno.
 *
 * | permission | for |
 * |---|---|
 * | `--allow-run=deno` | `deno compile`, which downloads the base of executables the first time |
 * | `--allow-read`, `--allow-write` | the folder of the executables |
 * | `--allow-env=HOME` | paths that start with `~` |
 *
 * @module
 */

import { ConfigError, UsageError } from "../node/errors.ts";
import { localHost } from "../node/host.ts";
import { path, text } from "../node/option_kinds.ts";
import { loadOptions } from "../node/options.ts";
import { print, refuse } from "../node/process.ts";
import type { Program } from "../node/programs.ts";
import { ExitStatus } from "../node/supervise.ts";
import { type InstallableProgram, installablePrograms, ROOT } from "./programs.ts";

const table = {
  output: path({
    short: "o",
    metavar: "FOLDER",
    default: "dist",
    help: "folder of the executables",
  }),
  target: text({ help: "machine they are for, such as aarch64-unknown-linux-gnu (default: this)" }),
};

const program: Program<typeof table> = {
  name: "compile",
  summary: "Makes single-file executables of the programs of NEO, or of those that are named.",
  operands: "[PROGRAM…]",
  options: table,
  check: () => [],
};

async function run(): Promise<ExitStatus> {
  const loaded = await loadOptions(program, Deno.args, localHost);
  if (loaded.help !== null) {
    print(Deno.stdout, loaded.help);
    return ExitStatus.SUCCESS;
  }
  const { options: { output, target }, operands: names } = loaded;
  if (output === null) throw new ConfigError("output must not be empty");
  const programs = installablePrograms();
  const unknown = names.find((name) => !programs.some((one) => one.name === name));
  if (unknown !== undefined) throw new UsageError(`there is no program '${unknown}'`);
  await Deno.mkdir(output, { recursive: true });
  const folder = await Deno.realPath(output);
  for (const one of programs) {
    if (names.length > 0 && !names.includes(one.name)) continue;
    await compile(one, `${folder}/${one.name}`, target);
    print(Deno.stdout, `${folder}/${one.name}\n`);
  }
  return ExitStatus.SUCCESS;
}

async function compile(
  { name, permissions, main, workers }: InstallableProgram,
  output: string,
  target: string | null,
): Promise<void> {
  const { success, stderr } = await new Deno.Command("deno", {
    args: [
      ...["compile", "--quiet", "--no-prompt", ...permissions, "--output", output],
      ...target === null ? [] : ["--target", target],
      ...workers.flatMap((worker) => ["--include", worker]),
      main,
    ],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (success) return;
  const reasons = new TextDecoder().decode(stderr).split("\nStack backtrace")[0] ?? "";
  throw new ConfigError(`${name} can't be compiled: ${reasons.trim().replace(/\s*\n\s*/g, "; ")}`);
}

async function main(): Promise<ExitStatus> {
  try {
    return await run();
  } catch (error) {
    return refuse(program, error);
  }
}

if (import.meta.main) Deno.exit(await main());
