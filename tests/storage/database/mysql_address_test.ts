import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { parseMysqlAddress } from "../../../storage/database/mysql_address.ts";

const parts = (text: string) => {
  const { user, password, database, server } = parseMysqlAddress(text, "/home/me");
  return [user, password, database, server];
};

Deno.test("parseMysqlAddress() reads the parts of a connection string", () => {
  deepEqual(parts("neo"), [null, null, "neo", null]);
  deepEqual(parts("neo@neo1"), ["neo", null, "neo1", null]);
  deepEqual(parts("neo:p@w@neo1"), ["neo", "p@w", "neo1", null]);
  deepEqual(parts("neo:x@neo1~/my.sock"), ["neo", "x", "neo1", { socket: "/home/me/my.sock" }]);
  deepEqual(parts("neo1/run/my.sock"), [null, null, "neo1", { socket: "/run/my.sock" }]);
  deepEqual(parts("neo1./my.sock"), [null, null, "neo1", { socket: "./my.sock" }]);
  deepEqual(parts("user:@neo1"), ["user", "", "neo1", null]);
  deepEqual(parts("user:a:b/c@neo1/run/s"), ["user", "a:b/c", "neo1", { socket: "/run/s" }]);
});

Deno.test("parseMysqlAddress() reads the parts of a URL", () => {
  const server = { host: "db.example.com", port: 3307 };
  deepEqual(parts("mysql://neo:p%40s%2Fs@db.example.com:3307/neo1"), [
    "neo",
    "p@s/s",
    "neo1",
    server,
  ]);
  deepEqual(parts("mysql://[::1]/neo1"), [null, null, "neo1", { host: "::1", port: 3306 }]);
  deepEqual(parts("mysql://neo@h/neo1"), ["neo", null, "neo1", { host: "h", port: 3306 }]);
  deepEqual(parts("mysql://neo:@h/neo1"), ["neo", "", "neo1", { host: "h", port: 3306 }]);
});

Deno.test("parseMysqlAddress() refuses what it can not read, without showing passwords", () => {
  for (const text of ["", "neo@", "/run/my.sock", "mysql://h", "mysql:///db", "mysql://h/a/b"]) {
    throws(() => parts(text), { name: "DatabaseError" }, text);
  }
  for (const text of ["mysql://neo:secret@h/db?ssl=1", "mysql://neo:secret@h", "neo:secret@"]) {
    throws(() => parts(text), ({ message }: Error) => {
      ok(!message.includes("secret"), message);
      equal(message.includes("expected"), true);
      return true;
    });
  }
});
