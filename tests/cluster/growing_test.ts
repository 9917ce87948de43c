/** A cluster of real nodes that grows and shrinks under load. */

import assert from "node:assert/strict";
import { type Client, type Oid, type Tid, toOid } from "../../client/mod.ts";
import { RealCluster } from "../client/real_cluster.ts";
import { until } from "../network/support.ts";

/** A client that commits without a pause: each transaction counts on in some objects. */
class Committer {
  readonly counts = new Map<Oid, { value: number; serial: Tid | null }>();
  committed = 0;
  readonly #running: Promise<void>;
  #stop = false;

  constructor(readonly client: Client, first: number) {
    for (let i = 0; i < 10; i++) this.counts.set(toOid(first + i), { value: 0, serial: null });
    this.#running = this.#run();
    this.#running.catch(() => {});
  }

  async #run(): Promise<void> {
    const oids = [...this.counts.keys()];
    for (let turn = 0; !this.#stop; turn++) {
      const chosen = new Set([turn, turn * 3 + 1, turn * 7 + 2].flatMap((n) => oids[n % 10] ?? []));
      await using transaction = await this.client.begin();
      for (const oid of chosen) {
        const { value = 0, serial = null } = this.counts.get(oid) ?? {};
        transaction.store(oid, serial, new TextEncoder().encode(String(value + 1)));
      }
      const tid = await transaction.commit();
      for (const oid of chosen) {
        this.counts.set(oid, { value: (this.counts.get(oid)?.value ?? 0) + 1, serial: tid });
      }
      this.committed++;
    }
  }

  /** Waits until more is committed: nothing must stop that. */
  async progress(): Promise<void> {
    const before = this.committed;
    await Promise.race([
      until(() => this.committed > before + 3, "clients commit"),
      this.#running,
    ]);
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#running;
  }

  /** Checks what another client reads. */
  async check(reader: Client): Promise<void> {
    for (const [oid, { value, serial }] of this.counts) {
      if (serial === null) continue;
      const loaded = await reader.load(oid);
      assert.equal(new TextDecoder().decode(loaded.data ?? new Uint8Array()), String(value));
      assert.equal(loaded.serial, serial);
      assert.equal((await reader.history(oid, 100_000)).length, value, "all revisions");
    }
  }
}

Deno.test("A cluster grows from 1 to 4 storages and shrinks again while clients commit", async () => {
  await using cluster = await RealCluster.start({
    partitions: 6,
    replicas: 0,
    storages: 1,
    delay: 0.1,
  });
  await cluster.startAdmin();
  const committers = [
    new Committer(await cluster.connect(), 1),
    new Committer(await cluster.connect(), 101),
  ];
  const progress = () => Promise.all(committers.map((committer) => committer.progress()));
  const run = async (command: string, expected: RegExp) => {
    assert.match(await cluster.neoctl(command, { wait: true }), expected, command);
    await progress();
  };
  await progress();
  const ended = new Map<number, Promise<void>>();
  for (const number of [2, 3, 4]) {
    ended.set(number, cluster.startStorage(number));
    await until(() => cluster.describe().includes(`S${number} (`), `storage ${number}`);
    await run("add all", new RegExp(`^Nodes added: S${number}\n$`));
    await run("tweak", /^S1 R [UF]/);
    await run("tweak", /^No change done\.\n$/);
    if (number === 3) {
      await run("set replicas 1", /^\n$/);
      await run("tweak", /O/);
    }
  }
  const rows = (await cluster.neoctl("print pt")).split("\n").slice(1, 5);
  for (const row of rows) assert.match(row, /^S\d R [U.]{6}$/, "all is replicated");
  assert.equal(rows.join().split("U").length - 1, 12, "2 copies of 6 partitions");

  for (const number of [2, 4, 3]) {
    if (number === 3) await run("set replicas 0", /^\n$/);
    await run(`tweak S${number}`, /O|^No change done/);
    await run(`kill S${number}`, /^state changed\n$/);
    await ended.get(number);
    await run(`drop S${number}`, /^node permanently removed\n$/);
  }
  assert.equal(await cluster.neoctl("tweak"), "No change done.\n");
  assert.match(await cluster.neoctl("print pt"), /\nS1 R UUUUUU\n$/);
  for (const committer of committers) await committer.stop();
  const reader = await cluster.connect();
  for (const committer of committers) await committer.check(reader);
});
