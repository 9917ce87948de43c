/**
 * One process per database file.
 *
 * @module
 */

import { DatabaseError } from "./database.ts";

/**
 * Milliseconds to wait for a lock. Processes that the former owner was just starting share its sockets for
 * a moment.
 */
const PATIENCE = 500;
const INTERVAL = 20;

/**
 * Locks a file against all the storage nodes of this machine, other implementations of NEO included.
 * The lock is an abstract Unix socket named after the device and the inode, so that it disappears
 * with the process. Needs read permission for the file, and network permission.
 *
 * @returns the release.
 * @throws {DatabaseError} `database is locked`.
 */
export async function lockFile(path: string): Promise<() => void> {
  const { dev, ino } = Deno.statSync(path);
  const end = performance.now() + PATIENCE;
  for (;;) {
    const listener = listen(`\0neostorage:${dev}:${ino}`);
    if (listener !== null) return () => listener.close();
    if (performance.now() > end) throw new DatabaseError("database is locked");
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

/** Opens the socket, `null` if it is in use. */
function listen(path: string): Deno.UnixListener | null {
  try {
    const listener = Deno.listen({ transport: "unix", path });
    listener.unref();
    return listener;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return null;
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
