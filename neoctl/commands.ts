/**
 * The tree of commands.
 *
 * @module
 */

import { closest } from "../node/spelling.ts";
import { flushLog, SET_COMMANDS, start, truncate } from "./cluster_commands.ts";
import type { Command } from "./command.ts";
import { CommandError } from "./errors.ts";
import { PRINT_COMMANDS } from "./print_commands.ts";
import { rollingRestart } from "./restart_command.ts";
import { add, check, drop, kill, pruneOrphan, tweak } from "./storage_commands.ts";
import { TID_SYNTAX } from "./values.ts";

/** Commands by their words. */
export type CommandTree = { readonly [word: string]: CommandTree | Command };

/** All commands. */
export const COMMANDS: CommandTree = {
  print: PRINT_COMMANDS,
  set: SET_COMMANDS,
  start,
  add,
  tweak,
  kill,
  drop,
  check,
  "rolling-restart": rollingRestart,
  prune_orphan: pruneOrphan,
  truncate,
  flush_log: flushLog,
};

/** A command that was found, or several when more words are needed to tell which. */
export interface Found {
  /** The words that led there. */
  readonly path: readonly string[];
  readonly entry: CommandTree | Command;
  /** The words that follow. */
  readonly rest: readonly string[];
}

/** Whether more words must follow. */
export function isTree(entry: CommandTree | Command): entry is CommandTree {
  return typeof entry.parse !== "function";
}

/** Whether a word asks for help. */
export function asksHelp(word: string): boolean {
  return word === "-h" || word === "--help";
}

/**
 * Finds the command that words start with.
 *
 * @throws {CommandError} if a word leads nowhere.
 */
export function findCommand(words: readonly string[]): Found {
  let entry: CommandTree | Command = COMMANDS;
  for (const [depth, word] of words.entries()) {
    if (!isTree(entry) || asksHelp(word)) {
      return { path: words.slice(0, depth), entry, rest: words.slice(depth) };
    }
    const next: CommandTree | Command | undefined = Object.hasOwn(entry, word)
      ? entry[word]
      : undefined;
    if (next === undefined) {
      const near = closest(word, Object.keys(entry));
      const path = words.slice(0, depth);
      const hint = near === null ? "" : `\ndid you mean '${[...path, near].join(" ")}'?`;
      throw new CommandError(`invalid command: ${words.join(" ")}${hint}`);
    }
    entry = next;
  }
  return { path: words, entry, rest: [] };
}

/** How a command is used. */
export function usageOf(path: readonly string[], { usage }: Command): string {
  return ["neoctl", ...path, usage].filter((word) => word !== "").join(" ");
}

/** Describes the commands found; with all of them, also the values of their arguments. */
export function describeCommands({ path, entry }: Pick<Found, "path" | "entry">): string {
  if (!isTree(entry)) return `usage: ${usageOf(path, entry)}\n\n${wrap(entry.help, "")}`;
  const list = `Commands:\n${listCommands(path, entry).join("\n")}`;
  return path.length === 0 ? `${list}\n\n${TID_SYNTAX}` : list;
}

/** Two lines or more for each command, in the order of the tree. */
function listCommands(path: readonly string[], tree: CommandTree): string[] {
  return Object.entries(tree).flatMap(([word, entry]) => {
    const deeper = [...path, word];
    if (isTree(entry)) return listCommands(deeper, entry);
    const words = [...deeper, entry.usage].filter((word) => word !== "").join(" ");
    return [`  ${words}`, wrap(entry.help, "      ")];
  });
}

/** Cuts a text into lines for a terminal. */
function wrap(text: string, margin: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && margin.length + line.length + 1 + word.length > 96) {
      lines.push(margin + line);
      line = word;
    } else line += line === "" ? word : ` ${word}`;
  }
  return [...lines, margin + line].join("\n");
}
