/** Who is not let in: quickly, told once, and without keeping anything of it. */

import assert from "node:assert/strict";
import { realEnvironment } from "../../network/real.ts";
import { TlsIdentity } from "../../network/tls_identity.ts";
import { makeExpired, revoke, withCredentials } from "./certificates.ts";
import { HERE, MemoryLog, Peer, until } from "./support.ts";

/** Milliseconds within which a peer that is refused is closed, on a busy machine. */
const QUICKLY = 5_000;

/** Runs `openssl s_client` to its end and returns what it received. */
async function sClient(directory: string, port: number, ...args: string[]): Promise<string> {
  const child = new Deno.Command("openssl", {
    args: ["s_client", "-quiet", "-connect", `127.0.0.1:${port}`, "-CAfile", "ca.crt", ...args],
    cwd: directory,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const timer = setTimeout(() => child.kill(), QUICKLY);
  const { stdout, signal } = await child.output();
  clearTimeout(timer);
  assert.equal(signal, null, `not closed quickly: ${args.join(" ")}`);
  await child.stdin.close().catch(() => {});
  return new TextDecoder().decode(stdout);
}

/** File descriptors of this process that are sockets. */
async function sockets(): Promise<number> {
  const list = new Deno.Command("ls", { args: ["-l", `/proc/${Deno.pid}/fd`] });
  const { stdout } = await list.output();
  return new TextDecoder().decode(stdout).split("socket:").length;
}

Deno.test("a TLS port refuses strangers quickly, tells each kind once and keeps nothing", async () => {
  await withCredentials(async (tls, directory) => {
    await withCredentials(async (_, foreign) => {
      await makeExpired(directory);
      const log = new MemoryLog();
      const env = realEnvironment({ log, tls });
      const listener = await env.listen(HERE, () => assert.fail("accepted"));
      const { port } = listener.address;
      const before = await sockets();
      const key = ["-key", "node.key"];
      const strangers = [
        ["-tls1_2"],
        ["-tls1_3"],
        ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
        ["-tls1_2", "-cert", "expired.crt", ...key],
        ["-tls1_3", "-cert", "expired.crt", ...key],
        ["-tls1_2", "-cert", `${foreign}/node.crt`, "-key", `${foreign}/node.key`],
      ];
      for (let round = 0; round < 3; round++) {
        await Promise.all(strangers.map(async (args) => {
          assert.equal(await sClient(directory, port, ...args), "");
        }));
        const plain = await Deno.connect({ port });
        await plain.write(Uint8Array.of(0x92, 0xa3, 0x4e, 0x45, 0x4f, 5));
        assert.equal(await plain.read(new Uint8Array(9)).catch(() => null), null);
        plain.close();
      }
      const warnings = log.lines.filter((line) => line.includes("told once"));
      const reasons = warnings.map((line) => line.replace(/^.*refused \S+ |\(told.*$/g, ""));
      assert.equal(new Set(reasons).size, warnings.length, warnings.join("\n"));
      for (const reason of [/not speak TLS/, /sent no certificates/, /expired/, /incompatible/]) {
        assert.ok(reasons.some((text) => reason.test(text)), `${reason} in ${reasons}`);
      }
      let after = Infinity;
      for (let i = 0; i < 100 && after > before; i++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        after = await sockets();
      }
      assert.ok(after <= before, `${after} sockets, ${before} before`);
      listener.close();
    });
  });
});

Deno.test("TlsIdentity.renew() is used by the next streams, and closes those that are revoked", async () => {
  await withCredentials(async (tls, directory) => {
    await withCredentials(async (other) => {
      const identity = new TlsIdentity(tls);
      const server = realEnvironment({ log: new MemoryLog(), tls: identity });
      const client = realEnvironment({ log: new MemoryLog(), tls });
      const accepted: Peer[] = [];
      const listener = await server.listen(HERE, (transport) => accepted.push(new Peer(transport)));
      const peer = new Peer(await client.connect(listener.address));
      await until(() => accepted.length === 1, "accepted");

      identity.renew({ ...other, ca: tls.ca + other.ca });
      await assert.rejects(client.connect(listener.address), /certificate/);
      const both = realEnvironment({
        log: new MemoryLog(),
        tls: { ...tls, ca: tls.ca + other.ca },
      });
      const second = new Peer(await both.connect(listener.address));
      await until(() => accepted.length === 2, "accepted with the new certificate");
      assert.ok(!peer.isClosed, "the first stream goes on");

      assert.throws(() =>
        identity.renew({ ...tls, ca: "-----BEGIN X509 CRL-----\nAA\n-----END X509 CRL-----" })
      );
      identity.renew({ ...other, ca: tls.ca + other.ca + await revoke(directory) });
      await until(() => peer.isClosed && second.isClosed, "revoked peers are closed");
      listener.close();
    });
  });
});
