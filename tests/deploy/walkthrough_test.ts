/**
 * Does what `docs/deployment.md` and `docs/operations.md` say, in the order of the life of a site:
 * three machines, MariaDB, TLS and supervisor, and clients that commit all the time.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hexId, type Tid } from "../../protocol/ids.ts";
import { Page } from "../docs/page.ts";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { until } from "../support/processes.ts";
import { pythonWithSupervisor, run } from "../support/python.ts";
import { Workload } from "../system/workload.ts";
import { Site } from "./site.ts";

const CLIENTS = 2;

const deployment = Page.read("docs/deployment.md");
const operations = Page.read("docs/operations.md");
const metrics = Page.read("docs/metrics.md");

/** Whether this system has the loopback addresses of all machines. */
function hasLoopbackNetwork(): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.3", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

/** What the pages take for granted that is not installed here. */
async function missingCommands(): Promise<string> {
  const needed = ["curl", "jq", "openssl", "socat"];
  return await run(
    "sh",
    "-c",
    'for name; do command -v "$name" >/dev/null || echo "$name"; done',
    "sh",
    ...needed,
  );
}

/** A site that is set up step by step. */
class Walkthrough {
  constructor(readonly site: Site, readonly mariadb: Mariadb) {}

  /** Executes the next block of a section. */
  run(page: Page, section: string, change = (text: string) => text): Promise<string> {
    return this.site.shell.run(change(page.take(section)));
  }

  sh(commands: string): Promise<string> {
    return this.site.shell.run(commands);
  }

  /** What the admin says of the cluster. */
  async health(): Promise<string> {
    const response = await fetch(this.site.translate("http://10.0.0.1:9103/health"));
    return (await response.json() as { status: string }).status;
  }

  async clientUri(): Promise<string> {
    const tls = await Promise.all(
      Object.entries({ ca: "ca.crt", cert: "operator.crt", key: "operator.key" }).map(
        async ([key, file]) =>
          `${key}=${await Deno.realPath(this.site.path(`opt/neo/tls/${file}`))}`,
      ),
    );
    const masters = "10.0.0.1:10000,10.0.0.2:10000,10.0.0.3:10000";
    return this.site.translate(`neos://prod@${masters}?${tls.join("&")}`);
  }

  /** The name of the storage at an address. */
  async storage(address: string, state: string): Promise<string> {
    let name = "";
    await until(`the storage at ${address} is ${state}`, async () => {
      const nodes = await this.sh("neoctl print node storage");
      const row = new RegExp(
        `^(S\\d+) .* ${this.site.translate(address).replaceAll(".", "\\.")} .* ${state} `,
        "m",
      );
      name = row.exec(nodes)?.[1] ?? "";
      return name !== "";
    });
    return name;
  }
}

/** From nothing to a cluster that serves. */
async function setUp(walk: Walkthrough): Promise<void> {
  const { site, mariadb } = walk;
  await walk.run(deployment, "1. Programs");
  await walk.run(deployment, "2. Certificates");
  await walk.run(deployment, "2. Certificates");
  const database = deployment.take("3. Databases", "sql");
  for (const machine of ["1", "2", "3"]) {
    await mariadb.query(database.replaceAll("neo1", `neo${machine}`));
  }
  await walk.run(deployment, "4. Configuration");
  await walk.run(deployment, "5. Supervision");
  await walk.run(deployment, "5. Supervision");

  site.shell.define(deployment.take("6. First start"));
  const look = deployment.take("6. First start");
  await until("all storages wait", async () => {
    // The admin may not be there yet.
    const nodes = await walk.sh(look).catch(() => "");
    return nodes.match(/PENDING/g)?.length === 3;
  });
  const started = await walk.run(deployment, "6. First start");
  assert.match(started, /^RUNNING$/m);
  assert.match(started, /^S1 R [U.]{24}\nS2 R [U.]{24}\nS3 R [U.]{24}$/m);
  await until("all is well", async () => await walk.health() === "ok");
  assert.match(await walk.run(deployment, "7. Monitoring"), /"serving": true/);
}

