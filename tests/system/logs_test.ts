/** The logs of a cluster at work, as an operator looks at them. */

import assert from "node:assert/strict";
import { connect, toOid } from "../../client/mod.ts";
import { ProcessCluster, runTool, until } from "../support/processes.ts";

function neolog(...args: string[]) {
  return runTool("--allow-read", "--allow-env=HOME", "neolog/main.ts", ...args);
}

Deno.test("neolog shows what nodes exchanged, and logs are rotated without signals", async () => {
  const folder = await Deno.makeTempDir();
  const logs = ["master", "storage1", "admin"].map((name) => `${folder}/${name}.log`);
  await using cluster = new ProcessCluster({
    partitions: 2,
    databases: [{ adapter: "SQLite", database: ":memory:" }],
    extra: (name) => ["--logfile", `${folder}/${name.replace(" ", "")}.log`],
  }).start();
  try {
    await cluster.running();
    let tid;
    {
      await using client = await connect(cluster.uri);
      await using txn = await client.begin({ description: "logged" });
      await txn.store(toOid(0x2a), null, new TextEncoder().encode("data ".repeat(20)));
      tid = await txn.commit();
    }
    const exists = (path: string) => Deno.stat(path).then(() => true, () => false);
    assert.equal((await cluster.neoctl("flush_log")).code, 0);
    await until("all logs are written", async () => {
      const shown = await neolog(...logs);
      return /> S1 .*\n[^]*AnswerTransactionFinished/.test(shown.stdout) && shown.code === 0;
    });

    const all = await neolog("-A", "-C", ...logs);
    assert.deepEqual([all.code, all.stderr], [0, ""]);
    assert.doesNotMatch(all.stdout, /Can't decode|UnknownPacket/);
    for (
      const expected of [
        // Ids that have an apostrophe are between quotation marks.
        /PACKET {4}test\/M1 {4}#0x\w{4} AskFinishTransaction {11}< C1 \(.*\) \t\| \(b['"]/,
        /PACKET {4}test\/S1 {4}#0x\w{4} AskStoreObject {17}< C1 \(.*b'(data ){20}'\), None, b['"]/,
        /PACKET {4}test\/A1 {4} ! M1 \| MASTER *\| 127\.0\.0\.1:\d+ *\| RUNNING/,
        /INFO {6}test\/M1 {4}cluster state: RUNNING/,
      ]
    ) assert.match(all.stdout, expected);

    const object = await neolog("--oid", "0x2a", "-m", "*Store*", "-d", "", ...logs);
    assert.match(object.stdout, /^PACKET {4}S1 {9}#0x\w+ AskStoreObject .*\n(PACKET.*Store.*\n)*$/);
    const transaction = await neolog("--tid", `0x${tid.toString(16)}`, "-n", "M1", ...logs);
    assert.match(transaction.stdout, /AnswerTransactionFinished/);
    assert.doesNotMatch(transaction.stdout, /AskBeginTransaction/);

    for (const log of logs) await Deno.rename(log, `${log}.1`);
    assert.equal((await cluster.neoctl("flush_log")).code, 0);
    await until("all nodes go on in new files", async () => {
      return (await Promise.all(logs.map(exists))).every(Boolean);
    });
    const former = await neolog(...logs.map((log) => `${log}.1`));
    assert.match(former.stdout, /AskStoreObject/);
    await cluster.stop();
    const latter = await neolog(...logs);
    assert.match(latter.stdout, /STOPPING/);
    assert.doesNotMatch(latter.stdout, /AskStoreObject/);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  } finally {
    await cluster[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});
