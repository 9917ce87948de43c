/**
 * The certificate files of a node.
 *
 * @module
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { duplexPair } from "node:stream";
import { connect, TLSSocket } from "node:tls";
import { errorText } from "../network/log.ts";
import { RevokedCertificates } from "../network/revocation.ts";
import type { TlsCredentials } from "../network/tls_identity.ts";
import { ConfigError } from "./errors.ts";
import type { Host } from "./host.ts";

/** Milliseconds a handshake in memory may take. */
const HANDSHAKE_TIMEOUT = 10_000;

/**
 * Reads the files of a node and checks, by a handshake of the node with itself, that its certificate
 * would be accepted by its peers.
 *
 * @param paths none, or all of them (as the options of programs are checked for).
 * @param warn is told about certificates that may be refused.
 * @returns `null` if TLS is not wanted.
 * @throws {ConfigError} if they can't be used.
 */
export async function readTlsFiles(
  paths: { readonly [Name in keyof TlsCredentials]: string | null },
  host: Host,
  warn: (message: string) => void,
): Promise<TlsCredentials | null> {
  if (paths.ca === null || paths.cert === null || paths.key === null) return null;
  const read = async (what: string, path: string, label: string) => {
    let text;
    try {
      text = await host.readTextFile(path);
    } catch (error) {
      throw new ConfigError(`can't read the ${what} ${path}: ${errorText(error)}`);
    }
    if (!new RegExp(`^-----BEGIN ([A-Z]+ )*${label}-----`, "m").test(text)) {
      throw new ConfigError(`${path} has no ${what} in PEM format ('BEGIN ${label}')`);
    }
    return text;
  };
  const ca = await read("certificate authority", paths.ca, "CERTIFICATE");
  const cert = await read("certificate", paths.cert, "CERTIFICATE");
  const key = await read("private key", paths.key, "PRIVATE KEY");
  if (/ENCRYPTED/.test(key)) {
    throw new ConfigError(`private key ${paths.key} must not be encrypted`);
  }
  const certificate = parse(`certificate ${paths.cert}`, () => new X509Certificate(cert));
  const privateKey = parse(`private key ${paths.key}`, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ConfigError(`private key ${paths.key} is not that of certificate ${paths.cert}`);
  }
  const revoked = parse(`authority ${paths.ca}`, () => new RevokedCertificates(ca));
  if (revoked.has(certificate.raw)) {
    throw new ConfigError(`certificate ${paths.cert} is revoked by a list in ${paths.ca}`);
  }
  if (x509Version(certificate.raw) < 3) {
    warn(
      `certificate ${paths.cert} is of X.509 version 1, which nodes running on Deno refuse from ` +
        "those that connect to them: make it again as version 3, with extensions",
    );
  }
  const files = { ca, cert, key };
  try {
    await handshake(files);
  } catch (error) {
    throw new ConfigError(
      `certificate ${paths.cert} is refused by its authority ${paths.ca}: ${errorText(error)}`,
    );
  }
  return files;
}

function parse<Parsed>(what: string, parser: () => Parsed): Parsed {
  try {
    return parser();
  } catch (error) {
    throw new ConfigError(`${what} is invalid: ${errorText(error)}`);
  }
}

/** Connects a node to itself in memory. */
async function handshake(files: TlsCredentials): Promise<void> {
  const [ours, theirs] = duplexPair();
  const server = new TLSSocket(theirs, { ...files, isServer: true });
  // The client tells why.
  server.on("error", () => {});
  const client = connect({
    ...files,
    socket: ours,
    // Peers are known by addresses that their certificates do not have to name.
    checkServerIdentity: () => undefined,
  });
  let timer;
  try {
    await new Promise<void>((resolve, reject) => {
      client.once("secureConnect", resolve);
      client.on("error", reject);
      timer = setTimeout(() => reject(new Error("no answer")), HANDSHAKE_TIMEOUT);
    });
  } finally {
    clearTimeout(timer);
    client.destroy();
    server.destroy();
  }
}

/**
 * The version of a certificate in DER: a sequence whose first item is a sequence, which starts with the
 * version unless that is 1.
 */
function x509Version(der: Uint8Array): number {
  const content = (offset: number) => {
    const length = der[offset + 1] ?? 0;
    return offset + 2 + (length < 0x80 ? 0 : length & 0x7f);
  };
  const first = content(content(0));
  return der[first] === 0xa0 ? (der[first + 4] ?? 0) + 1 : 1;
}

/** When a certificate in PEM format expires, in seconds since the Unix epoch. */
export function expiryOf(certificate: string): number {
  return Date.parse(new X509Certificate(certificate).validTo) / 1000;
}
