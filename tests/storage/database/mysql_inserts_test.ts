import { deepEqual, equal, ok } from "node:assert/strict";
import { splitInserts } from "../../../storage/database/mysql_inserts.ts";
import { write } from "../../../storage/database/sql.ts";

const MIB = 1024 * 1024;

Deno.test("splitInserts() puts rows together", () => {
  const insert = { sql: "INSERT INTO t VALUES (?, ?)", rows: [[1, 2n], [3, 4n], [5, null]] };
  deepEqual([...splitInserts(insert, 32 * MIB)], [{
    sql: "INSERT INTO t VALUES (?, ?), (?, ?), (?, ?)",
    parameters: [1, 2n, 3, 4n, 5, null],
  }]);
});

Deno.test("splitInserts() keeps statements below the size of a packet", () => {
  const blob = new Uint8Array(5 * MIB);
  const rows = Array.from({ length: 10 }, (_, i) => [i, blob]);
  const statements = [...splitInserts({ sql: "INSERT INTO t VALUES (?, ?)", rows }, 32 * MIB)];
  deepEqual(statements.map(({ parameters }) => parameters.length), [6, 6, 6, 2]);
  deepEqual(statements.flatMap(({ parameters }) => parameters.filter((one) => one !== blob)), [
    ...rows.keys(),
  ]);
  // A row that is too big alone is left to the server to judge.
  const huge = [[1, new Uint8Array(40 * MIB)], [2, blob]];
  const sizes = [...splitInserts({ sql: "INSERT INTO t VALUES (?, ?)", rows: huge }, 32 * MIB)];
  equal(sizes.length, 2);
});

Deno.test("splitInserts() executes other statements once for each row", () => {
  const update = { sql: "DELETE FROM t WHERE a = ?", rows: [[1], [2]] };
  const statements = [...splitInserts(update, 32 * MIB)];
  deepEqual(statements, [1, 2].map((id) => ({ sql: update.sql, parameters: [id] })));
  const select = { sql: "REPLACE INTO t SELECT ?, a FROM s WHERE b = ?", rows: [[1, 2], [3, 4]] };
  equal([...splitInserts(select, 32 * MIB)].length, 2);
  ok([...splitInserts(write("DELETE FROM t"), 32 * MIB)].length === 1);
});
