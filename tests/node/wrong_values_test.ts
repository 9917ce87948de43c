/** What every option of every program refuses, on the command line and in the file. */

import assert from "node:assert/strict";
import { neolog } from "../../neolog/options.ts";
import { fileKey, longName, optionNames } from "../../node/command_line.ts";
import type { OptionTable } from "../../node/option_kinds.ts";
import { loadOptions } from "../../node/options.ts";
import { neoadmin, neoctl, neomaster, neostorage, type Program } from "../../node/programs.ts";
import { fakeHost } from "./fake_host.ts";

/** Values that an option refuses, and what is said of them; `null` if any text is a value. */
type Refused = readonly (readonly [text: string, message: string])[] | null;

const EMPTY = [["", "must not be empty"]] as const;
const NUMBER = [["1.5", "'1.5' is not an integer"], ["", "'' is not an integer"]] as const;
const SECONDS = [["soon", "'soon' is not a number of seconds"]] as const;
const FLAG = [["maybe", "'maybe' is not a boolean: expected yes or no"]] as const;
const ADDRESS = [
  ["host1:x", "'host1:x' is not an address: the port must be a number from 0 to 65535, not 'x'"],
  ["nowhere:1", "can't resolve host name 'nowhere': unknown name"],
] as const;
const MASTERS = [["host1", "'host1' has no port: expected host:port or [ipv6]:port"]] as const;
const nid = (type: string, first: string) =>
  [
    ...NUMBER,
    ["0", `!nid 0 is not that of a ${type}: ${first}`],
  ] as const;
const positive = (what: string) => [...NUMBER, ["-1", `!${what}`]] as const;

const COMMON: Readonly<Record<string, Refused>> = {
  logfile: null,
  logSize: positive("log-size must not be negative"),
  logKeep: positive("log-keep must not be negative"),
  logFormat: [["xml", "'xml' is not one of text, json"]],
  verbose: FLAG,
  ca: [["x", "!TLS needs all of ca, cert and key: cert, key not given"]],
  cert: [["x", "!TLS needs all of ca, cert and key: ca, key not given"]],
  key: [["x", "!TLS needs all of ca, cert and key: ca, cert not given"]],
};
const NODE: Readonly<Record<string, Refused>> = {
  ...COMMON,
  file: [["/none", "!can't read configuration file /none: No such file"]],
  section: EMPTY,
  cluster: EMPTY,
  metrics: [...ADDRESS, ["host1", "!metrics needs a port: expected HOST:PORT"]],
  dynamicMasterList: null,
  control: null,
  masters: MASTERS,
  bind: ADDRESS,
};