/** A node that dies is started again. */
async function loseAdmin(walk: Walkthrough): Promise<void> {
  await walk.sh("supervisorctl signal KILL neoadmin");
  await until("supervisor has noticed", () => {
    return walk.site.output().includes("exited: neoadmin (terminated by SIGKILL; not expected)");
  });
  await until("the admin is back", async () => await walk.health().catch(() => "") === "ok");
}

/** All nodes are restarted, one after the other. */
async function restartAll(walk: Walkthrough): Promise<void> {
  const section = "Restart all nodes, one by one";
  const pids = () => walk.sh("supervisorctl pid all");
  const before = (await pids()).trim().split("\n");
  assert.match(await walk.run(operations, section), /^next: S/);
  assert.match(await walk.run(operations, section), /^next: S/);
  await walk.run(operations, section);
  const after = (await pids()).trim().split("\n");
  assert.equal(after.length, 7);
  assert.ok(after.every((pid) => /^[1-9]\d*$/.test(pid) && !before.includes(pid)), after.join());
}

/** A fourth storage joins. */
async function addStorage(walk: Walkthrough): Promise<void> {
  const { site, mariadb } = walk;
  await mariadb.query("CREATE DATABASE neo4; GRANT ALL ON neo4.* TO neo@localhost");
  const addition = (text: string, start: RegExp) =>
    (start.exec(text)?.[0] ?? "").replaceAll(/(?<=storage|neo)3\b/g, "4");
  const address = site.translate("10.0.0.3:20004");
  await site.edit("etc/neo/neo.conf", (text) =>
    `${text}\n${
      addition(text, /^\[storage3\][^[]*/m)
        .replace("machine: neo4", "machine: neo3")
        .replace(/^bind: .*$/m, `bind: ${address}`)
        .replace(/^metrics: .*\n/m, "")
    }`);
  await site.edit(
    "etc/supervisor/conf.d/neo.conf",
    (text) => `${text}\n${addition(text, /^\[program:neostorage3\][^[]*/m)}`,
  );
  await walk.run(operations, "Add a storage");
  const name = await walk.storage("10.0.0.3:20004", "PENDING");
  await walk.run(operations, "Add a storage", (text) => text.replaceAll("S4", name));
  assert.match(await walk.sh("neoctl print pt"), new RegExp(`^${name} R [U.]*U[U.]*$`, "m"));
}

/** The disk of the second storage is lost. */
async function replaceDisk(walk: Walkthrough): Promise<void> {
  const section = "Replace a disk";
  const former = await walk.storage("10.0.0.2:20000", "RUNNING");
  await walk.run(operations, section);
  await until("the loss is told", async () => await walk.health() === "problem");
  const told = metrics.take("Metrics and health", "console").replace(/^\$ (.*)\n[^]*$/, "$1\n");
  assert.match(await walk.sh(told), /"storages are down: start S\d+, or replace them"/);
  await walk.mariadb.query(`DROP DATABASE neo2; ${operations.take(section, "sql")}`);
  await walk.run(operations, section);
  const name = await walk.storage("10.0.0.2:20000", "PENDING");
  await walk.run(
    operations,
    section,
    (text) => text.replaceAll("S2", former).replaceAll("S5", name),
  );
  await until("all is well again", async () => await walk.health() === "ok");
}

/** More copies, and a storage less. */
async function reshape(walk: Walkthrough): Promise<void> {
  await walk.run(operations, "More or fewer copies");
  const name = await walk.storage("10.0.0.3:20004", "RUNNING");
  const named = (text: string) => text.replaceAll("S4", name);
  await walk.run(operations, "Remove a storage", named);
  await walk.run(operations, "Remove a storage", named);
  await until("it has ended and is not started again", async () => {
    return (await walk.sh("supervisorctl status neostorage4 || true")).includes("EXITED");
  });
  assert.doesNotMatch(await walk.sh("neoctl print node storage"), new RegExp(`^${name} `, "m"));
}

