/**
 * One process per database file.
 *
 * @module
 */

import { DatabaseError } from "./database.ts";

/**
 * Locks a file against all the storage nodes of this machine, other implementations of NEO included.
 * The lock is an abstract Unix socket named after the device and the inode, so that it disappears
 * with the process. Needs read permission for the file, and network permission.
 *
 * @returns the release.
 * @throws {DatabaseError} `database is locked`.
 */
export function lockFile(path: string): () => void {
  const { dev, ino } = Deno.statSync(path);
  try {
    const listener = Deno.listen({ transport: "unix", path: `\0neostorage:${dev}:${ino}` });
    listener.unref();
    return () => listener.close();
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) throw new DatabaseError("database is locked");
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseError(
      `the database can not be locked: ${
        reason.replace("\0", "@")
      } (the lock is a socket without ` +
        "file, which needs --allow-net without list of hosts)",
      { cause: error },
    );
  }
}
