/**
 * What a node proves its identity with, which may be renewed while it runs.
 *
 * @module
 */

import { RevokedCertificates } from "./revocation.ts";

/** What a node proves its identity with: the texts of PEM files. */
export interface TlsCredentials {
  /** The authority that signed the certificates of all nodes, and maybe its revocation lists. */
  readonly ca: string;
  /** The certificate of this node. */
  readonly cert: string;
  /** The private key of that certificate. */
  readonly key: string;
}

/** An open stream whose peer has shown a certificate. */
export interface SecuredStream {
  /** The certificate of the peer in DER, `undefined` if it is not known any more. */
  readonly peerCertificate: Uint8Array | undefined;
  close(): void;
}

/** Credentials in use. */
export class TlsIdentity {
  #credentials: TlsCredentials;
  #revoked: RevokedCertificates;
  readonly #streams = new Set<SecuredStream>();

  /** @throws {Error} if a revocation list can't be understood. */
  constructor(credentials: TlsCredentials) {
    this.#credentials = credentials;
    this.#revoked = new RevokedCertificates(credentials.ca);
  }

  get credentials(): TlsCredentials {
    return this.#credentials;
  }

  /**
   * Uses other credentials from now on. Streams that are open go on with those they began with, except
   * if the certificate of their peer is now revoked: they are closed.
   *
   * @throws {Error} if a revocation list can't be understood; nothing changes then.
   */
  renew(credentials: TlsCredentials): void {
    this.#revoked = new RevokedCertificates(credentials.ca);
    this.#credentials = credentials;
    for (const stream of [...this.#streams]) {
      if (this.isRevoked(stream.peerCertificate)) stream.close();
    }
  }

  /** Whether a certificate, in DER, is revoked. If there are lists, one that is not shown is, too. */
  isRevoked(certificate: Uint8Array | undefined): boolean {
    if (this.#revoked.size === 0) return false;
    return certificate === undefined || this.#revoked.has(certificate);
  }

  /** Watches over a stream until the returned function is called. */
  watch(stream: SecuredStream): () => void {
    this.#streams.add(stream);
    return () => this.#streams.delete(stream);
  }
}
