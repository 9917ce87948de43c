/**
 * Random faults hit a cluster while clients commit. `deno task chaos` does the same for longer.
 *
 * @module
 */

import assert from "node:assert/strict";
import { DATABASES } from "./chaos/databases.ts";
import { Severity } from "./chaos/faults.ts";
import { chaos } from "./chaos/run.ts";
import { hasMariadb } from "../support/mariadb.ts";

/** How long things go wrong. */
const SECONDS = 30;
const SEED = 1;

async function survive(kind: keyof typeof DATABASES): Promise<void> {
  const story: string[] = [];
  await using databases = await DATABASES[kind]();
  try {
    const { locations } = databases;
    const log = (line: string) => void story.push(line);
    const { commits, faults } = await chaos({ seconds: SECONDS, seed: SEED, locations, log });
    assert(commits > 100);
    assert(faults[Severity.SURVIVED] > 0 && faults[Severity.DOUBLE] > 0);
  } catch (error) {
    console.error(story.join("\n"));
    throw error;
  }
}

Deno.test("a cluster on SQLite survives random faults", () => survive("sqlite"));

if (hasMariadb) {
  Deno.test("a cluster on MariaDB survives random faults", () => survive("mariadb"));
}
