/**
 * `deno task cluster`, used as the README and its own output tell.
 *
 * @module
 */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type Client, connect } from "../../client/mod.ts";
import { type Oid, type Tid, toOid } from "../../protocol/ids.ts";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { freePort, runTool, until } from "../support/processes.ts";
import { clusterCommand, ClusterProcess, withFolder } from "./support.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

async function commit(client: Client, oid: Oid, text: string): Promise<Tid> {
  await using txn = await client.begin();
  await txn.store(oid, null, encoder.encode(text));
  return await txn.commit();
}

/** Runs what a cluster printed for that, in a shell and in an empty folder. */
async function paste(output: string): Promise<string> {
  const snippet = /Paste this[^\n]*\n\n(.*?\nEND\n)/s.exec(output)?.[1];
  assert(snippet !== undefined, output);
  return await withFolder(async (folder) => {
    const path = Deno.execPath().replace(/\/[^/]*$/, "");
    const { code, stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", snippet],
      cwd: folder,
      env: { PATH: `${path}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
      stdin: "null",
    }).output();
    assert.equal(code, 0, decoder.decode(stderr));
    return decoder.decode(stdout);
  });
}

Deno.test("deno task cluster serves what it tells, and finds its data again", async () => {
  await withFolder(async (folder) => {
    const shape = ["--data", `${folder}/data`, "--storages", "2", "--replicas", "1"];
    await using cluster = await new ClusterProcess([...shape, "--partitions", "5"]).start();
    assert.match(cluster.output, /NEO cluster 'neo' is ready/);
    assert.match(cluster.output, /storages: 2, partitions: 5, replicas: 1/);
    assert(cluster.output.includes(cluster.uri));
    assert.match(await paste(cluster.output), /^committed \d+n\nHello, NEO!\n$/);

    const table = async () => (await cluster.neoctl("print", "pt")).stdout;
    const created = await table();
    assert.match(created, /\nS1 R UUUUU\nS2 R UUUUU\n/);
    let tid;
    {
      await using client = await connect(cluster.uri);
      assert.equal(decoder.decode((await client.load(toOid(1))).data), "Hello, NEO!");
      tid = await commit(client, toOid(1000), "kept");
    }

    await using second = new ClusterProcess([...shape, "--partitions", "5"]);
    const refused = await second.fail();
    assert.equal(refused.code, 1);
    assert.match(refused.output, /data folder .*\/data is in use by another cluster/);

    await cluster.stop();
    await cluster.start();
    assert.equal(await table(), created, "the partition table has not changed");
    {
      await using client = await connect(cluster.uri);
      const { data, serial } = await client.load(toOid(1000));
      assert.deepEqual([decoder.decode(data), serial], ["kept", tid]);
    }
    await cluster.stop();

    await using other = new ClusterProcess([...shape, "--partitions", "7"]);
    const different = await other.fail();
    assert.equal(different.code, 1);
    assert.match(different.output, /is another one: partitions is 5, not 7\. Give the same/);
  });
});

Deno.test("deno task cluster loses nothing acknowledged when it is killed", async () => {
  await withFolder(async (folder) => {
    await using cluster = await new ClusterProcess(["--data", folder]).start();
    {
      await using client = await connect(cluster.uri);
      for (let n = 1; n <= 20; n++) await commit(client, toOid(n), `object ${n}`);
      await cluster.process.kill("SIGKILL");
    }
    await cluster.start();
    await using client = await connect(cluster.uri);
    for (let n = 1; n <= 20; n++) {
      assert.equal(decoder.decode((await client.load(toOid(n))).data), `object ${n}`);
    }
    await commit(client, toOid(21), "and goes on");
    await cluster.stop();
  });
});

Deno.test("deno task cluster --memory leaves nothing behind", async () => {
  await withFolder(async (folder) => {
    // As if npx had started it.
    await using cluster = new ClusterProcess(
      ["--memory", "--data", `${folder}/data`, "--storages", "3"],
      { npm_command: "exec" },
    );
    for (let life = 1; life <= 2; life++) {
      await cluster.start();
      assert.match(cluster.output, /data in memory, storages: 3/);
      assert(cluster.output.includes(`\nnpx -y deno@${Deno.version.deno} run --allow-net - <<`));
      await using client = await connect(cluster.uri);
      assert.equal(client.lastTransaction, 0n);
      await commit(client, toOid(1), "forgotten");
      await cluster.stop();
    }
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("deno task cluster ends when an operator stops the cluster", async () => {
  await using cluster = await new ClusterProcess(["--memory"]).start();
  const { code, stdout } = await cluster.neoctl("set", "cluster", "stopping");
  assert.deepEqual([code, stdout], [0, "Cluster state changed\n"]);
  assert.equal((await cluster.process.ended()).code, 0, cluster.output);
  assert.match(cluster.output, /the cluster is stopped\n$/);
  assert.doesNotMatch(cluster.output, /WARNING|ERROR/);
});

Deno.test("deno task cluster --masters runs masters that stand by", async () => {
  const args = ["--memory", "--masters", "3"];
  await using cluster = await new ClusterProcess(args, {}, 3).start();
  const ports = [0, 1, 2].map((n) => cluster.master.port + n);
  const uri = `neo://neo@${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
  assert(cluster.output.includes(`clients connect to  ${uri}\n`), cluster.output);
  assert.match(cluster.output, /replicas: 0, masters: 3\n/);
  const states = async () => {
    const { stdout } = await cluster.neoctl("print", "node", "master");
    return [...stdout.matchAll(/^(M\d) .*:(\d+) +\| +([A-Z]+) +\| (None)?/gm)]
      .map(([, name, port, state, primary]) =>
        `${name} ${port} ${state}${primary ? " primary" : ""}`
      );
  };
  assert.deepEqual(await states(), [
    `M1 ${ports[0]} RUNNING primary`,
    `M2 ${ports[1]} RUNNING`,
    `M3 ${ports[2]} RUNNING`,
  ]);
  assert.equal((await cluster.neoctl("kill", "M2")).stdout, "state changed\n");
  await until("it is stopped", async () => (await states()).includes(`M2 ${ports[1]} DOWN`));
  assert.match((await cluster.neoctl("kill", "M1")).stderr, /can not kill primary master node/);
  // A secondary sends clients to the primary.
  await using client = await connect(`neo://neo@127.0.0.1:${ports[2]}`);
  await commit(client, toOid(1), "one");
  await cluster.stop();
});

Deno.test("deno task cluster --logfile keeps a log, and --control a socket, for each node", async () => {
  await withFolder(async (folder) => {
    const args = ["--memory", "--logfile", `${folder}/log`, "--control", `${folder}/control`];
    await using cluster = await new ClusterProcess(args).start();
    for (const node of ["M1", "A1", "S1"]) {
      const path = `${folder}/control.${node}`;
      const connection = await Deno.connect({ transport: "unix", path });
      await connection.write(new TextEncoder().encode("flush\nstate\n"));
      await connection.closeWrite();
      const answer = await new Response(connection.readable).text();
      assert.match(answer, /^ok\n[^]*\nok\n$/);
      assert.doesNotMatch(answer, /nothing to describe/);
      using db = new DatabaseSync(`${folder}/log.${node}`, { readOnly: true });
      assert(Number(db.prepare("SELECT count(*) AS n FROM packet").get()?.n) > 0);
    }
    assert((await Deno.stat(`${folder}/control`)).isSocket);
    await cluster.stop();
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assert.deepEqual(left.filter((name) => name.startsWith("control")), []);
    for (const node of ["M1", "A1", "S1"]) {
      using db = new DatabaseSync(`${folder}/log.${node}`, { readOnly: true });
      assert.equal(db.prepare("SELECT name FROM node").get()?.name, node);
      assert(Number(db.prepare("SELECT count(*) AS n FROM packet").get()?.n) > 0);
    }
  });
});

Deno.test("deno task cluster ends in good order on Ctrl-C in a terminal", async () => {
  await withFolder(async (folder) => {
    const address = () => `127.0.0.1:${freePort()}`;
    // `exec`, because a shell that waits would be ended by the same Ctrl-C: that is its status then.
    const task =
      `exec ${Deno.execPath()} task cluster -d ${folder} -b ${address()} -a ${address()}`;
    const terminal = new Deno.Command("script", {
      args: ["--quiet", "--return", "--command", task, "/dev/null"],
      cwd: new URL("../../", import.meta.url),
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let output = "";
    const keyboard = terminal.stdin.getWriter();
    for await (const chunk of terminal.stdout) {
      const ready = /Ctrl-C stops/.test(output);
      output += decoder.decode(chunk, { stream: true });
      if (!ready && /Ctrl-C stops/.test(output)) await keyboard.write(Uint8Array.of(3));
    }
    keyboard.releaseLock();
    await terminal.stdin.close().catch(() => {});
    assert.match(output, /the cluster is stopped\r\n/);
    assert.equal((await terminal.status).code, 0, output);
  });
});

Deno.test("deno task cluster tells which address is in use", async () => {
  await withFolder(async (folder) => {
    await using cluster = new ClusterProcess(["--data", folder]);
    for (const [what, { port }] of Object.entries({ M1: cluster.master, A1: cluster.admin })) {
      using _listener = Deno.listen({ hostname: "127.0.0.1", port });
      const { code, output } = await cluster.fail();
      assert.equal(code, 1);
      assert.match(output, new RegExp(`ERROR +${what} .*can't listen to 127.0.0.1:${port}: `));
      assert.match(
        output,
        new RegExp(`ERROR +NEO .*${what} could not start, for the reason above`),
      );
      assert.doesNotMatch(output, / {4}at /, "no stack");
    }
    await cluster.start();
    await cluster.stop();
  });
});

Deno.test("deno task cluster says that a database is locked", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/storage1.sqlite`, "");
    const { dev, ino } = await Deno.stat(`${folder}/storage1.sqlite`);
    using _lock = Deno.listen({ transport: "unix", path: `\0neostorage:${dev}:${ino}` });
    await using cluster = new ClusterProcess(["--data", folder]);
    const { code, output } = await cluster.fail();
    assert.equal(code, 1);
    assert.match(output, /ERROR +S1 .*database is locked\n/);
    assert.match(output, /S1 could not start, for the reason above\n/);
  });
});

Deno.test("deno task cluster tells what it waits for when a database is missing", async () => {
  await withFolder(async (folder) => {
    await using cluster = await new ClusterProcess(["--data", folder, "--storages", "2"]).start();
    await cluster.stop();
    for (const suffix of ["", "-wal", "-shm"]) {
      await Deno.remove(`${folder}/storage2.sqlite${suffix}`).catch(() => {});
    }
    cluster.process.start();
    await until("it says so", () => /WARNING +NEO .*the cluster waits for/.test(cluster.output));
    await cluster.process.kill("SIGINT");
  });
});

Deno.test("deno task cluster --help describes its options", async () => {
  const [run = "", ...args] = clusterCommand();
  assert.equal(run, "run");
  const { code, stdout, stderr } = await runTool(...args, "--help");
  assert.deepEqual([code, stderr], [0, ""]);
  for (const option of ["storages", "replicas", "partitions", "data", "memory", "database"]) {
    assert.match(stdout, new RegExp(`--${option}\\b`));
  }
});

for (
  const [args, status, message] of [
    [["--storage"], 2, /^usage: .*\n.* option --storages needs a value\n/],
    [["extra"], 2, /unexpected argument 'extra'\n/],
    [["--storages", "0"], 1, /storages must be at least 1\n/],
    [["--storages", "some"], 2, /--storages: 'some' is not an integer\n/],
    [["--masters", "0"], 1, /masters must be at least 1\n/],
    [["--partitions", "0"], 1, /partitions must be at least 1\n/],
    [["--replicas", "1"], 1, /1 replicas need 2 storages, and there are 1\n/],
    [["--memory", "--database", "mysql://a@b/c"], 1, /memory and database exclude each other\n/],
    [["--database", "neo:secret@neo"], 1, /database must be a mysql: URL\n/],
    [["--database", "mysql://neo:secret@host"], 1, /'mysql:\/\/neo:…@host' .* no database name/],
    [["--data", "/proc/none"], 1, /can't use the data folder \/proc\/none: /],
  ] as const
) {
  Deno.test(`deno task cluster refuses ${args.join(" ")}`, async () => {
    await using cluster = new ClusterProcess(args);
    const { code, output } = await cluster.fail();
    assert.equal(code, status, output);
    assert.match(output, message);
    assert.doesNotMatch(output, /secret| {4}at /);
  });
}

if (hasMariadb) {
  Deno.test("deno task cluster --database creates the databases it uses", async () => {
    const server = await Mariadb.start();
    try {
      await withFolder(async (folder) => {
        const args = ["--data", folder, "--database", server.url("local"), "--storages", "2"];
        await using cluster = await new ClusterProcess(args).start();
        assert.match(cluster.output, /data in MySQL, storages: 2/);
        const databases = await server.query("SHOW DATABASES LIKE 'local%'");
        assert.deepEqual(databases.flat(), ["local1", "local2"]);
        {
          await using client = await connect(cluster.uri);
          for (let n = 1; n <= 4; n++) await commit(client, toOid(n), `object ${n}`);
        }
        await cluster.stop();
        const kept = await Deno.readTextFile(`${folder}/cluster.json`);
        assert.match(kept, /mysql:\/\/neo@127/, "without password");
        await cluster.start();
        await using client = await connect(cluster.uri);
        assert.equal(decoder.decode((await client.load(toOid(4))).data), "object 4");
        await cluster.stop();

        await server.kill();
        const { code, output } = await cluster.fail();
        assert.equal(code, 1);
        assert.match(output, /can't create the database of storage 1: MySQL: .*ECONNREFUSED/);
      });
    } finally {
      await server.stop();
    }
  });
}
