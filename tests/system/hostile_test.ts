/**
 * Ten thousand hostile connections while clients work.
 *
 * @module
 */

import assert from "node:assert/strict";
import { encodeMessage, HANDSHAKE } from "../../protocol/codec.ts";
import { NodeType } from "../../protocol/enums.ts";
import type { Address } from "../../protocol/nodes.ts";
import { ProcessCluster, until } from "../support/processes.ts";
import { Workload } from "./workload.ts";

const CONNECTIONS = 10_000;
const AT_ONCE = 100;
/** Bytes that no node may exceed: several times what one needs, little per connection. */
const MEMORY_LIMIT = 300 * 2 ** 20;

function random(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

function identification(cluster: string): Uint8Array {
  return encodeMessage("RequestIdentification", 0, {
    type: NodeType.CLIENT,
    nid: null,
    address: null,
    cluster,
    idTimestamp: null,
    extra: new Map(),
  });
}

/** What a hostile peer sends, piece by piece. */
const ATTACKS: Readonly<Record<string, () => Uint8Array[]>> = {
  "random bytes": () => [random(1 + Math.floor(Math.random() * 3000))],
  "slow handshake": () => [...HANDSHAKE].map((byte) => Uint8Array.of(byte)),
  "half a handshake": () => [HANDSHAKE.slice(0, 3)],
  "nothing at all": () => [],
  "another version": () => [Uint8Array.of(0x92, 0xa3, 0x4e, 0x45, 0x4f, 0x06)],
  "garbage after the handshake": () => [HANDSHAKE, random(200)],
  "wrong cluster name": () => [HANDSHAKE, identification("somebody else")],
  "huge array": () => [HANDSHAKE, Uint8Array.of(0x93, 0, 1, 0xdd, 0xff, 0xff, 0xff, 0xff)],
  "huge byte string": () => [
    HANDSHAKE,
    Uint8Array.of(0x93, 0, 1, 0x96, 0xc6, 0xff, 0xff, 0xff, 0xff, 1, 2, 3),
  ],
  "deep nesting": () => [HANDSHAKE, new Uint8Array(5000).fill(0x91)],
  "a request without identification": () => [
    HANDSHAKE,
    encodeMessage("AskLastIDs", 0, {}),
  ],
  "garbage after identification": () => [HANDSHAKE, identification("test"), random(500)],
  "an unexpected answer": () => [HANDSHAKE, encodeMessage("Pong", 7, {})],
};

/** Opens a connection, sends what the attack says, and waits until it is closed, or for a while. */
async function attack({ host: hostname, port }: Address, pieces: Uint8Array[]): Promise<void> {
  let conn;
  try {
    conn = await Deno.connect({ hostname, port });
  } catch {
    return;
  }
  const patience = setTimeout(() => {
    try {
      conn.close();
    } catch {
      // Closed meanwhile.
    }
  }, 200);
  try {
    for (const piece of pieces) await conn.write(piece);
    const buffer = new Uint8Array(1024);
    while (await conn.read(buffer) !== null);
  } catch {
    // Refused: as it should be.
  } finally {
    clearTimeout(patience);
    try {
      conn.close();
    } catch {
      // Closed by the timer.
    }
  }
}

Deno.test("ten thousand hostile connections disturb neither nodes nor clients", async () => {
  const folder = await Deno.makeTempDir();
  const cluster = new ProcessCluster({
    partitions: 4,
    databases: [1, 2].map((n) => ({ adapter: "SQLite", database: `${folder}/${n}.sqlite` })),
  });
  try {
    cluster.start();
    await using workload = await Workload.open(cluster.uri, 2);
    workload.start();
    const pids = cluster.processes.map(({ pid }) => pid);
    const targets = [cluster.masterAddress, ...cluster.storageAddresses, cluster.adminAddress];
    const attacks = Object.values(ATTACKS);
    let started = 0;
    let peak = 0;
    const attacker = async () => {
      while (started < CONNECTIONS) {
        const number = started++;
        const target = targets[number % targets.length];
        const pieces = attacks[Math.floor(number / targets.length) % attacks.length];
        assert(target !== undefined && pieces !== undefined);
        await attack(target, pieces());
        if (number % 500 === 0) {
          const used = await Promise.all(cluster.processes.map((process) => process.memory()));
          peak = Math.max(peak, ...used);
          const before = workload.acknowledged;
          await until(
            "clients commit during the attack",
            () => workload.acknowledged > before,
          );
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, attacker));
    assert.deepEqual(cluster.processes.map(({ pid }) => pid), pids, "a node died");
    assert(peak > 0 && peak < MEMORY_LIMIT, `a node used ${Math.round(peak / 2 ** 20)} MiB`);
    await workload.stop();
    assert.deepEqual([...workload.errors.keys()], []);
    await workload.check(cluster.uri);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  } finally {
    await cluster[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});
