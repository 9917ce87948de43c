/**
 * What a program uses of its machine while it reads its options, that is before there is a node with an
 * `Environment`.
 *
 * @module
 */

import { lookup } from "node:dns/promises";
import { homedir } from "node:os";

/** Files, names and home directories. */
export interface Host {
  /** @throws {Error} if the file can't be read. */
  readTextFile(path: string): Promise<string>;
  /** The first numeric address of a name. @throws {Error} if there is none. */
  resolve(name: string): Promise<string>;
  /** The home directory of a user, `""` being the current one; `null` if there is no such user. */
  home(user: string): Promise<string | null>;
}

/** The machine the program runs on. */
export const localHost: Host = {
  readTextFile: (path) => Deno.readTextFile(path),
  resolve: async (name) => (await lookup(name)).address,
  home: async (user) => {
    // The environment first, as shells do, and because it needs no other permission.
    if (user === "") return Deno.env.get("HOME") ?? homedir();
    for (const line of (await Deno.readTextFile("/etc/passwd")).split("\n")) {
      const [name, , , , , directory] = line.split(":");
      if (name === user) return directory ?? null;
    }
    return null;
  },
};

/**
 * A path with its leading `~` or `~user` replaced by a home directory. Like in a shell, it is left
 * alone when there is no such user.
 */
export async function expandHome(path: string, host: Host): Promise<string> {
  const match = /^~([^/]*)(.*)$/s.exec(path);
  if (match === null) return path;
  const [, user = "", rest = ""] = match;
  const home = await host.home(user);
  return home === null ? path : home + rest;
}
