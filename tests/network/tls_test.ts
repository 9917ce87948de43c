import assert from "node:assert/strict";
import { Connection } from "../../network/connection.ts";
import type { Request } from "../../network/handler.ts";
import { silentLog } from "../../network/log.ts";
import { MemoryNetwork } from "../../network/memory.ts";
import { realEnvironment } from "../../network/real.ts";
import { secureTransport } from "../../network/tls.ts";
import { TlsIdentity } from "../../network/tls_identity.ts";
import type { Transport } from "../../network/transport.ts";
import { HANDSHAKE } from "../../protocol/codec.ts";
import { toTid } from "../../protocol/ids.ts";
import { revoke, sharedCredentials, withCredentials } from "./certificates.ts";
import { HERE, Peer, until } from "./support.ts";

const plain = realEnvironment({ log: silentLog });

async function secure() {
  return realEnvironment({ log: silentLog, tls: await sharedCredentials() });
}

/** Runs with a TLS listener and the transports that it accepts. */
async function listening(
  run: (address: { host: string; port: number }, accepted: Peer[]) => Promise<void>,
): Promise<void> {
  const env = await secure();
  const accepted: Peer[] = [];
  const listener = await env.listen(HERE, (transport) => accepted.push(new Peer(transport)));
  try {
    await run(listener.address, accepted);
  } finally {
    listener.close();
    for (const peer of accepted) peer.transport.close();
    await until(() => accepted.every((peer) => peer.isClosed), "everything is closed");
  }
}

Deno.test("nodes talk over TLS", async () => {
  const env = await secure();
  const accepted = Promise.withResolvers<Transport>();
  const listener = await env.listen(HERE, accepted.resolve);
  const client = new Connection(env, await env.connect(listener.address), {
    connecting: true,
    handler: {},
  });
  const server = new Connection(env, await accepted.promise, {
    connecting: false,
    handler: {
      askLastTransaction: (_: unknown, from: Request<"AskLastTransaction">) => {
        from.answer({ tid: toTid(7) });
      },
    },
  });
  assert.deepEqual(await client.ask("AskLastTransaction", {}), { tid: toTid(7) });
  const refused = client.ask("AskClusterState", {});
  await assert.rejects(refused, /AskClusterState: unexpected message/);
  await until(() => !client.open && !server.open, "the aborted connection is closed");
  listener.close();
});

/** Runs `openssl s_client`, which sends a handshake, until it ends. */
async function runOpenssl(directory: string, ...args: string[]): Promise<Uint8Array> {
  const command = new Deno.Command("openssl", {
    args: ["s_client", "-quiet", "-CAfile", "ca.crt", ...args],
    cwd: directory,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  });
  const child = command.spawn();
  const writer = child.stdin.getWriter();
  await writer.write(HANDSHAKE).catch(() => {});
  const { stdout } = await child.output();
  await writer.close().catch(() => {});
  return stdout;
}

for (
  const [what, args, welcome] of [
    ["only speaks TLS 1.2", ["-tls1_2", "-cert", "node.crt", "-key", "node.key"], true],
    ["speaks TLS 1.3", ["-tls1_3", "-cert", "node.crt", "-key", "node.key"], true],
    ["has no certificate", ["-tls1_2"], false],
    ["has no certificate, with TLS 1.3", ["-tls1_3"], false],
    ["has a certificate of nobody", ["-tls1_2", "-cert", "ca.crt", "-key", "ca.key"], false],
  ] as const
) {
  const reaction = welcome ? "accepts" : "refuses";
  Deno.test(`listenTls() ${reaction} a peer that ${what}`, async () => {
    await withCredentials(async (credentials, directory) => {
      // Another authority than that of the server, for the peer that nobody knows.
      const stranger = what.endsWith("nobody");
      const tls = stranger ? await sharedCredentials() : credentials;
      const env = realEnvironment({ log: silentLog, tls });
      const accepted: Peer[] = [];
      const listener = await env.listen(HERE, (transport) => {
        const peer = new Peer(transport);
        accepted.push(peer);
        peer.handshake();
        peer.transport.end();
      });
      const target = `127.0.0.1:${listener.address.port}`;
      const received = await runOpenssl(directory, "-connect", target, ...args);
      await until(() => accepted.every((peer) => peer.isClosed), "everything is closed");
      listener.close();
      assert.equal(accepted.length, welcome ? 1 : 0);
      assert.deepEqual(received, welcome ? HANDSHAKE : new Uint8Array());
    });
  });
}

