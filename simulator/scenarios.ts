/**
 * `deno task scenarios`: runs the scenarios of a folder, and writes into them what really happens.
 *
 * Permissions: `--allow-read` and `--allow-write` for the folder.
 *
 * @module
 */

import { runScenario } from "./scenario.ts";

/** The names of the scenarios of a folder, sorted. */
export function listScenarios(folder: URL): string[] {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  return names.filter((name) => name.endsWith(".txt")).sort();
}

async function main(folder: URL): Promise<void> {
  for (const name of listScenarios(folder)) {
    const file = new URL(name, folder);
    const text = await Deno.readTextFile(file);
    const result = await runScenario(text);
    if (result !== text) await Deno.writeTextFile(file, result);
    console.log(`${name}: ${result === text ? "the same" : "changed"}`);
  }
}

if (import.meta.main) await main(new URL("../tests/scenarios/", import.meta.url));
