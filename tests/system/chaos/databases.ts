/**
 * Databases for the storages of a run.
 *
 * @module
 */

import { Mariadb } from "../../support/mariadb.ts";
import type { Location } from "./copies.ts";
import { STORAGES } from "./run.ts";

/** One place for each storage. Nothing is left of them after disposal. */
export interface Databases extends AsyncDisposable {
  readonly locations: readonly Location[];
}

/** Makes databases, by the name of their kind. */
export const DATABASES = {
  sqlite: async (): Promise<Databases> => {
    const folder = await Deno.makeTempDir({ prefix: "neo-chaos-" });
    return {
      locations: Array.from({ length: STORAGES }, (_, index): Location => (
        { adapter: "SQLite", database: `${folder}/${index + 1}.sqlite` }
      )),
      [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
    };
  },
  mariadb: async (): Promise<Databases> => {
    const server = await Mariadb.start();
    const locations: Location[] = [];
    for (let number = 1; number <= STORAGES; number++) {
      const database = server.address(await server.createDatabase());
      locations.push({ adapter: "MySQL", database });
    }
    return { locations, [Symbol.asyncDispose]: () => server.stop() };
  },
};
