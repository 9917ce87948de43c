/**
 * `neo:` and `neos:` addresses of clusters.
 *
 * ```text
 * neo://NAME@MASTER[,MASTER...][?key=value[&key=value...]]
 * ```
 *
 * @module
 */

import type { Compression } from "./compression.ts";
import type { ClientOptions } from "./options.ts";

/** Paths of the files of TLS. */
export interface TlsPaths {
  /** Certificates of authorities. */
  readonly ca: string;
  /** Certificate of the client. */
  readonly cert: string;
  /** Private key of that certificate. */
  readonly key: string;
}

/** What an address says. */
export interface ParsedUri {
  /** What `connect` is to be given. */
  readonly options: ClientOptions;
  /** Files to read for TLS; `null` for connections without. */
  readonly tls: TlsPaths | null;
  /** What is not an option of a client, for those who build databases on it. */
  readonly databaseOptions: Readonly<Record<string, string>>;
}

/** The keys of a query that are options. */
const KEYS = [
  "compress",
  "read-only",
  "logfile",
  "cache-size",
  "dynamic_master_list",
  "ignore-wrong-checksum",
  "ca",
  "cert",
  "key",
] as const;
const TLS_KEYS = ["ca", "cert", "key"] as const;

type Key = typeof KEYS[number];

function isKey(key: string): key is Key {
  return (KEYS as readonly string[]).includes(key);
}

/**
 * Reads an address.
 *
 * @param environment gives environment variables; `neos:` takes the files it lacks from `NEO_CA`,
 * `NEO_CERT` and `NEO_KEY`.
 * @throws {TypeError} telling what is wrong.
 * @example
 * ```ts
 * import { parseUri } from "./uri.ts";
 * const { options } = parseUri("neo://db@m1:1,m2:2?read_only=true", () => undefined);
 * options.masters; // ["m1:1", "m2:2"]
 * ```
 */
export function parseUri(
  uri: string,
  environment: (variable: string) => string | undefined,
): ParsedUri {
  const fail = (problem: string): never => {
    throw new TypeError(
      `'${uri}' is not the address of a cluster: ${problem}; ` +
        "expected neo://name@master:port[,master:port...][?option=value...]",
    );
  };
  const match = /^([^:/?#]+):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(uri);
  const [, scheme, authority = "", path, query = "", fragment] = match ?? [];
  if (scheme !== "neo" && scheme !== "neos") return fail("the scheme must be neo or neos");
  if (path !== "") return fail("there must be no path");
  if (fragment !== undefined) return fail("there must be no fragment");
  const at = authority.indexOf("@");
  if (at < 0) return fail("the name of the cluster is missing");
  const name = decode(authority.slice(0, at)) ?? fail("the name is not percent-encoded UTF-8");
  if (name === "") return fail("the name of the cluster is empty");
  const masters = authority.slice(at + 1).split(",");
  if (masters.includes("")) return fail("the address of a master is missing");

  const values = new Map<Key, string>();
  const databaseOptions: Record<string, string> = {};
  for (const [key, value] of new URLSearchParams(query)) {
    if (value === "") continue;
    const dashed = key.replaceAll("_", "-");
    if (key === "name" || key === "master_nodes" || dashed === "master-nodes") {
      return fail(`'${key}' does not belong into the query`);
    }
    if (isKey(key)) values.set(key, value);
    else if (isKey(dashed)) values.set(dashed, value);
    else databaseOptions[key] = value;
  }
  const convert = <T>(key: Key, parse: (value: string) => T | null, expected: string) => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    return parse(value) ?? fail(`${key} must be ${expected}, not '${value}'`);
  };
  for (const key of ["logfile", "dynamic_master_list"] as const) {
    if (values.has(key)) return fail(`${key} is not supported by this client`);
  }
  const compress = convert("compress", parseCompression, "a boolean, zlib, or zlib=1 to zlib=9");
  const readOnly = convert("read-only", parseBoolean, "a boolean");
  const cacheSize = convert("cache-size", parseSize, "a number of bytes, KB, MB or GB");
  const ignoreWrongChecksum = convert("ignore-wrong-checksum", parseBoolean, "a boolean");
  return {
    options: {
      name,
      masters,
      ...(compress !== undefined && { compress }),
      ...(readOnly !== undefined && { readOnly }),
      ...(cacheSize !== undefined && { cacheSize }),
      ...(ignoreWrongChecksum !== undefined && { ignoreWrongChecksum }),
    },
    tls: tlsPaths(scheme === "neos", values, environment, fail),
    databaseOptions,
  };
}

function tlsPaths(
  required: boolean,
  values: ReadonlyMap<Key, string>,
  environment: (variable: string) => string | undefined,
  fail: (problem: string) => never,
): TlsPaths | null {
  const paths: Partial<Record<typeof TLS_KEYS[number], string>> = {};
  const missing: string[] = [];
  for (const key of TLS_KEYS) {
    const variable = `NEO_${key.toUpperCase()}`;
    const path = values.get(key) ?? (required ? environment(variable) : undefined);
    if (path) paths[key] = path;
    else missing.push(required ? `${key} (or $${variable})` : key);
  }
  const { ca, cert, key } = paths;
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ca, cert, key };
  if (!required && missing.length === TLS_KEYS.length) return null;
  return fail(`TLS needs ${missing.join(", ")} too`);
}

/** The variables that the program may already read: a library does not ask for permissions. */
export function permittedVariable(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function parseBoolean(text: string): boolean | null {
  if (/^(yes|true|on)$/i.test(text)) return true;
  return /^(no|false|off)$/i.test(text) ? false : null;
}

function parseCompression(text: string): Compression | null {
  if (text === "zlib") return true;
  const level = /^zlib=([1-9])$/.exec(text)?.[1];
  return level === undefined ? parseBoolean(text) : Number(level) as Compression;
}

function parseSize(text: string): number | null {
  const [, digits, unit = ""] = /^(\d+)(kb|mb|gb)?$/i.exec(text) ?? [];
  if (digits === undefined) return null;
  const shift = { "": 0, kb: 10, mb: 20, gb: 30 }[unit.toLowerCase()] ?? 0;
  const size = Number(digits) * 2 ** shift;
  return Number.isSafeInteger(size) ? size : null;
}
