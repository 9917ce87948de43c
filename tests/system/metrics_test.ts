/** What nodes tell by HTTP about themselves while a cluster works. */

import assert from "node:assert/strict";
import parse from "npm:parse-prometheus-text-format@1.1.1";
import { connect, toOid } from "../../client/mod.ts";
import { METRICS } from "../../node/metrics.ts";
import { freePort, ProcessCluster, until } from "../support/processes.ts";

type Page = ReadonlyMap<string, string>;

/** Values by name and labels, from a page that a Prometheus parser accepts. */
async function scrape(port: number): Promise<Page> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  assert.ok(parse(text).length > 10);
  return new Map(
    text.split("\n").filter((line) => /^[^#]/.test(line)).map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), line.slice(space + 1)];
    }),
  );
}

interface Health {
  readonly status: string;
  readonly serving: boolean;
  readonly replicated: boolean;
  readonly needs: readonly string[];
}

async function health(port: number): Promise<Health> {
  return await (await fetch(`http://127.0.0.1:${port}/health`)).json();
}

Deno.test("nodes count what they do, and say what they need", async () => {
  const folder = await Deno.makeTempDir();
  const ports = new Map<string, number>();
  const portOf = (name: string) => {
    const port = ports.get(name) ?? freePort();
    ports.set(name, port);
    return port;
  };
  await using cluster = new ProcessCluster({
    partitions: 3,
    replicas: 1,
    databases: [1, 2].map((n) => ({ adapter: "SQLite", database: `${folder}/${n}.sqlite` })),
    extra: (name) => ["--metrics", `127.0.0.1:${portOf(name)}`],
  }).start();
  try {
    await cluster.running();
    const client = await connect(cluster.uri);
    for (let i = 0; i < 5; i++) {
      await using txn = await client.begin();
      await txn.store(toOid(i), null, new Uint8Array(10));
      await txn.commit();
    }
    await using txn = await client.begin();
    await assert.rejects(async () => {
      await txn.store(toOid(1), null, new Uint8Array(1));
      await txn.commit();
    }, "a conflict");
    await client.close();

    const [master, storage, admin] = await Promise.all(
      ["master", "storage 1", "admin"].map((name) => scrape(portOf(name))),
    );
    assert(master !== undefined && storage !== undefined && admin !== undefined);
    assert.equal(master.get("neo_commits_total"), "5");
    assert.equal(master.get("neo_transactions"), "0");
    const finish = 'neo_request_duration_seconds_count{message="AskFinishTransaction"}';
    assert.equal(master.get(finish), "5");
    for (const page of [master, storage, admin]) {
      assert.equal(page.get("neo_serving"), "1");
      assert.equal(page.get('neo_cluster_state{state="RUNNING"}'), "1");
      assert.equal(page.get('neo_cells{state="UP_TO_DATE"}'), "6");
      assert.equal(page.get('neo_nodes{type="STORAGE",state="RUNNING"}'), "2");
      assert.ok(Number(page.get("process_resident_memory_bytes")) > 1e6);
    }
    assert.ok(Number(storage.get("neo_database_commit_duration_seconds_count")) >= 5);
    assert.ok(Number(storage.get("neo_conflicts_total")) > 0);
    assert.ok(Number(storage.get("neo_received_bytes_total")) > 100);
    const shown = new Set(
      [master, storage, admin].flatMap((page) => [...page.keys()])
        .map((key) => key.replace(/\{.*$/, "").replace(/(?<=seconds)_(bucket|sum|count)$/, "")),
    );
    const missing = METRICS.map(({ name }) => name).filter((name) => !shown.has(name));
    // No node has TLS here, and no request failed but by conflict.
    const known = ["neo_certificate_expiry_timestamp_seconds", "neo_request_errors_total"];
    assert.deepEqual(missing.filter((name) => !known.includes(name)), []);

    const well = await health(portOf("admin"));
    assert.deepEqual(well, {
      status: "ok",
      serving: true,
      cluster: "RUNNING",
      replicated: true,
      needs: [],
    });
    await cluster.storages[1]?.kill();
    await until("the loss is told", async () => (await health(portOf("admin"))).needs.length === 2);
    const hurt = await health(portOf("storage 1"));
    assert.deepEqual([hurt.status, hurt.serving, hurt.replicated], ["problem", true, false]);
    assert.match(hurt.needs[0] ?? "", /^storages are down: start S[12]/);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  }
});
