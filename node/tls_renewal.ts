/**
 * Renewing certificates and revocation lists while a node runs.
 *
 * @module
 */

import { errorText, type Log } from "../network/log.ts";
import type { TlsCredentials, TlsIdentity } from "../network/tls_identity.ts";
import type { Host } from "./host.ts";
import { readTlsFiles } from "./tls_files.ts";

/** Milliseconds between two looks at the files, which are small. */
export const TLS_LOOK_INTERVAL = 5_000;

/** Notices that the files of a node have changed. */
export class TlsRenewal {
  readonly #paths: { readonly [Name in keyof TlsCredentials]: string };
  readonly #identity: TlsIdentity;
  readonly #host: Host;
  readonly #log: Log;
  /** What was read the last time: files that are being replaced one by one do not fit together yet. */
  #seen: string;
  /** What was told to be unusable. */
  #refused: string | null = null;

  constructor(
    paths: { readonly [Name in keyof TlsCredentials]: string },
    identity: TlsIdentity,
    host: Host,
    log: Log,
  ) {
    this.#paths = paths;
    this.#identity = identity;
    this.#host = host;
    this.#log = log;
    this.#seen = fingerprint(identity.credentials);
  }

  /**
   * Uses what is in the files if it has changed and is the same as the last time. What can't be used is
   * told once, and the node goes on as before.
   */
  async look(): Promise<void> {
    const { ca, cert, key } = this.#paths;
    let current: string;
    try {
      const read = (path: string) => this.#host.readTextFile(path);
      current = fingerprint({ ca: await read(ca), cert: await read(cert), key: await read(key) });
    } catch (error) {
      current = errorText(error);
    }
    const settled = current === this.#seen;
    this.#seen = current;
    if (!settled || current === this.#refused) return;
    if (current === fingerprint(this.#identity.credentials)) {
      this.#refused = null;
      return;
    }
    try {
      const warn = (message: string) => this.#log.warning(message);
      const credentials = await readTlsFiles(this.#paths, this.#host, warn);
      if (credentials === null) return;
      this.#identity.renew(credentials);
      this.#refused = null;
      this.#log.info(`TLS: uses the new content of ${ca}, ${cert} and ${key}`);
    } catch (error) {
      this.#refused = current;
      this.#log.warning(`TLS: goes on with the former certificates: ${errorText(error)}`);
    }
  }

  /** Looks now and then, for as long as the process lives. */
  start(): void {
    const next = () => {
      const timer = setTimeout(() => this.look().finally(next), TLS_LOOK_INTERVAL);
      Deno.unrefTimer(timer);
    };
    next();
  }
}

function fingerprint({ ca, cert, key }: TlsCredentials): string {
  return JSON.stringify([ca, cert, key]);
}
