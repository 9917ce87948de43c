/** Addresses of clusters, and options. */

import assert from "node:assert/strict";
import { connect, parseUri } from "../../client/mod.ts";
import { checkOptions } from "../../client/options.ts";

const none = () => undefined;

Deno.test("parseUri() understands the examples of the reference documentation", () => {
  const files = { ca: "q", cert: "r", key: "s" };
  const table: [string, ReturnType<typeof parseUri>][] = [
    ["neo://db@master", {
      options: { name: "db", masters: ["master"] },
      tls: null,
      databaseOptions: {},
    }],
    ["neo://db2@m1:1,m2:2,m3:3", {
      options: { name: "db2", masters: ["m1:1", "m2:2", "m3:3"] },
      tls: null,
      databaseOptions: {},
    }],
    ["neo://db3@m1,m2:2?read_only=true", {
      options: { name: "db3", masters: ["m1", "m2:2"], readOnly: true },
      tls: null,
      databaseOptions: {},
    }],
    ["neo://db4@[2001:db8::1]:1234,m2:2?compress=true&alpha=111&ca=q&cert=r&key=s", {
      options: { name: "db4", masters: ["[2001:db8::1]:1234", "m2:2"], compress: true },
      tls: files,
      databaseOptions: { alpha: "111" },
    }],
    ["neo://a%20b%40c@m:1?cache-size=2MB&compress=zlib=6&ignore_wrong_checksum=on&x=&y=1&y=2", {
      options: {
        name: "a b@c",
        masters: ["m:1"],
        compress: 6,
        cacheSize: 2 << 20,
        ignoreWrongChecksum: true,
      },
      tls: null,
      databaseOptions: { y: "2" },
    }],
  ];
  for (const [uri, expected] of table) assert.deepEqual(parseUri(uri, none), expected, uri);
});

Deno.test("parseUri() completes neos with the environment, which never wins", () => {
  const environment: Record<string, string> = { NEO_CERT: "/c", NEO_CA: "/other" };
  const { tls } = parseUri("neos://db5@m?ca=a&key=k", (name) => environment[name]);
  assert.deepEqual(tls, { ca: "a", key: "k", cert: "/c" });
  assert.equal(parseUri("neo://db@m", (name) => environment[name]).tls, null);
  const asked: string[] = [];
  assert.throws(() =>
    parseUri("neos://db6@m", (name) => {
      asked.push(name);
      return "";
    }), /ca \(or \$NEO_CA\), cert \(or \$NEO_CERT\), key/);
  assert.deepEqual(asked, ["NEO_CA", "NEO_CERT", "NEO_KEY"]);
});

Deno.test("parseUri() tells what is wrong", () => {
  const table: [string, RegExp][] = [
    ["http://db@m", /scheme/],
    ["neo:db@m", /scheme/],
    ["neo://m", /name of the cluster is missing/],
    ["neo://@m", /name of the cluster is empty/],
    ["neo://%ff@m", /percent-encoded/],
    ["neo://db@", /address of a master/],
    ["neo://db@m,,n", /address of a master/],
    ["neo://db@m/x", /no path/],
    ["neo://db@m/", /no path/],
    ["neo://db@m#f", /no fragment/],
    ["neo://db@m#", /no fragment/],
    ["neo://db@m?name=z", /'name' does not belong/],
    ["neo://db@m?master_nodes=z", /'master_nodes' does not belong/],
    ["neo://db@m?compress=9", /compress must be/],
    ["neo://db@m?compress=best", /compress must be/],
    ["neo://db@m?compress=zlib=0", /compress must be/],
    ["neo://db@m?compress=zlib=100", /compress must be/],
    ["neo://db@m?read-only=maybe", /read-only must be/],
    ["neo://db@m?cache-size=20XB", /cache-size must be/],
    ["neo://db@m?ca=q", /TLS needs cert, key too/],
    ["neo://db@m?logfile=/x", /logfile is not supported/],
    ["neos://db@m", /TLS needs/],
  ];
  for (const [uri, problem] of table) {
    assert.throws(() => parseUri(uri, none), (error) => {
      assert.ok(error instanceof TypeError);
      assert.match(error.message, problem, uri);
      return true;
    }, uri);
  }
});

Deno.test("parseUri() reads booleans and sizes as configuration files do", () => {
  for (const [text, value] of [["YES", true], ["off", false], ["No", false], ["on", true]]) {
    assert.equal(parseUri(`neo://d@m?read-only=${text}`, none).options.readOnly, value);
    assert.equal(parseUri(`neo://d@m?compress=${text}`, none).options.compress, value);
  }
  for (const [text, value] of [["5", 5], ["1kb", 1024], ["3Gb", 3 * 2 ** 30]]) {
    assert.equal(parseUri(`neo://d@m?cache-size=${text}`, none).options.cacheSize, value);
  }
  assert.equal(parseUri("neo://d@m?compress=zlib", none).options.compress, true);
});

Deno.test("checkOptions() tells what is wrong", () => {
  const options = { name: "db", masters: ["m:1"] };
  const table: [object, RegExp][] = [
    [{ name: "" }, /name/],
    [{ masters: [] }, /masters/],
    [{ masters: ["m"] }, /'m' is not the address of a master: expected host:port/],
    [{ masters: ["m:0"] }, /m:0/],
    [{ masters: ["m:65536"] }, /m:65536/],
    [{ masters: ["fe80::1:10"] }, /fe80/],
    [{ compress: 10 }, /compress/],
    [{ compress: "zlib" }, /compress/],
    [{ cacheSize: -1 }, /cacheSize/],
    [{ maxInFlight: 0 }, /maxInFlight/],
  ];
  for (const [wrong, problem] of table) {
    assert.throws(() => checkOptions({ ...options, ...wrong }), problem);
  }
  assert.deepEqual(checkOptions({ ...options, masters: ["[::1]:5", "h-1.x:6"] }).masters, [
    { host: "::1", port: 5 },
    { host: "h-1.x", port: 6 },
  ]);
});

Deno.test("connect() refuses options it does not know, and stops when its signal aborts", async () => {
  await assert.rejects(connect("neo://db@127.0.0.1:1?pool=3"), /unknown options pool/);
  await assert.rejects(connect("neo://db@127.0.0.1"), /expected host:port/);
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await assert.rejects(connect("neo://db@127.0.0.1:1", { signal }), reason);
});
