import assert from "node:assert/strict";
import type { Host } from "../../node/host.ts";
import type { TlsCredentials } from "../../network/tls.ts";
import { readTlsFiles } from "../../node/tls_files.ts";
import { fakeHost } from "./fake_host.ts";

type Pems = Readonly<Record<string, string>>;

let pems: Promise<Pems> | null = null;

/** Certificates, made once by OpenSSL. */
function certificates(): Promise<Pems> {
  return pems ??= makeCertificates();
}

async function makeCertificates(): Promise<Pems> {
  const folder = await Deno.makeTempDir();
  const openssl = async (args: string) => {
    const command = new Deno.Command("openssl", { args: args.split(" "), cwd: folder });
    const { success, stderr } = await command.output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  };
  try {
    await Deno.writeTextFile(
      `${folder}/ext`,
      "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n" +
        "subjectAltName=DNS:node\n",
    );
    const key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for (const ca of ["ca", "other"]) {
      await openssl(
        `req -x509 ${key} -days 30 -subj /CN=${ca} -keyout ${ca}.key -out ${ca}.crt ` +
          "-addext basicConstraints=critical,CA:TRUE",
      );
    }
    await openssl(`req -new ${key} -subj /CN=node -keyout node.key -out node.csr`);
    const sign = "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial";
    await openssl(`${sign} -days 30 -extfile ext -out node.crt`);
    await openssl(`${sign} -days 30 -out v1.crt`);
    await openssl("ec -in node.key -aes256 -passout pass:x -out encrypted.key");
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    return Object.fromEntries(
      names.map((name) => [name, Deno.readTextFileSync(`${folder}/${name}`)]),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function read(
  ca: string | null,
  cert: string | null,
  key: string | null,
): Promise<{ files: TlsCredentials | null; warnings: string[] }> {
  const host: Host = fakeHost({ ...await certificates(), text: "no certificate" });
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  return { files: await readTlsFiles({ ca, cert, key }, host, warn), warnings };
}

Deno.test("readTlsFiles() gives the files when they belong together", async () => {
  const { files, warnings } = await read("ca.crt", "node.crt", "node.key");
  const pems = await certificates();
  assert.deepEqual(files, { ca: pems["ca.crt"], cert: pems["node.crt"], key: pems["node.key"] });
  assert.deepEqual(warnings, []);
});

Deno.test("readTlsFiles() gives nothing when TLS is not wanted", async () => {
  assert.deepEqual(await read(null, null, null), { files: null, warnings: [] });
});

Deno.test("readTlsFiles() warns about certificates of X.509 version 1", async () => {
  const { files, warnings } = await read("ca.crt", "v1.crt", "node.key");
  assert.ok(files !== null);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /^certificate v1\.crt is of X\.509 version 1, which/);
});

Deno.test("readTlsFiles() refuses files that can't work, and says why", async () => {
  for (
    const [ca, cert, key, message] of [
      ["none", "node.crt", "node.key", /^can't read the certificate authority none: No such file$/],
      ["text", "node.crt", "node.key", /^text has no certificate authority in PEM format/],
      ["ca.crt", "node.key", "node.key", /^node\.key has no certificate in PEM format/],
      ["ca.crt", "node.crt", "node.crt", /^node\.crt has no private key in PEM format/],
      ["ca.crt", "node.crt", "encrypted.key", /^private key encrypted\.key must not be encrypted$/],
      [
        "ca.crt",
        "node.crt",
        "ca.key",
        /^private key ca\.key is not that of certificate node\.crt$/,
      ],
      [
        "other.crt",
        "node.crt",
        "node.key",
        /^certificate node\.crt is refused by its authority other\.crt: ./,
      ],
    ] as const
  ) {
    await assert.rejects(read(ca, cert, key), { name: "ConfigError", message }, cert + key);
  }
});
