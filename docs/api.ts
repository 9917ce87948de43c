/**
 * `deno task api FOLDER`: writes the pages of the API, which come from the comments of the modules that
 * programs import.
 *
 * | permission | for |
 * |---|---|
 * | `--allow-run=deno` | `deno doc`, which makes them |
 *
 * @module
 */

const HELP = `Usage: deno task api FOLDER

Writes the pages of the API of NEO into a folder: FOLDER/index.html is the first.
`;

/** What programs import, as far as it is documented by pages. */
const MODULES = ["mod.ts", "client/mod.ts", "node/open_telemetry.ts"];

async function main([folder, ...rest]: readonly string[]): Promise<number> {
  if (folder === "--help" || folder === "-h") {
    console.log(HELP.trimEnd());
    return 0;
  }
  const wrong = [folder ?? "", ...rest].find((word) => word.startsWith("-")) ?? rest[0];
  if (folder === undefined || folder === "" || wrong !== undefined) {
    const problem = wrong === undefined ? "no folder is given" : `unexpected argument '${wrong}'`;
    console.error(`api: error: ${problem}\nTry 'deno task api --help'.`);
    return 2;
  }
  const { code } = await new Deno.Command("deno", {
    args: ["doc", "--html", "--name=NEO", ...MODULES, "--output", folder],
  }).spawn().status;
  return code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
