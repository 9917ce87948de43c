import assert from "node:assert/strict";
import { realEnvironment } from "../../network/real.ts";
import { silentLog } from "../../network/log.ts";
import { ClusterState, ErrorCode } from "../../protocol/enums.ts";
import { formatAddress } from "../../protocol/nodes.ts";
import { ScriptedPeer } from "../admin/scripted_peer.ts";
import { NODES } from "./samples.ts";

const ROOT = new URL("../../", import.meta.url);

async function run(program: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", "--allow-read", "--allow-env", program, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const neoctl = (...args: string[]) => run("neoctl/main.ts", ...args);

/** An admin that listens for real. */
async function listen(admin: ScriptedPeer): Promise<string> {
  const env = realEnvironment({ log: silentLog });
  return formatAddress(await admin.listen(env, { host: "127.0.0.1", port: 0 }));
}

Deno.test("neoctl in a process prints results, and errors with their exit status", async () => {
  const admin = new ScriptedPeer({
    AskNodeList: ({ answer }) => answer({ nodes: NODES }),
    SetClusterState: ({ error }) => error(ErrorCode.DENIED, "Can not switch to this state"),
    Truncate: ({ error }) => error(ErrorCode.ACK, ""),
  });
  const address = await listen(admin);
  try {
    assert.deepEqual(await neoctl("-a", address, "print", "node"), {
      code: 0,
      stdout: `\
A1 | ADMIN   | 127.0.0.1:9999  | RUNNING | 2026-11-22 10:10:46.516371
C1 | CLIENT  |                 | RUNNING | 2026-11-22 10:11:23.999131
M1 | MASTER  | 127.0.0.1:10000 | RUNNING | None
M2 | MASTER  | 127.0.0.1:10001 | DOWN    | 2026-11-22 10:14:07.258132
S1 | STORAGE | 127.0.0.1:20000 | RUNNING | 2026-11-22 10:10:48.675942
S2 | STORAGE |                 | DOWN    | None
`,
      stderr: "",
    });
    const refused = { code: 1, stdout: "", stderr: "Can not switch to this state\n" };
    assert.deepEqual(await neoctl("--address", address, "set", "cluster", "running"), refused);
    assert.deepEqual(admin.last("SetClusterState").args, { state: ClusterState.RUNNING });
    const json = await neoctl("-a", address, "--json", "print", "node", "master");
    assert.deepEqual([json.code, JSON.parse(json.stdout).nodes.length], [0, NODES.length]);
    const done = { code: 0, stdout: "", stderr: "" };
    assert.deepEqual(await neoctl("-a", address, "truncate", "tid:5"), done);
    const late = { code: 1, stdout: "", stderr: "ERROR: not done after 0.5 seconds\n" };
    assert.deepEqual(await neoctl("-a", address, "--timeout=0.5", "print", "cluster"), late);
  } finally {
    admin.close();
  }
});

Deno.test("neoctl in a process tells mistakes on its command line", async () => {
  const [nobody, invalid, option, timeout] = await Promise.all([
    neoctl("-a", "127.0.0.1:1", "print", "cluster"),
    neoctl("print", "cluster", "-a", "x"),
    neoctl("--adress", "x", "print", "cluster"),
    neoctl("--timeout", "0", "print", "cluster"),
  ]);
  assert.deepEqual([nobody.code, nobody.stdout], [1, ""]);
  assert.match(nobody.stderr, /^ERROR: not connected\n127\.0\.0\.1:1: .*refused/);
  assert.deepEqual([invalid.code, invalid.stdout], [1, ""]);
  assert.match(invalid.stderr, /^ERROR: print cluster: unexpected argument '-a'\nusage: /);
  assert.deepEqual([option.code, option.stdout], [2, ""]);
  assert.match(
    option.stderr,
    /^usage: neoctl .*\n.*unknown option --adress; did you mean --address/,
  );
  assert.deepEqual([timeout.code, timeout.stdout], [1, ""]);
  assert.match(timeout.stderr, /timeout must be more than zero/);
});

Deno.test("neoctl and neoadmin in a process print their help", async () => {
  const outcomes = await Promise.all([
    neoctl("--help"),
    neoctl(),
    run("admin/main.ts", "--help"),
  ]);
  for (const { code, stdout, stderr } of outcomes) {
    assert.deepEqual([code, stderr], [0, ""]);
    assert.notEqual(stdout, "");
  }
  const [help, list] = outcomes;
  assert.ok(help?.stdout.endsWith(list?.stdout ?? "?"), "the help lists the commands");
  assert.match(help?.stdout ?? "", /--json .*\n.*--wait /);
});

Deno.test("neoadmin in a process refuses what it can't do", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [unsupported, used] = await Promise.all([
    run("admin/main.ts", "--cluster=test", "--monitor-backup=bak"),
    run("admin/main.ts", "--cluster=test", `--bind=127.0.0.1:${listener.addr.port}`),
  ]);
  listener.close();
  assert.equal(unsupported.code, 1);
  assert.match(unsupported.stderr, /monitor-backup can't be used: not supported yet/);
  assert.equal(used.code, 1);
  assert.match(used.stderr, /can't listen to 127\.0\.0\.1:\d+: .*in use/);
});