const PROGRAMS: readonly [Program<OptionTable>, Readonly<Record<string, Refused>>][] = [
  [neomaster as Program<OptionTable>, {
    ...NODE,
    autostart: positive("autostart must be at least 1"),
    upstreamCluster: [...EMPTY, ["up", "!upstream-cluster needs upstream-masters"]],
    upstreamMasters: [...MASTERS, ["host1:1", "!upstream-masters needs upstream-cluster"]],
    backup: [...FLAG, ["yes", "!backup needs upstream-cluster and upstream-masters"]],
    nid: nid("master", "M1 is -268435455"),
    replicas: positive("replicas must be a positive integer"),
    partitions: positive("partitions must be more than zero"),
  }],
  [neostorage as Program<OptionTable>, {
    ...NODE,
    adapter: [["Oracle", "'Oracle' is not one of MySQL, MySQLdb, PyMySQL, SQLite, Importer"]],
    database: EMPTY,
    wait: SECONDS,
    disablePack: FLAG,
    disableDropPartitions: FLAG,
    newNid: FLAG,
    nid: nid("storage", "S1 is 1"),
    engine: [["MyISAM", "'MyISAM' is not one of InnoDB, RocksDB"]],
    dedup: FLAG,
    reset: FLAG,
  }],
  [neoadmin as Program<OptionTable>, {
    ...NODE,
    monitorBackup: null,
    monitorMaxlag: [...SECONDS, ["-1", "!monitor-maxlag must not be negative"]],
    monitorEmail: null,
    smtp: [["a:b", "'a:b' is not an address: the port must be a number from 0 to 65535, not 'b'"]],
    smtpTls: FLAG,
    smtpAuth: [["secret", "expected USER:PASSWORD"]],
    nid: nid("admin", "A1 is -805306367"),
  }],
  [neoctl as Program<OptionTable>, {
    ...COMMON,
    address: ADDRESS,
    json: FLAG,
    wait: FLAG,
    timeout: [...SECONDS, ["0", "!timeout must be more than zero"]],
  }],
  [neolog as Program<OptionTable>, {
    all: FLAG,
    decompress: FLAG,
    color: FLAG,
    date: [["%Q", "'%Q' is no field of a date: known are %Y"]],
    follow: FLAG,
    flush: [["1", "!flush needs follow"]],
    sleepInterval: [...SECONDS, ["0", "!sleep-interval must be more than zero"]],
    node: EMPTY,
    from: [["x", "'x' is neither a number of seconds nor a date"]],
    to: [["x", "'x' is neither a number of seconds nor a date"]],
    message: EMPTY,
    tid: [["x", "'x' is neither a number nor 16 hexadecimal digits"]],
    oid: [["-1", "'-1' is neither a number nor 16 hexadecimal digits"]],
    cluster: FLAG,
    noNid: FLAG,
  }],
];

for (const [program, refused] of PROGRAMS) {
  const required: Readonly<Record<string, string>> = {
    ..."section" in program.options && { cluster: "test" },
    ..."database" in program.options && { database: "test" },
  };

  Deno.test(`${program.name} refuses wrong values of each option on its command line`, async () => {
    assert.deepEqual(Object.keys(refused).sort(), Object.keys(program.options).sort());
    for (const [name, values] of Object.entries(refused)) {
      const option = program.options[name];
      assert(option !== undefined);
      for (const [text, message] of values ?? []) {
        const args = Object.entries({ ...required, [name]: text })
          .map(([key, value]) => `${longName(key)}=${value}`);
        const whole = message.startsWith("!")
          ? message.slice(1)
          : `option ${optionNames(name, option)}: ${message}`;
        await refuses(program, args, {}, whole, `${name}=${text}`);
      }
    }
  });

  if (!("file" in program.options)) continue;
  Deno.test(`${program.name} refuses wrong values of each key of its file`, async () => {
    for (const [name, values] of Object.entries(refused)) {
      if (program.options[name]?.commandLineOnly === true) continue;
      for (const [text, message] of values ?? []) {
        const section = program.options.section?.default ?? "";
        const keys = Object.entries({ ...required, [name]: text })
          .map(([key, value]) => `${fileKey(key)}: ${value}\n`);
        const whole = message.startsWith("!")
          ? message.slice(1)
          : `neo.conf [${section}] ${fileKey(name)}: ${message}`;
        const files = { "neo.conf": `[${section}]\n${keys.join("")}` };
        await refuses(program, ["-f", "neo.conf"], files, whole, `${name}: ${text}`);
      }
    }
  });
}

/** Checks that the reason is one line which begins as expected. */
async function refuses(
  program: Program<OptionTable>,
  args: readonly string[],
  files: Readonly<Record<string, string>>,
  expected: string,
  what: string,
): Promise<void> {
  const error = await loadOptions(program, args, fakeHost(files)).then(
    () => assert.fail(`${program.name} accepts ${what}`),
    (error: Error) => error,
  );
  assert.match(error.name, /^(UsageError|ConfigError)$/, `${what}: ${error.stack}`);
  assert.equal(error.message.slice(0, expected.length), expected, what);
  assert.doesNotMatch(error.message, /\n/);
}
