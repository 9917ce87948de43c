/**
 * The commands of a page of the documentation, for a test that executes all of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ROOT } from "../support/processes.ts";

/** Lines between two fences. */
export interface Block {
  /** The title above it. */
  readonly section: string;
  /** `"console"` if it shows a command after `$` with what it prints. */
  readonly language: string;
  readonly text: string;
}

/** Languages of what people are told to execute. */
const COMMANDS = ["sh", "sql", "console"];

/** A page whose blocks are executed. */
export class Page {
  readonly #left: Block[];

  private constructor(readonly path: string, blocks: readonly Block[]) {
    this.#left = [...blocks];
  }

  static read(path: string): Page {
    return new Page(path, blocksOf(Deno.readTextFileSync(new URL(path, ROOT))));
  }

  /** Blocks of commands that were not taken. */
  get commands(): readonly Block[] {
    return this.#left.filter(({ language }) => COMMANDS.includes(language));
  }

  /** Takes all blocks in the order of the page. */
  *all(): Iterable<Block> {
    for (let block; (block = this.#left.shift()) !== undefined;) yield block;
  }

  /** Takes the next block of a section to execute it. */
  take(section: string, language = "sh"): string {
    const index = this.#left.findIndex((block) =>
      block.section === section && block.language === language
    );
    const [block] = index < 0 ? [] : this.#left.splice(index, 1);
    return block?.text ?? assert.fail(`${this.path}: no block of ${language} in '${section}'`);
  }

  /** Fails if the page has commands that were not executed. */
  assertExecuted(): void {
    const left = this.commands.map(({ section, text }) => `${this.path}, ${section}:\n${text}`);
    assert.deepEqual(left, [], "commands that no test executes");
  }
}

function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let section = "";
  for (
    const [, title, margin, language = "", lines = ""] of page.matchAll(
      /^#+ (.*)$|^( *)```(.*)\n([^]*?)^\2```$/gm,
    )
  ) {
    if (title !== undefined) {
      section = title;
      continue;
    }
    const text = lines.replaceAll(new RegExp(`^${margin}`, "gm"), "");
    blocks.push({ section, language: /^\$ /.test(text) ? "console" : language, text });
  }
  return blocks;
}
