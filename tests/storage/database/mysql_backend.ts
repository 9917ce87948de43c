import { openDatabase } from "../../../storage/database/mod.ts";
import type { Mariadb } from "../../support/mariadb.ts";
import { type Backend, databaseOptions } from "./support.ts";

/** MariaDB, with a server that is running when tests are. */
export function mysqlBackend(server: () => Mariadb): Backend {
  return {
    name: "MySQL",
    adapter: "MySQL",
    async withPlace(test) {
      const name = await server().createDatabase();
      const address = server().address(name);
      await test({
        address,
        open: (options) => openDatabase("MySQL", databaseOptions(address, options)),
        query: (sql) => server().query(sql, name),
      });
    },
  };
}
