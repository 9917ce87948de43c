import assert from "node:assert/strict";
import { ControlSocket } from "../../node/control_socket.ts";
import { NodeLog } from "../../node/node_log.ts";
import { openControl } from "../../node/process.ts";
import { until } from "../support/processes.ts";
import { SampleProcess } from "./sample_process.ts";

/** Sends a text and returns all answers. */
async function send(path: string, text: string): Promise<string> {
  const connection = await Deno.connect({ transport: "unix", path });
  await connection.write(new TextEncoder().encode(text));
  await connection.closeWrite();
  return await new Response(connection.readable).text();
}

/** Calls with a path for a socket. */
async function withPath(use: (path: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(`${folder}/control`, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Waits until the other side has closed a connection. */
async function closed(connection: Deno.UnixConn | undefined): Promise<void> {
  try {
    assert.equal(await connection?.read(new Uint8Array(1)), null);
  } catch (error) {
    assert.ok(error instanceof Deno.errors.ConnectionReset, `${error}`);
  }
}

const exists = (path: string) => Deno.lstat(path).then(() => true, () => false);

/** Records the orders. */
function recorder() {
  const orders: string[] = [];
  return {
    orders,
    flush: () => void orders.push("flush"),
    reopen: () => void orders.push("reopen"),
    state: () => "one\ntwo",
  };
}

Deno.test("ControlSocket answers each command by a line, after what it tells", async () => {
  await withPath(async (path) => {
    const actions = recorder();
    const socket = await ControlSocket.open(path, actions);
    assert.equal(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
    const answers = await send(path, "flush\r\nreopen\nstate\nstop\n\nflush");
    const unknown = "error: unknown command: there are flush, reopen and state\n";
    assert.equal(answers, `ok\nok\none\ntwo\nok\n${unknown}${unknown}ok\n`);
    assert.deepEqual(actions.orders, ["flush", "reopen", "flush"]);
    socket.close();
    await socket.close();
    assert.equal(await exists(path), false);
  });
});

Deno.test("ControlSocket answers by the reason what can't be done", async () => {
  await withPath(async (path) => {
    const flush = () => {
      throw new Error("the disk\nis full");
    };
    const socket = await ControlSocket.open(path, { ...recorder(), flush });
    assert.equal(await send(path, "flush\nreopen\n"), "error: the disk is full\nok\n");
    await socket.close();
  });
});

Deno.test("ControlSocket closes a connection whose command has no end, and the oldest of many", async () => {
  await withPath(async (path) => {
    const socket = await ControlSocket.open(path, recorder());
    const endless = await Deno.connect({ transport: "unix", path });
    await endless.write(new TextEncoder().encode("x".repeat(1000)));
    await closed(endless);
    endless.close();

    const idle: Deno.UnixConn[] = [];
    while (idle.length < 20) idle.push(await Deno.connect({ transport: "unix", path }));
    await closed(idle[0]);
    assert.equal(await send(path, "flush"), "ok\n");
    for (const connection of idle) connection.close();
    await socket.close();
  });
});

Deno.test("ControlSocket.open() refuses a path in use, and replaces what a dead process left", async () => {
  await withPath(async (path, folder) => {
    const left = new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `Deno.listen({ transport: "unix", path: ${
          JSON.stringify(path)
        } }); Deno.kill(Deno.pid, "SIGKILL")`,
      ],
    });
    await left.output();
    assert.equal(await exists(path), true);
    const first = await ControlSocket.open(path, recorder());
    await assert.rejects(ControlSocket.open(path, recorder()), {
      name: "ConfigError",
      message: `can't listen to control socket ${path}: another process listens to it`,
    });
    assert.equal(await send(path, "flush"), "ok\n", "the first one is as before");
    await first.close();

    await Deno.writeTextFile(path, "precious");
    await assert.rejects(ControlSocket.open(path, recorder()), {
      name: "ConfigError",
      message: /: it exists and is not a socket$/,
    });
    assert.equal(await Deno.readTextFile(path), "precious");
    for (const impossible of [`${folder}/none/control`, `${folder}/${"x".repeat(120)}`]) {
      await assert.rejects(ControlSocket.open(impossible, recorder()), { name: "ConfigError" });
    }
  });
});

Deno.test("openControl() tells that the log can't be written", async () => {
  await withPath(async (path, folder) => {
    const log = new NodeLog({ database: `${folder}/log` });
    const socket = await openControl(path, log);
    await Deno.rename(`${folder}/log`, `${folder}/former`);
    await Deno.mkdir(`${folder}/log`);
    assert.match(await send(path, "reopen"), /^error: can't write to the log database: /);
    await Deno.remove(`${folder}/log`);
    assert.equal(await send(path, "reopen"), "ok\n");
    assert.equal((await Deno.stat(`${folder}/log`)).isFile, true);
    await socket.close();
    log.close();
  });
});

Deno.test("a node flushes, reopens and tells its state through --control", async () => {
  await withPath(async (path) => {
    await using sample = new SampleProcess("wait", ["--control", path]);
    assert.equal(await sample.line(), "ready");
    assert.deepEqual(sample.messages(), []);
    assert.equal(await send(path, "flush\n"), "ok\n");
    assert.ok(sample.messages().includes("started"));
    await Deno.rename(sample.logfile, `${sample.folder}/former`);
    assert.equal(await send(path, "reopen\n"), "ok\n");
    assert.equal(await exists(sample.logfile), true);
    assert.equal(await send(path, "state\n"), "the state of the sample\nok\n");

    await using second = new SampleProcess("wait", ["--control", path], []);
    const { code, stderr } = await second.end();
    assert.deepEqual(
      [code, stderr],
      [
        1,
        `neoadmin: error: can't listen to control socket ${path}: another process listens to it\n`,
      ],
    );
    await sample.kill("TERM");
    assert.equal((await sample.end()).code, 0);
    await until("the socket is removed", async () => !await exists(path));
  });
});
