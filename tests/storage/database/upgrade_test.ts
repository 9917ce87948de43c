import { hasMariadb, Mariadb } from "../../support/mariadb.ts";
import { mysqlBackend } from "./mysql_backend.ts";
import { sqliteBackend } from "./sqlite_backend.ts";
import { testUpgrades } from "./upgrade.ts";

testUpgrades(sqliteBackend("SQLite", ""));

if (hasMariadb) {
  let server: Mariadb;
  Deno.test.beforeAll(async () => {
    server = await Mariadb.start();
  });
  Deno.test.afterAll(() => server.stop());
  testUpgrades(mysqlBackend(() => server));
}
