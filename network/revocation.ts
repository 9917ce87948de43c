/**
 * Revoked certificates. The TLS library of Deno takes no notice of revocation lists, hence this.
 *
 * @module
 */

import { Buffer } from "node:buffer";

const SEQUENCE = 0x30;
const INTEGER = 0x02;
/** Explicit tag of the version of a certificate. */
const VERSION = 0xa0;

interface Value {
  readonly tag: number;
  /** Without the head. */
  readonly content: Uint8Array;
}

/** The values that follow each other in a DER encoding. */
function* valuesOf(bytes: Uint8Array): Generator<Value> {
  let position = 0;
  const next = (): number => {
    const byte = bytes[position++];
    if (byte === undefined) throw new Error("truncated DER value");
    return byte;
  };
  while (position < bytes.length) {
    const tag = next();
    let length = next();
    if (length >= 0x80) {
      const width = length & 0x7f;
      length = 0;
      for (let i = 0; i < width; i++) length = length * 256 + next();
    }
    const end = position + length;
    if (end > bytes.length) throw new Error("truncated DER value");
    yield { tag, content: bytes.subarray(position, end) };
    position = end;
  }
}

/** The items of what is signed, in a certificate or in a list. */
function signedValues(der: Uint8Array): Value[] {
  const [outer] = valuesOf(der);
  const [signed] = valuesOf(outer?.content ?? der);
  if (outer?.tag !== SEQUENCE || signed?.tag !== SEQUENCE) throw new Error("no DER sequence");
  return [...valuesOf(signed.content)];
}

function keyOf(issuer: Value | undefined, serial: Value | undefined): string {
  if (issuer?.tag !== SEQUENCE || serial?.tag !== INTEGER) throw new Error("unexpected DER value");
  return `${Buffer.from(issuer.content).toString("hex")}:${
    Buffer.from(serial.content).toString("hex")
  }`;
}

/**
 * The certificates that are revoked by the lists in a PEM text.
 *
 * @throws {Error} if a list can't be understood.
 */
export class RevokedCertificates {
  readonly #keys = new Set<string>();

  constructor(pem: string) {
    const lists = pem.matchAll(/-----BEGIN X509 CRL-----([^-]*)-----END X509 CRL-----/g);
    for (const [, base64 = ""] of lists) {
      try {
        this.#add(Buffer.from(base64, "base64"));
      } catch (cause) {
        throw new Error("invalid certificate revocation list (X509 CRL)", { cause });
      }
    }
  }

  /** Version, algorithm, issuer, date, next date, revoked certificates: some are optional. */
  #add(der: Uint8Array): void {
    const values = signedValues(der);
    if (values[0]?.tag === INTEGER) values.shift();
    const [, issuer, ...rest] = values;
    const revoked = rest.find(({ tag }) => tag === SEQUENCE);
    for (const { content } of valuesOf(revoked?.content ?? new Uint8Array())) {
      const [serial] = valuesOf(content);
      this.#keys.add(keyOf(issuer, serial));
    }
  }

  /** How many there are. */
  get size(): number {
    return this.#keys.size;
  }

  /** Whether a certificate, in DER, is in a list of its issuer. */
  has(certificate: Uint8Array): boolean {
    const values = signedValues(certificate);
    if (values[0]?.tag === VERSION) values.shift();
    const [serial, , issuer] = values;
    return this.#keys.has(keyOf(issuer, serial));
  }
}
