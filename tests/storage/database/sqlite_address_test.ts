import { deepEqual, equal, throws } from "node:assert/strict";
import { parseSqliteAddress } from "../../../storage/database/sqlite_address.ts";

const plain = { cacheSize: null, journalMode: "wal", synchronous: null };

Deno.test("parseSqliteAddress() takes a path when it is not a URI", () => {
  deepEqual(parseSqliteAddress("/a?b=%20", null), { path: "/a?b=%20", ...plain });
  deepEqual(parseSqliteAddress("~/neo.sqlite", "/home/me"), {
    path: "/home/me/neo.sqlite",
    ...plain,
  });
  equal(parseSqliteAddress("file:~/neo", null).path, "~/neo", "a URI has no home directory");
  throws(() => parseSqliteAddress("~/neo.sqlite", null), /HOME is not set/);
  throws(() => parseSqliteAddress("~other/neo.sqlite", "/home/me"), /another user/);
  throws(() => parseSqliteAddress("", null), /empty/);
});

Deno.test("parseSqliteAddress() reads the parameters of a URI", () => {
  deepEqual(
    parseSqliteAddress("file:/a%20b?cache_size=-4000&journal_mode=DELETE&synchronous=normal", null),
    { path: "/a b", cacheSize: -4000, journalMode: "delete", synchronous: "normal" },
  );
  equal(parseSqliteAddress("file:a?synchronous=2", null).synchronous, "full");
  equal(parseSqliteAddress("file:///a?cksumvfs=0", null).path, "/a");
  equal(parseSqliteAddress("file::memory:", null).path, ":memory:");
});

Deno.test("parseSqliteAddress() refuses what it does not know", () => {
  const refused: [string, RegExp][] = [
    ["file:", /no path/],
    ["file:/a?mode=ro", /unknown parameter 'mode'/],
    ["file:/a?cache_size=1&cache_size=2", /twice/],
    ["file:/a?cksumvfs=1", /cksumvfs/],
    ["file:/a?cache_size=big", /must be a number/],
    ["file:/a?journal_mode=fast", /must be one of delete/],
    ["file:/a?synchronous=9", /must be one of off/],
    ["file://server/a", /without host/],
    ["file:/%zz", /hexadecimal/],
  ];
  for (const [text, expected] of refused) throws(() => parseSqliteAddress(text, null), expected);
});
