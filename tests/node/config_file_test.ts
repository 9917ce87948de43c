import assert from "node:assert/strict";
import { parseConfigFile } from "../../node/config_file.ts";
import { ConfigError } from "../../node/errors.ts";
import { SAMPLE } from "./sample_config.ts";

function values(text: string, section = "s"): Record<string, string | null> {
  const parsed = parseConfigFile(text, "neo.conf").section(section);
  return Object.fromEntries([...parsed.keys()].map((key) => [key, parsed.get(key)]));
}

Deno.test("parseConfigFile() completes a section by [DEFAULT] and inserts values", () => {
  assert.deepEqual(values(SAMPLE, "master"), {
    cluster: "prod",
    masters: "10.0.0.1:10000 10.0.0.2:10000",
    partitions: "12",
    replicas: "1",
    dir: "/srv/neo",
    ca: "/srv/neo/ca.crt",
    bind: "10.0.0.1:10000",
    cert: "/srv/neo/m1.crt",
    key: "/srv/neo/m1.key",
    logfile: "/srv/neo/m1.log",
  });
  assert.equal(values(SAMPLE, "storage1").database, "neo:secret@neo1");
  assert.equal(values(SAMPLE, "admin").monitor_backup, "paris\ntokyo");
});

Deno.test("parseConfigFile() accepts both separators, comments, line breaks and any case of keys", () => {
  assert.deepEqual(
    values(
      "; comment\r\n[DEFAULT]\r\nA = 1\r\nx: default\r\n[s]\r\nX=: b=c\r\n  # comment\r\nList:\r\n  one\r\n ; no\r\n\r\n  two\r\n\r\nend: # kept\r\n",
    ),
    { a: "1", x: ": b=c", list: "\none\n\ntwo", end: "# kept" },
  );
});

Deno.test("parseConfigFile() prefers the section to [DEFAULT] when inserting", () => {
  assert.deepEqual(values("[DEFAULT]\nroot: /d\np: %(ROOT)s/x\n[s]\nroot: 100%%\n"), {
    root: "100%",
    p: "100%/x",
  });
});

Deno.test("parseConfigFile() tells the line of what is not understood", () => {
  for (
    const [text, message] of [
      ["a: 1", "neo.conf, line 1: 'a: 1' comes before the first [section]"],
      ["[s]\nword", "neo.conf, line 2: 'word' is neither a [section] nor a 'key: value'"],
      ["[s]\na: 1\nA = 2", "neo.conf, line 3: 'A' is already set in this section"],
      ["[s]\n[t]\n[s]", "neo.conf, line 3: section [s] already exists"],
    ] as const
  ) {
    assert.throws(() => parseConfigFile(text, "neo.conf"), { name: ConfigError.name, message });
  }
});

Deno.test("ConfigFile.section() tells which sections exist when there is no such section", () => {
  const file = parseConfigFile(SAMPLE, "neo.conf");
  assert.throws(() => file.section("storage"), {
    name: ConfigError.name,
    message: "neo.conf has no section [storage]; it has [master], [storage1], [admin]",
  });
  assert.throws(() => file.section("DEFAULT"), /no section \[DEFAULT\]/);
  assert.throws(() => file.section("Master"), /no section \[Master\]/);
  assert.throws(() => parseConfigFile("", "neo.conf").section("s"), /it has none at all/);
});

Deno.test("ConfigSection.get() refuses wrong insertions, only when the value is asked for", () => {
  const section = parseConfigFile(
    "[s]\npercent: 5%\nmissing: %(nothing)s\nloop: %(pool)s\npool: %(loop)s\nfine: yes",
    "neo.conf",
  ).section("s");
  assert.equal(section.get("fine"), "yes");
  assert.equal(section.get("absent"), null);
  assert.throws(
    () => section.get("percent"),
    /neo\.conf \[s\] percent: a '%' must be written '%%'/,
  );
  assert.throws(() => section.get("missing"), /'%\(nothing\)s' refers to a key that is not set/);
  assert.throws(() => section.get("loop"), /form a loop/);
  assert.deepEqual(section.inserted(), new Set(["nothing", "pool", "loop"]));
});
