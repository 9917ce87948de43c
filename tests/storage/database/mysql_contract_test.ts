import { hasMariadb, Mariadb } from "../../support/mariadb.ts";
import { testContract } from "./contract.ts";
import { mysqlBackend } from "./mysql_backend.ts";

if (hasMariadb) {
  let server: Mariadb;
  Deno.test.beforeAll(async () => {
    server = await Mariadb.start();
  });
  Deno.test.afterAll(() => server.stop());
  testContract(mysqlBackend(() => server));
}