/** Before there is much to read. */
async function readLogs(walk: Walkthrough): Promise<void> {
  assert.match(await walk.run(deployment, "8. Logs"), / PACKET +M\d /);
  const logs = operations.take("Look at logs");
  const follow = /^neolog --follow.*\n/m.exec(logs)?.[0] ?? "";
  await walk.sh(logs.replace(follow, ""));
  const following = walk.site.shell.start(`exec ${follow}`);
  await until("the log goes on", async () => {
    await walk.sh("neoctl flush_log");
    return following.output.includes("FlushLog");
  });
  await following.kill();
  const answers = await walk.run(operations, "One node of this machine");
  assert.match(answers, /^ok\nok\n[^]*S1[^]*\nok\n$/);
  for (const file of ["storage1.log", "storage1.log.1"]) {
    assert.ok((await Deno.stat(walk.site.path(`var/lib/neo/${file}`))).isFile);
  }
}

/** Nobody works any more. */
async function closeDown(walk: Walkthrough, tid: Tid): Promise<void> {
  const { site } = walk;
  await walk.run(operations, "Copies for bad days");
  assert.ok((await Deno.stat(site.path("opt/neo/backup.fs"))).size > 1000);
  await walk.run(
    operations,
    "Copies for bad days",
    (text) => text.replace(/tid:\S+/, `tid:0x${hexId(tid)}`),
  );
  assert.match(await walk.sh("neoctl print ids"), new RegExp(`last_tid = 0x${tid.toString(16)} `));
  await walk.run(deployment, "2. Certificates");

  const start = operations.take("Start and stop");
  await walk.run(operations, "Start and stop");
  await until("all nodes have ended and are not started again", async () => {
    return (await walk.sh("supervisorctl status || true")).match(/EXITED/g)?.length === 8;
  });
  // All at once: supervisor waits until one runs before it starts the next one.
  const nodes = ["master1", "master2", "master3", "storage1", "storage3", "admin"];
  await Promise.all(nodes.map((node) => walk.sh(`supervisorctl start neo${node}`)));
  const state = async () => await walk.sh("neoctl print cluster").catch(() => "");
  await until("two storages are back", async () => {
    const nodes = await walk.sh("neoctl print node storage").catch(() => "");
    return nodes.match(/ (PENDING|RUNNING) /g)?.length === 2;
  });
  assert.equal(await state(), "RECOVERING\n");
  await walk.sh(start);
  await until("it runs", async () => await state() === "RUNNING\n");
}

Deno.test("docs/ lead to a site that is run for years, while clients commit", async () => {
  if (!hasMariadb) return;
  if (!hasLoopbackNetwork()) return console.warn("NOT TESTED: there is only one loopback address");
  const missing = await missingCommands();
  if (missing !== "") {
    if (Deno.env.get("CI")) throw new Error(`CI must have ${missing}`);
    return console.warn(`NOT TESTED: not installed: ${missing}`);
  }
  const python = await pythonWithSupervisor();
  if (python === null) return;
  const mariadb = await Mariadb.start();
  try {
    await using site = await Site.create(python.replace(/\/python$/, ""), mariadb.socket);
    const walk = new Walkthrough(site, mariadb);
    try {
      await setUp(walk);
      await loseAdmin(walk);
      await readLogs(walk);
      await using workload = await Workload.open(await walk.clientUri(), CLIENTS);
      workload.start();
      const working = async () => {
        const goal = workload.acknowledged + 2 * CLIENTS;
        await until("clients commit", () => workload.acknowledged >= goal);
      };
      await working();
      await walk.run(operations, "How is it?");
      for (const change of [restartAll, addStorage, replaceDisk, reshape]) {
        await change(walk);
        await working();
      }
      await workload.stop();
      await workload.check(await walk.clientUri());
      const tids = workload.attempts.map(({ tid }) => tid).filter((tid) => typeof tid === "bigint");
      const [middle = assert.fail("nothing committed")] = tids.slice(tids.length / 2);
      await closeDown(walk, middle);
      for (const page of [deployment, operations, metrics]) page.assertExecuted();
    } catch (error) {
      console.error(site.output());
      throw error;
    }
  } finally {
    await mariadb.stop();
  }
});
