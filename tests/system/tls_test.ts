/**
 * A cluster whose nodes, clients and operators prove who they are by certificates.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as tls from "node:tls";
import { type ClientOptions, connect, type TlsCredentials, toOid } from "../../client/mod.ts";
import { realEnvironment } from "../../network/real.ts";
import type { Address } from "../../protocol/nodes.ts";
import { withCredentials } from "../network/certificates.ts";
import { MemoryLog } from "../network/support.ts";
import { ProcessCluster, until } from "../support/processes.ts";

/** The options of programs. */
function files(folder: string): string[] {
  return [
    ...["--ca", `${folder}/ca.crt`],
    ...["--cert", `${folder}/node.crt`],
    ...["--key", `${folder}/node.key`],
  ];
}

/** Calls with a cluster, its credentials, and others that have nothing to do with them. */
async function withSecureCluster(
  use: (
    cluster: ProcessCluster,
    folder: string,
    own: TlsCredentials,
    alien: { readonly credentials: TlsCredentials; readonly folder: string },
  ) => Promise<void>,
): Promise<void> {
  await withCredentials(async (own, folder) => {
    await withCredentials(async (credentials, alienFolder) => {
      await using cluster = new ProcessCluster({
        partitions: 2,
        replicas: 1,
        databases: [1, 2].map(() => ({ adapter: "SQLite", database: ":memory:" })),
        extra: files(folder),
      }).start();
      try {
        await use(cluster, folder, own, { credentials, folder: alienFolder });
      } catch (error) {
        console.error(cluster.output());
        throw error;
      }
    });
  });
}

/** Checks that a client tries and does not get in. */
async function checkRefused(cluster: ProcessCluster, credentials?: TlsCredentials): Promise<void> {
  const log = new MemoryLog();
  const refused = new AbortController();
  const options: ClientOptions = {
    name: cluster.name,
    masters: [`127.0.0.1:${cluster.masterAddress.port}`],
    environment: realEnvironment(credentials === undefined ? { log } : { log, tls: credentials }),
  };
  const client = connect(options, { signal: refused.signal });
  client.catch(() => {});
  await until("the client is refused", () => log.lines.some((line) => /trying again$/.test(line)));
  refused.abort(new Error("it gave up"));
  await assert.rejects(client, { message: "it gave up" });
}

/** Whether a node says anything to somebody who speaks plainly. */
async function answersPlainly({ host, port }: Address): Promise<boolean> {
  using connection = await Deno.connect({ hostname: host, port });
  // What every node starts with: two values of MessagePack, "NEO" and the version.
  await connection.write(Uint8Array.of(0x92, 0xa3, 0x4e, 0x45, 0x4f, 5));
  try {
    for await (const chunk of connection.readable) {
      if (chunk[0] === 0x92) return true;
    }
  } catch {
    // It was reset.
  }
  return false;
}

/** Whether a node lets somebody in who has no certificate. */
async function acceptsAnybody({ host, port }: Address, ca: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = tls.connect({ host, port, ca, checkServerIdentity: () => undefined });
    const end = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("data", () => end(true));
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
  });
}

Deno.test("a cluster over TLS commits and loads, and lets nobody else in", async () => {
  await withSecureCluster(async (cluster, folder, own, alien) => {
    const uri = `neos://${cluster.name}@127.0.0.1:${cluster.masterAddress.port}`;
    const paths = `?ca=${folder}/ca.crt&cert=${folder}/node.crt&key=${folder}/node.key`;
    await using writer = await connect(uri + paths);
    // Several records of TLS, and several packets of TCP.
    const data = crypto.getRandomValues(new Uint8Array(60_000));
    await using txn = await writer.begin({ description: "secret" });
    for (const oid of [1, 2, 3]) await txn.store(toOid(oid), null, data);
    const tid = await txn.commit();
    await using reader = await connect(cluster.uri, { tls: own, cacheSize: 0 });
    for (const oid of [1, 2, 3]) {
      const found = await reader.load(toOid(oid));
      assert.equal(found.serial, tid);
      assert.deepEqual(found.data, data);
    }
    await cluster.running(...files(folder));

    await checkRefused(cluster);
    await checkRefused(cluster, alien.credentials);
    await checkRefused(cluster, { ...alien.credentials, ca: own.ca });
    await checkRefused(cluster, { ...own, ca: alien.credentials.ca });
    for (const options of [[], files(alien.folder)]) {
      const { code, stdout, stderr } = await cluster.neoctl(...options, "print", "cluster");
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^ERROR: /);
    }
    for (
      const address of [cluster.masterAddress, cluster.adminAddress, ...cluster.storageAddresses]
    ) {
      assert(!await answersPlainly(address), `${address.port}`);
      assert(!await acceptsAnybody(address, own.ca), `${address.port}`);
    }
    assert.equal((await reader.load(toOid(1))).serial, tid, "the others are served as before");

    await cluster.stop(...files(folder));
  });
});
