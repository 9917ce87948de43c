import { DatabaseSync } from "node:sqlite";
import { openDatabase } from "../../../storage/database/mod.ts";
import { type Backend, databaseOptions } from "./support.ts";

/** SQLite with given parameters of the URI. */
export function sqliteBackend(name: string, parameters: string): Backend {
  return {
    name,
    adapter: "SQLite",
    async withPlace(test) {
      const folder = await Deno.makeTempDir({ prefix: "neo-sqlite-" });
      const path = `${folder}/neo.sqlite`;
      try {
        const address = `file:${path}${parameters}`;
        await test({
          address,
          open: (options) => openDatabase("SQLite", databaseOptions(address, options)),
          async query(sql) {
            await Promise.resolve(); // Failures are rejections.
            const db = new DatabaseSync(path);
            try {
              const statements = sql.split(";").filter((one) => one.trim() !== "");
              const last = statements.pop() ?? "SELECT 1";
              for (const one of statements) db.exec(one);
              return db.prepare(last).all().map((row) => Object.values(row));
            } finally {
              db.close();
            }
          },
        });
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  };
}
