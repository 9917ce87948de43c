/**
 * Options of a client.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import type { TlsCredentials } from "../network/tls.ts";
import type { Tracer } from "../network/tracer.ts";
import type { Address } from "../protocol/nodes.ts";
import type { Compression } from "./compression.ts";
import type { ConflictResolver } from "./resolution.ts";

/** Options of a client. All but the first two have a default. */
export interface ClientOptions {
  /** Name of the cluster. */
  readonly name: string;
  /** Addresses of the masters, as `host:port`. Names are resolved at each connection. */
  readonly masters: readonly string[];
  /** Only read. Needed for clusters that back up another one. Default: no. */
  readonly readOnly?: boolean;
  /** Bytes of data to keep in memory, 0 for none. Default: 20 MiB. */
  readonly cacheSize?: number;
  /** Bytes a transaction may have on their way to storage nodes before `store` waits. Default: 20 MiB. */
  readonly maxInFlight?: number;
  /** Compress data with zlib when that makes it shorter, at this level if it is a number. Default: yes. */
  readonly compress?: Compression;
  /** Give data that does not match its checksum on any replica, rather than an error. Default: no. */
  readonly ignoreWrongChecksum?: boolean;
  /** Certificates of TLS, the texts of PEM files. Default: no TLS. */
  readonly tls?: TlsCredentials;
  /**
   * Merges a change with the one that another transaction committed first, for transactions that have
   * no such function of their own. Default: conflicts can't be resolved.
   */
  readonly resolveConflict?: ConflictResolver;
  /** Clock, network and log. Default: those of the system, with errors logged on the console. */
  readonly environment?: Environment;
  /**
   * Makes what collects the spans of transactions, for the name of the cluster: `openTelemetry`, for
   * example. Default: nothing does.
   */
  readonly tracing?: (cluster: string) => Tracer;
}

/** Checked options, complete but for those whose absence means something. */
export interface Settings {
  readonly name: string;
  readonly masters: readonly Address[];
  readonly readOnly: boolean;
  readonly cacheSize: number;
  readonly maxInFlight: number;
  readonly compress: Compression;
  readonly ignoreWrongChecksum: boolean;
  readonly resolveConflict: ConflictResolver | null;
}

/** 20 MiB. */
export const DEFAULT_SIZE = 20 << 20;

/**
 * Checks options.
 *
 * @throws {TypeError} telling which one is wrong and what is expected.
 */
export function checkOptions(options: ClientOptions): Settings {
  const { name, masters, compress = true } = options;
  if (typeof name !== "string" || name === "") {
    throw new TypeError("name must be the name of a cluster");
  }
  if (!Array.isArray(masters) || masters.length === 0) {
    throw new TypeError("masters must list the address of at least one master, as host:port");
  }
  if (
    typeof compress !== "boolean" && !(Number.isInteger(compress) && compress >= 1 && compress <= 9)
  ) {
    throw new TypeError(`compress must be true, false or a level from 1 to 9, not ${compress}`);
  }
  return {
    name,
    masters: masters.map(parseMaster),
    readOnly: options.readOnly ?? false,
    cacheSize: checkSize("cacheSize", options.cacheSize ?? DEFAULT_SIZE, 0),
    maxInFlight: checkSize("maxInFlight", options.maxInFlight ?? DEFAULT_SIZE, 1),
    compress,
    ignoreWrongChecksum: options.ignoreWrongChecksum ?? false,
    resolveConflict: options.resolveConflict ?? null,
  };
}

function checkSize(option: string, size: number, min: number): number {
  if (Number.isSafeInteger(size) && size >= min) return size;
  throw new TypeError(`${option} must be a number of bytes from ${min}, not ${size}`);
}

function parseMaster(text: string): Address {
  const [, v6, name, port] = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text) ??
    [];
  const host = v6 ?? name;
  const number = Number(port);
  if (host === undefined || !(number > 0 && number < 0x10000)) {
    throw new TypeError(`'${text}' is not the address of a master: expected host:port`);
  }
  return { host, port: number };
}
