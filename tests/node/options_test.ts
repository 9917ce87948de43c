import assert from "node:assert/strict";
import type { OptionTable } from "../../node/option_kinds.ts";
import { type LoadedOptions, loadOptions } from "../../node/options.ts";
import { neoadmin, neoctl, neomaster, neostorage, type Program } from "../../node/programs.ts";
import { fakeHost } from "./fake_host.ts";
import { SAMPLE } from "./sample_config.ts";

async function load<Table extends OptionTable>(
  program: Program<Table>,
  args: string | readonly string[],
  files: Readonly<Record<string, string>> = { "neo.conf": SAMPLE },
): Promise<LoadedOptions<Table>> {
  const words = typeof args === "string" ? args.split(" ").filter(Boolean) : args;
  const loaded = await loadOptions(program, words, fakeHost(files));
  assert.equal(loaded.help, null);
  return loaded;
}

function usageError(message: RegExp | string) {
  return { name: "UsageError", message };
}

function configError(message: RegExp | string) {
  return { name: "ConfigError", message };
}

Deno.test("loadOptions() gives neomaster its defaults", async () => {
  const { options, warnings } = await load(neomaster, "-c test");
  assert.deepEqual(options, {
    logfile: null,
    logSize: 4096,
    logKeep: 1,
    logFormat: "text",
    verbose: false,
    ca: null,
    cert: null,
    key: null,
    control: null,
    file: null,
    section: "master",
    cluster: "test",
    metrics: null,
    dynamicMasterList: null,
    masters: [],
    bind: { host: "127.0.0.1", port: 10000 },
    autostart: null,
    upstreamCluster: null,
    upstreamMasters: null,
    backup: false,
    nid: null,
    replicas: 0,
    partitions: 100,
  });
  assert.deepEqual(warnings, []);
});

Deno.test("loadOptions() gives neostorage its defaults", async () => {
  const { options } = await load(neostorage, "--cluster test --database neo1");
  assert.deepEqual(options, {
    logfile: null,
    logSize: 4096,
    logKeep: 1,
    logFormat: "text",
    verbose: false,
    ca: null,
    cert: null,
    key: null,
    control: null,
    file: null,
    section: "storage",
    cluster: "test",
    metrics: null,
    dynamicMasterList: null,
    masters: [{ host: "127.0.0.1", port: 10000 }],
    bind: { host: "127.0.0.1", port: 0 },
    adapter: "MySQL",
    database: "neo1",
    wait: 0,
    disablePack: false,
    disableDropPartitions: false,
    newNid: false,
    nid: null,
    engine: null,
    dedup: false,
    reset: false,
  });
});

Deno.test("loadOptions() gives neoadmin and neoctl their defaults", async () => {
  const admin = (await load(neoadmin, "-c test")).options;
  assert.deepEqual(admin.bind, { host: "127.0.0.1", port: 9999 });
  assert.deepEqual(admin.smtp, { host: "localhost", port: null });
  assert.deepEqual(
    [admin.monitorBackup, admin.monitorEmail, admin.monitorMaxlag, admin.smtpAuth],
    [[], [], 0, null],
  );
  const { options: ctl, operands } = await load(neoctl, "");
  assert.deepEqual(ctl.address, { host: "127.0.0.1", port: 9999 });
  assert.deepEqual(operands, []);
});

Deno.test("loadOptions() reads every form of option", async () => {
  const { options } = await load(neostorage, [
    ...["-ctest", "-d", "u:p=w@db", "--masters=host1:1 host2:2", "-b", "[::1]:5", "-w", "-1.5"],
    ...["--disable-p", "--disable-drop", "--new", "-vi", "3", "-aSQLite", "-l", "~/x.log"],
    ...["--dedup=no", "--reset=ON", "-D", "~neo/list", "-c", "last"],
  ]);
  assert.equal(options.cluster, "last");
  assert.equal(options.database, "u:p=w@db");
  assert.deepEqual(options.masters, [{ host: "10.0.0.1", port: 1 }, { host: "10.0.0.2", port: 2 }]);
  assert.deepEqual(options.bind, { host: "::1", port: 5 });
  assert.equal(options.wait, -1.5);
  assert.equal(options.disablePack && options.disableDropPartitions && options.newNid, true);
  assert.equal(options.verbose, true);
  assert.equal(options.nid, 3);
  assert.equal(options.adapter, "SQLite");
  assert.equal(options.logfile, "/home/me/x.log");
  assert.equal(options.dedup, false);
  assert.equal(options.reset, true);
  assert.equal(options.dynamicMasterList, "/srv/neo/list");
});

