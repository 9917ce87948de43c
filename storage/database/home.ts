/**
 * `~` in paths.
 *
 * @module
 */

import { DatabaseError } from "./database.ts";

/**
 * Replaces `~` at the beginning of a path.
 *
 * @param home what it stands for; `null` if it is unknown.
 * @throws {DatabaseError} if it is needed and unknown, or if it is the one of another user.
 */
export function expandHome(path: string, home: string | null): string {
  if (!path.startsWith("~")) return path;
  if (path !== "~" && !path.startsWith("~/")) {
    throw new DatabaseError(`only ~/ is known, not the home directory of another user: '${path}'`);
  }
  if (home === null) throw new DatabaseError(`HOME is not set: '${path}' can not be found`);
  return home + path.slice(1);
}
