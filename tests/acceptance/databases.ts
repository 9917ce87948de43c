/** Where the storages of acceptance tests keep their databases. */

import { type Database, openDatabase } from "../../storage/database/mod.ts";
import { databaseOptions } from "../storage/database/support.ts";
import type { Mariadb } from "../support/mariadb.ts";

/** A place for the database of one storage. */
export interface Place {
  /** Opens it: the first time it is empty, later it is as it was left. */
  open(): Promise<Database>;
  /** Nobody needs it any more. */
  release(): Promise<void>;
}

/** Gives places; those that are durable keep their content while no node runs. */
export type Databases = (durable: boolean) => Promise<Place>;

/** SQLite: in memory, or in a temporary folder where it has to be durable. */
export const sqlite: Databases = async (durable) => {
  if (!durable) {
    return {
      open: () => openDatabase("SQLite", databaseOptions(":memory:")),
      release: () => Promise.resolve(),
    };
  }
  const folder = await Deno.makeTempDir({ prefix: "neo-acceptance-" });
  return {
    open: () => openDatabase("SQLite", databaseOptions(`${folder}/neo.sqlite`)),
    release: () => Deno.remove(folder, { recursive: true }),
  };
};

/** MariaDB: databases of one server, used again by those who come later. */
export function mariadb(server: () => Mariadb): Databases {
  const free: string[] = [];
  return async () => {
    const name = free.pop() ?? await server().createDatabase();
    const address = server().address(name);
    let reset = true;
    return {
      async open() {
        const database = await openDatabase("MySQL", databaseOptions(address, { reset }));
        reset = false;
        return database;
      },
      release() {
        free.push(name);
        return Promise.resolve();
      },
    };
  };
}