Deno.test("loadOptions() leaves everything from the first operand of neoctl to its command", async () => {
  const { options, operands } = await load(neoctl, "-a host3 print -a x --all");
  assert.deepEqual(options.address, { host: "10.0.0.3", port: 9999 });
  assert.deepEqual(operands, ["print", "-a", "x", "--all"]);
  assert.deepEqual((await load(neoctl, "-- -x")).operands, ["-x"]);
});

Deno.test("loadOptions() reads required options and everything else from the file", async () => {
  const { options, warnings } = await load(neomaster, "-f neo.conf");
  assert.equal(options.cluster, "prod");
  assert.equal(options.partitions, 12);
  assert.equal(options.replicas, 1);
  assert.equal(options.ca, "/srv/neo/ca.crt");
  assert.equal(options.logfile, "/srv/neo/m1.log");
  assert.deepEqual(options.masters.map(({ host }) => host), ["10.0.0.1", "10.0.0.2"]);
  assert.deepEqual(warnings, []);
  const tls = "--cert c --key k";
  assert.equal(
    (await load(neostorage, `-f neo.conf -s storage1 ${tls}`)).options.database,
    "neo:secret@neo1",
  );
  assert.deepEqual(
    (await load(neoadmin, `-f neo.conf ${tls}`)).options.monitorBackup,
    ["paris", "tokyo"],
  );
});

Deno.test("loadOptions() prefers the command line, then the section, then [DEFAULT]", async () => {
  const files = {
    "neo.conf": "[DEFAULT]\ncluster: a\nreplicas: 2\npartitions: 5\n[master]\nreplicas: 3\n" +
      "backup: no\nverbose: On\nlogfile:\n",
  };
  const { options } = await load(neomaster, "-f neo.conf -p 7", files);
  assert.deepEqual(
    [options.cluster, options.replicas, options.partitions, options.backup, options.verbose],
    ["a", 3, 7, false, true],
  );
  assert.equal(options.logfile, null);
});

Deno.test("loadOptions() replaces the values of a repeatable option by those of the command line", async () => {
  const { options } = await load(
    neoadmin,
    "-f neo.conf --cert c --key k --monitor-backup rome --monitor-backup=oslo",
  );
  assert.deepEqual(options.monitorBackup, ["rome", "oslo"]);
});

Deno.test("loadOptions() warns about keys that look like misspelled options, and only those", async () => {
  const files = {
    "neo.conf": "[master]\ncluster: a\nreplica: 1\nauto-start: 2\ndynamic-master-list: x\n" +
      "patritions: 4\nhelper: 1\nmaster: %(banana)s\nbanana: 1\nfile: x\ndatabase: y\ndedup: 1\n",
  };
  const { options, warnings } = await load(neomaster, "-f neo.conf", files);
  assert.deepEqual(options.partitions, 100);
  assert.deepEqual(warnings, [
    "neo.conf [master] replica: unknown key is ignored; did you mean 'replicas'?",
    "neo.conf [master] auto-start: unknown key is ignored; did you mean 'autostart'?",
    "neo.conf [master] dynamic-master-list: unknown key is ignored; " +
    "did you mean 'dynamic_master_list'?",
    "neo.conf [master] patritions: unknown key is ignored; did you mean 'partitions'?",
    "neo.conf [master] master: unknown key is ignored; did you mean 'masters'?",
  ]);
});

Deno.test("loadOptions() refuses a wrong command line with a usage error", async () => {
  for (
    const [args, message] of [
      ["", "missing required options: -c/--cluster, -d/--database"],
      [
        "-f neo.conf -s admin",
        "missing required options: -d/--database, neither given nor in section [admin]",
      ],
      ["-c", "option -c/--cluster needs a value"],
      [
        "-c -d x",
        "option -c/--cluster needs a value; if it starts with '-', write --cluster=…",
      ],
      ["--dis", "option --dis is ambiguous: --disable-pack, --disable-drop-partitions"],
      ["--clutser=x", "unknown option --clutser; did you mean --cluster?"],
      ["--zzz", "unknown option --zzz"],
      ["-vz", "unknown option -z in '-vz'"],
      ["-c a -d b more", "unexpected argument 'more'"],
      ["-c= -d b --cluster=", "option -c/--cluster: must not be empty"],
      ["-c a -d b -i x", "option -i/--nid: 'x' is not an integer"],
      ["-c a -d b -w 1s", "option -w/--wait: '1s' is not a number of seconds"],
      ["-c a -d b --dedup=maybe", "option --dedup: 'maybe' is not a boolean: expected yes or no"],
      [
        "-c a -d b -a mysql",
        "option -a/--adapter: 'mysql' is not one of MySQL, MySQLdb, PyMySQL, SQLite, Importer",
      ],
      [
        "-c a -d b -m host1",
        "option -m/--masters: 'host1' has no port: expected host:port or [ipv6]:port",
      ],
      [
        "-c a -d b -m host1:0",
        "option -m/--masters: 'host1:0' has port 0, which nobody can connect to",
      ],
    ] as const
  ) {
    await assert.rejects(load(neostorage, args), usageError(message), args);
  }
  await assert.rejects(
    load(neoadmin, "-c a --smtp-auth secret"),
    usageError("option --smtp-auth: expected USER:PASSWORD"),
  );
  await assert.rejects(load(neoctl, "-a host1:0 print"), usageError(/port 0/));
});

