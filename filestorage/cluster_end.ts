/**
 * Connecting to the cluster at one end of a copy.
 *
 * @module
 */

import { type Client, connect, type TlsCredentials } from "../client/mod.ts";
import type { Log } from "../network/log.ts";
import { realEnvironment } from "../network/real.ts";
import { localHost } from "../node/host.ts";
import { readTlsFiles } from "../node/tls_files.ts";
import type { ClusterAddress } from "./addresses.ts";
import { CopyError } from "./errors.ts";

/** Milliseconds without a usable cluster after which it is given up. */
const MAX_WAIT = 30_000;
/** Milliseconds after which it is said what is waited for. */
const PATIENCE = 2_000;

/** How to connect. */
export interface ConnectOptions {
  readonly readOnly: boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Told what takes long. */
  readonly onWaiting: (message: string) => void;
}

/**
 * Connects to a cluster.
 *
 * @throws {CopyError} if it is not there within half a minute.
 * @throws {ConfigError} if the files of TLS can't be used.
 * @throws {POSError} if it refuses.
 */
export async function connectCluster(
  address: ClusterAddress,
  { readOnly, log, signal, onWaiting }: ConnectOptions,
): Promise<Client> {
  const { name, masters, tls } = address;
  const credentials: TlsCredentials | null = tls &&
    await readTlsFiles(tls, localHost, (message) => onWaiting(message));
  const reasons = new LastInfo(log);
  const where = `cluster "${name}" at ${masters.join(", ")}`;
  const waited = setTimeout(
    () => onWaiting(`waiting for ${where}: ${reasons.last}`),
    PATIENCE,
  );
  const timeout = AbortSignal.timeout(MAX_WAIT);
  try {
    return await connect({
      name,
      masters,
      readOnly,
      cacheSize: 0,
      environment: realEnvironment({ log: reasons, ...credentials && { tls: credentials } }),
    }, { signal: AbortSignal.any([signal, timeout]) });
  } catch (error) {
    if (error !== timeout.reason) throw error;
    throw new CopyError(
      `gave up waiting for ${where} after ${MAX_WAIT / 1000} seconds: ${reasons.last}`,
    );
  } finally {
    clearTimeout(waited);
  }
}

/** A log that remembers the last thing that it was told. */
class LastInfo implements Log {
  last = "no answer";
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  get packet(): Log["packet"] {
    return this.#log.packet;
  }

  debug(message: string): void {
    this.#log.debug(message);
  }

  info(message: string): void {
    this.last = message;
    this.#log.info(message);
  }

  warning(message: string): void {
    this.last = message;
    this.#log.warning(message);
  }

  error(message: string): void {
    this.#log.error(message);
  }

  identify(...identity: Parameters<Log["identify"]>): void {
    this.#log.identify(...identity);
  }

  flush(): void {
    this.#log.flush();
  }
}
