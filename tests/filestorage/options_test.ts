import { deepEqual, equal, throws } from "node:assert/strict";
import { HELP, parseArguments } from "../../filestorage/options.ts";
import { tidFromTime } from "../../protocol/ids.ts";

const NEO = "neo://main@a:1,[fd00::2]:20";

function parse(...args: string[]) {
  const options = parseArguments(args, (name) => name === "HOME" ? "/home/me" : undefined);
  if (options === "help") throw new Error("help");
  return options;
}

function refuses(message: RegExp, ...args: string[]): void {
  throws(() => parse(...args), { name: "UsageError", message });
}

Deno.test("parseArguments() gives defaults when only the ends are given", () => {
  deepEqual(parse("Data.fs", NEO), {
    source: { kind: "file", path: "Data.fs" },
    destination: { kind: "cluster", name: "main", masters: ["a:1", "[fd00::2]:20"], tls: null },
    from: undefined,
    to: undefined,
    copy: true,
    verify: false,
    ignoreStatus: false,
    ignoreDataTid: false,
    ignoreOrder: false,
    magic: undefined,
    withoutBlobs: false,
    logfile: undefined,
    quiet: false,
  });
});

Deno.test("parseArguments() takes a list of masters when the cluster is named", () => {
  const cluster = { kind: "cluster", name: "main", masters: ["a:1", "[fd00::2]:20"], tls: null };
  for (const list of ["a:1 [fd00::2]:20", "a:1,[fd00::2]:20"]) {
    deepEqual(parse("-c", "main", list, "Data.fs").source, cluster);
    deepEqual(parse("Data.fs", list, "--cluster=main").destination, cluster);
  }
});

Deno.test("parseArguments() never takes a mistyped path for masters, or the reverse", () => {
  refuses(/neither SOURCE nor DESTINATION is a list of masters/, "-c", "main", "Data.fs", "b.fs");
  refuses(/"a:1" looks like a list of masters: .*write \.\/a:1/, "a:1", "Data.fs");
  equal(parse("./a:1", "Data.fs").source.kind, "file");
  equal(parse("a:99999", "Data.fs").source.kind, "file");
  refuses(/neither a path nor a neo:/, "zeo://x", "Data.fs");
});

Deno.test("parseArguments() expands the home folder", () => {
  deepEqual(parse("~/Data.fs", "~x").source, { kind: "file", path: "/home/me/Data.fs" });
  deepEqual(parse("~/Data.fs", "~x").destination, { kind: "file", path: "~x" });
});

Deno.test("parseArguments() takes tids and dates", () => {
  const { from, to } = parse("a", "b", "--from", "03d7f25100000000", "--to", "2026-01-31T12:00:00");
  equal(from, 0x03d7f25100000000n);
  equal(to, tidFromTime(Date.UTC(2026, 0, 31, 12) / 1000));
  const midnight = tidFromTime(Date.UTC(2026, 0, 31) / 1000);
  equal(parse("a", "b", "--to", "2026-01-31").to, midnight);
  equal(parse("a", "b", "--to", "2026-01-31T02:00:00+02:00").to, midnight);
  refuses(/--from takes a tid of 16 hexadecimal digits, or a date/, "a", "b", "--from", "12");
  refuses(/--to takes .*, not "2026-13-31"/, "a", "b", "--to", "2026-13-31");
  refuses(/--from is after --to/, "a", "b", "--from", "2026-02-01", "--to", "2026-01-01");
});

Deno.test("parseArguments() takes options for verification", () => {
  const verify = parse("a", "b", "--verify", "--ignore", "status,order");
  equal(verify.copy && verify.verify && verify.ignoreStatus && verify.ignoreOrder, true);
  equal(verify.ignoreDataTid, false);
  const only = parse("a", "b", "--verify-only", "--ignore", "hints");
  equal(!only.copy && only.verify && only.ignoreDataTid, true);
  refuses(/--ignore takes status, hints, order, not "x"/, "a", "b", "--ignore", "x");
});

Deno.test("parseArguments() takes TLS files from options, the URI, or the environment", () => {
  const tls = { ca: "1", cert: "2", key: "3" };
  const files = ["--ca", "1", "--cert", "2", "--key", "3"];
  const of = (uri: string, args: string[] = [], env?: (name: string) => string) => {
    const options = parseArguments(["a", uri, ...args], env);
    return options !== "help" && options.destination.kind === "cluster"
      ? options.destination.tls
      : undefined;
  };
  deepEqual(of(NEO, files), tls);
  deepEqual(of(`${NEO}?ca=1&cert=2&key=3`), tls);
  deepEqual(of(`${NEO}?ca=4&cert=5&key=6`, files), tls);
  deepEqual(of("neos://main@a:1?ca=1", [], (name) => `${name}?`), {
    ca: "1",
    cert: "NEO_CERT?",
    key: "NEO_KEY?",
  });
  equal(of(NEO, [], (name) => name), null);
  refuses(/--ca, --cert and --key must be given together/, "a", NEO, "--ca", "1");
  refuses(/TLS needs the three files/, "a", "neos://main@a:1");
  refuses(/TLS needs the three files/, "a", `${NEO}?ca=1`);
});

Deno.test("parseArguments() refuses a URI that is not right", () => {
  refuses(/the name of the cluster is missing/, "a", "neo://a:1");
  refuses(/the name of the cluster is missing/, "a", "neo://@a:1");
  refuses(/"a" is not HOST:PORT/, "a", "neo://main@a");
  refuses(/"a:0" is not HOST:PORT/, "a", "neo://main@b:1,a:0");
  refuses(/"" is not HOST:PORT/, "a", "neo://main@");
  refuses(/"\/x" after the masters/, "a", "neo://main@a:1/x");
  refuses(/unknown parameter "name"/, "a", "neo://main@a:1?name=z");
  refuses(/badly percent-encoded/, "a", "neo://%zz@a:1");
  const decoded = parse("a", "neo://my%20db@a:1").destination;
  equal(decoded.kind === "cluster" && decoded.name, "my db");
});

Deno.test("parseArguments() refuses what makes no sense", () => {
  refuses(/SOURCE and DESTINATION are expected, not 1 arguments/, "a");
  refuses(/SOURCE and DESTINATION are expected, not 3 arguments/, "a", "b", "c");
  refuses(/SOURCE and DESTINATION are the same/, "a", "a");
  refuses(/SOURCE and DESTINATION are the same/, NEO, NEO);
  refuses(/empty path/, "", "b");
  refuses(/--magic takes FS30 or FS21, not "FS99"/, "a", "b", "--magic", "FS99");
  refuses(/--magic is for a DESTINATION that is a Data.fs/, "a", NEO, "--magic", "FS30");
  refuses(/--force/, "a", "b", "--force");
  equal(parse("a", "b", "--magic", "FS21").magic, "FS21");
});

Deno.test("parseArguments() gives help, which names all options", () => {
  equal(parseArguments(["-h"]), "help");
  equal(parseArguments(["--help", "a"]), "help");
  for (const option of "cluster from to verify verify-only ignore magic ca cert key".split(" ")) {
    equal(HELP.includes(`--${option} `), true, option);
  }
  equal(HELP.split("\n").every((line) => line.length <= 100), true);
});
