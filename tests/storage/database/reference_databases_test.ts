import { hasMariadb, Mariadb } from "../../support/mariadb.ts";
import { openDatabase } from "../../../storage/database/mod.ts";
import { checkReference, FIXTURES } from "./reference_databases.ts";
import { databaseOptions } from "./support.ts";

for (const nid of [1, 2]) {
  Deno.test(`openDatabase() reads SQLite database ${nid} of the reference implementation`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "neo-sqlite-" });
    try {
      const path = `${folder}/neo.sqlite`;
      await Deno.copyFile(`${FIXTURES}refdb${nid}.sqlite`, path);
      const db = await openDatabase("SQLite", databaseOptions(path));
      try {
        await checkReference(db, nid, "expected-sqlite.json");
      } finally {
        await db.close();
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

if (hasMariadb) {
  let server: Mariadb;
  Deno.test.beforeAll(async () => {
    server = await Mariadb.start();
  });
  Deno.test.afterAll(() => server.stop());

  for (const nid of [1, 2]) {
    Deno.test(`openDatabase() reads MySQL database ${nid} of the reference implementation`, async () => {
      const name = await server.createDatabase();
      await server.load(name, `${FIXTURES}refdb${nid}.sql`);
      const db = await openDatabase("MySQL", databaseOptions(server.address(name)));
      try {
        await checkReference(db, nid, "expected-mariadb.json");
      } finally {
        await db.close();
      }
    });
  }
}