Deno.test("loadOptions() refuses wrong values of the file with a configuration error", async () => {
  for (
    const [line, message] of [
      ["adapter: Oracle", /^neo\.conf \[storage\] adapter: 'Oracle' is not one of MySQL/],
      ["reset: perhaps", /^neo\.conf \[storage\] reset: 'perhaps' is not a boolean/],
      ["cluster:", /^neo\.conf \[storage\] cluster: must not be empty/],
      ["nid: S1", /^neo\.conf \[storage\] nid: 'S1' is not an integer/],
      ["bind: a:b", /^neo\.conf \[storage\] bind: 'a:b' is not an address: the port/],
      ["masters: nowhere:1", /\[storage\] masters: can't resolve host name 'nowhere'/],
      ["masters:", /^masters must not be empty$/],
    ] as const
  ) {
    const cluster = line.startsWith("cluster") ? "" : "cluster: a\n";
    const files = { "neo.conf": `[storage]\n${cluster}database: d\n${line}\n` };
    await assert.rejects(load(neostorage, "-f neo.conf", files), configError(message), line);
  }
});

Deno.test("loadOptions() refuses a missing file or section, and ignores -s without file", async () => {
  await assert.rejects(
    load(neomaster, "-f ~/none.conf"),
    configError("can't read configuration file /home/me/none.conf: No such file"),
  );
  await assert.rejects(load(neomaster, "-f neo.conf -s m2"), configError(/no section \[m2\]/));
  assert.equal((await load(neomaster, "-s m2 -c x")).options.cluster, "x");
});

Deno.test("loadOptions() refuses options that contradict each other", async () => {
  for (
    const [args, message] of [
      ["-r -1", "replicas must be a positive integer"],
      ["-p 0", "partitions must be more than zero"],
      ["-A 0", "autostart must be at least 1"],
      ["-C a -M host1:1", "upstream-cluster must not be the cluster itself"],
      ["-C b", "upstream-cluster needs upstream-masters"],
      ["-M host1:1", "upstream-masters needs upstream-cluster"],
      ["-B", "backup needs upstream-cluster and upstream-masters"],
      ["--ca x --key y", "TLS needs all of ca, cert and key: cert not given"],
      ["--log-size=-1", "log-size must not be negative"],
    ] as const
  ) {
    await assert.rejects(load(neomaster, `-c a ${args}`), configError(message), args);
  }
  await assert.rejects(
    load(neostorage, "-c a -d b -a Importer"),
    configError("adapter Importer is not supported by this implementation yet"),
  );
  await assert.rejects(
    load(neostorage, "-c a -d b -a SQLite -e InnoDB"),
    configError("engine is an option of MySQL, not of SQLite"),
  );
});

Deno.test("loadOptions() warns about addresses that others can't connect to", async () => {
  const warnings = async (bind: string) =>
    (await load(neomaster, ["-c", "a", "-b", bind])).warnings;
  assert.match((await warnings("host1"))[0] ?? "", /bind has no port: listening to any free port/);
  assert.match((await warnings("0.0.0.0:1"))[0] ?? "", /told to connect to 0\.0\.0\.0/);
  assert.deepEqual(await warnings("host1:1"), []);
  assert.deepEqual((await load(neostorage, "-c a -d b -b host1")).warnings, []);
});

Deno.test("loadOptions() gives the help instead of errors when it is asked for", async () => {
  for (const args of [["--help"], ["-h"], ["--he"], ["-vh"]]) {
    const { help } = await loadOptions(neostorage, args, fakeHost());
    assert.ok(help !== null);
    assert.match(help, /^usage: neostorage \[options\]\n\nRuns a storage node/);
    assert.match(help, /^ {2}-c, --cluster NAME {10}name of the cluster \(required\)$/m);
    assert.match(help, /^ {6}--disable-pack {10}ignore pack orders$/m);
    assert.match(
      help,
      /^ {2}-a, --adapter MySQL\|MySQLdb\|PyMySQL\|SQLite\|Importer\n {30}kind of database \(default: MySQL\)$/m,
    );
    assert.match(help, /SIGRTMIN\+1, SIGUSR2, SIGHUP/);
    assert.ok(help.split("\n").every((line) => line.length <= 100));
  }
});
