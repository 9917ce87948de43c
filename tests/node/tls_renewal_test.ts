import assert from "node:assert/strict";
import { TlsIdentity } from "../../network/tls_identity.ts";
import type { Host } from "../../node/host.ts";
import { TlsRenewal } from "../../node/tls_renewal.ts";
import { withCredentials } from "../network/certificates.ts";
import { MemoryLog } from "../network/support.ts";
import { fakeHost } from "./fake_host.ts";

Deno.test("TlsRenewal.look() uses files that have changed, once they fit together", async () => {
  await withCredentials(async (first) => {
    await withCredentials(async (second) => {
      const files: Record<string, string> = { ...first };
      const host: Host = {
        ...fakeHost(),
        readTextFile: (path) => {
          const text = files[path];
          return text === undefined ? Promise.reject(new Error("gone")) : Promise.resolve(text);
        },
      };
      const log = new MemoryLog();
      const identity = new TlsIdentity(first);
      const paths = { ca: "ca", cert: "cert", key: "key" };
      const renewal = new TlsRenewal(paths, identity, host, log);
      const look = async () => {
        for (let i = 0; i < 3; i++) await renewal.look();
      };
      await look();
      assert.equal(log.lines.length, 0);

      Object.assign(files, second);
      await renewal.look();
      assert.equal(identity.credentials.cert, first.cert, "it may be half of the change");
      await renewal.look();
      assert.deepEqual(identity.credentials, second);

      files.cert = first.cert;
      await look();
      assert.deepEqual(identity.credentials, second);
      assert.equal(log.lines.filter((line) => line.includes("former certificates")).length, 1);
      delete files.key;
      await look();
      assert.equal(log.lines.filter((line) => line.includes("former certificates")).length, 2);

      Object.assign(files, first);
      await look();
      assert.deepEqual(identity.credentials, first);
    });
  });
});