Deno.test("connectTls() and listenTls() refuse a certificate that was revoked", async () => {
  await withCredentials(async (tls, directory) => {
    const ca = tls.ca + await revoke(directory);
    const good = realEnvironment({ log: silentLog, tls });
    const strict = realEnvironment({ log: silentLog, tls: { ...tls, ca } });
    const listener = await good.listen(HERE, (transport) => transport.close());
    await assert.rejects(strict.connect(listener.address), /certificate was revoked/);
    listener.close();
    const strictListener = await strict.listen(HERE, () => assert.fail("accepted"));
    // With TLS 1.3, the end that connects learns it late.
    const peer = new Peer(await good.connect(strictListener.address));
    await until(() => peer.isClosed, "the peer is closed");
    strictListener.close();
    // Other certificates, even of an authority with the same name, are not concerned.
    const other = realEnvironment({
      log: silentLog,
      tls: await sharedCredentials().then((own) => ({ ...own, ca: own.ca + ca })),
    });
    const open = await other.listen(HERE, (transport) => transport.close());
    const accepted = new Peer(await other.connect(open.address));
    await until(() => accepted.isClosed, "the accepted peer is closed");
    open.close();
  });
});

Deno.test("listenTls() explains a revocation list that it does not understand", async () => {
  const tls = await sharedCredentials();
  const list = "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n";
  const env = realEnvironment({ log: silentLog, tls: { ...tls, ca: tls.ca + list } });
  await assert.rejects(env.listen(HERE, () => {}), /invalid certificate revocation list/);
});

Deno.test("connectTls() refuses a server of another authority", async () => {
  await withCredentials(async (tls) => {
    const stranger = realEnvironment({ log: silentLog, tls });
    await listening(async (address, accepted) => {
      await assert.rejects(stranger.connect(address), /certificate/);
      assert.equal(accepted.length, 0);
    });
  });
});

Deno.test("listenTls() closes a peer without TLS, and says nothing", async () => {
  await listening(async (address, accepted) => {
    const peer = new Peer(await plain.connect(address));
    peer.handshake();
    await until(() => peer.isClosed, "the peer is closed");
    assert.equal(peer.length, 0);
    assert.equal(accepted.length, 0);
  });
});

Deno.test("connectTls() fails when the server has no TLS", async () => {
  const env = await secure();
  const listener = await plain.listen(HERE, (transport) => {
    new Connection(plain, transport, { connecting: false, handler: {} });
  });
  await assert.rejects(env.connect(listener.address));
  listener.close();
});

Deno.test("listenTls() survives peers that leave during the handshake", async () => {
  await listening(async (address, accepted) => {
    for (const bytes of [[], [0x16], [0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5], [0x16, 0xff, 0xff]]) {
      const peer = new Peer(await plain.connect(address));
      peer.write(Uint8Array.from(bytes));
      peer.transport.end();
      await until(() => peer.isClosed, "the peer is closed");
    }
    const peer = new Peer(await (await secure()).connect(address));
    await until(() => accepted.length === 1, "the good peer is accepted");
    peer.transport.close();
    await until(() => peer.isClosed, "the good peer is closed");
  });
});

Deno.test("listenTls() forgets handshakes in progress when it is closed", async () => {
  const env = await secure();
  const listener = await env.listen(HERE, () => assert.fail("accepted"));
  const peers = await Promise.all(
    [1, 2, 3].map(async () => new Peer(await plain.connect(listener.address))),
  );
  for (const peer of peers) peer.write(Uint8Array.of(0x16, 3, 1));
  // The last one was accepted: the others too.
  const last = new Peer(await plain.connect(listener.address));
  last.handshake();
  await until(() => last.isClosed, "the connections are accepted");
  listener.close();
  await until(() => peers.every((peer) => peer.isClosed), "all are closed");
});

Deno.test("connectTls() gives up with the reason of the signal", async () => {
  const env = await secure();
  const accepted: Peer[] = [];
  const listener = await plain.listen(HERE, (transport) => accepted.push(new Peer(transport)));
  const controller = new AbortController();
  const connecting = env.connect(listener.address, controller.signal);
  await until(() => accepted[0] !== undefined && accepted[0].length > 0, "the handshake begins");
  controller.abort(new Error("no time"));
  await assert.rejects(connecting, /no time/);
  await until(() => accepted[0]?.isClosed === true, "the stream is closed");
  listener.close();
});

Deno.test("secureTransport() fails when the peer closes", async () => {
  const network = new MemoryNetwork(plain).host("10.0.0.1");
  const listener = await network.listen(HERE, (transport) => {
    new Peer(transport).transport.close();
  });
  const transport = await network.connect(listener.address);
  await assert.rejects(secureTransport(new TlsIdentity(await sharedCredentials()), transport));
  listener.close();
});
