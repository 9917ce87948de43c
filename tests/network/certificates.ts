/** Certificates made for a test by the `openssl` program. */

import type { TlsCredentials } from "../../network/tls.ts";

async function openssl(directory: string, ...args: string[]): Promise<void> {
  const command = new Deno.Command("openssl", { args, cwd: directory, stderr: "piped" });
  const { success, stderr } = await command.output();
  if (!success) throw new Error(`openssl ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
}

async function makeCredentials(directory: string): Promise<TlsCredentials> {
  const newKey = ["-newkey", "rsa:2048", "-nodes"];
  await openssl(
    directory,
    ...["req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.crt"],
    ...["-days", "2", "-subj", "/CN=authority"],
  );
  await openssl(
    directory,
    ...["req", ...newKey, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node"],
  );
  // Certificates of nodes usually name no host.
  await Deno.writeTextFile(
    `${directory}/extensions`,
    "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
  );
  await openssl(
    directory,
    ...["x509", "-req", "-in", "node.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"],
    ...["-days", "2", "-extfile", "extensions", "-out", "node.crt"],
  );
  const read = (name: string) => Deno.readTextFile(`${directory}/${name}`);
  return { ca: await read("ca.crt"), cert: await read("node.crt"), key: await read("node.key") };
}

/** Calls with the credentials of a node, whose files are in a folder during the call. */
export async function withCredentials<T>(
  use: (credentials: TlsCredentials, directory: string) => Promise<T>,
): Promise<T> {
  const directory = await Deno.makeTempDir();
  try {
    return await use(await makeCredentials(directory), directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Revokes the certificate in a folder of credentials, and returns the PEM text of the list. */
export async function revoke(directory: string): Promise<string> {
  const settings = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\n" +
    "default_crl_days=2\ncrlnumber=number\n";
  await Deno.writeTextFile(`${directory}/settings`, settings);
  await Deno.writeTextFile(`${directory}/index`, "");
  await Deno.writeTextFile(`${directory}/number`, "01\n");
  const ca = ["ca", "-config", "settings", "-keyfile", "ca.key", "-cert", "ca.crt"];
  await openssl(directory, ...ca, "-revoke", "node.crt");
  await openssl(directory, ...ca, "-gencrl", "-out", "list.pem");
  return await Deno.readTextFile(`${directory}/list.pem`);
}

let shared: Promise<TlsCredentials> | undefined;

/** Credentials that all tests of a file use. */
export function sharedCredentials(): Promise<TlsCredentials> {
  return shared ??= withCredentials((credentials) => Promise.resolve(credentials));
}

/** Makes certificates of the authority in a folder that nobody should accept: `expired.crt`. */
export async function makeExpired(directory: string): Promise<void> {
  const settings = "[ca]\ndefault_ca=d\n[d]\ndatabase=index2\nserial=serial2\ndefault_md=sha256\n" +
    "new_certs_dir=.\npolicy=p\n[p]\ncommonName=supplied\n";
  await Deno.writeTextFile(`${directory}/settings2`, settings);
  await Deno.writeTextFile(`${directory}/index2`, "");
  await Deno.writeTextFile(`${directory}/serial2`, "77\n");
  await openssl(
    directory,
    ...["ca", "-config", "settings2", "-keyfile", "ca.key", "-cert", "ca.crt", "-batch"],
    ...["-startdate", "200101000000Z", "-enddate", "200201000000Z", "-extfile", "extensions"],
    ...["-in", "node.csr", "-out", "expired.crt", "-notext"],
  );
}
