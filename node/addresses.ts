/**
 * Addresses as operators write them: `host:port`, `[v6]:port`, a bare host or a bare IPv6 address.
 *
 * @module
 */

import { isIP } from "node:net";
import { errorText } from "../network/log.ts";
import type { Address } from "../protocol/nodes.ts";
import { ConfigError, InvalidValueError } from "./errors.ts";
import type { Host } from "./host.ts";

/** An address whose name is not resolved yet. */
export interface Endpoint {
  readonly host: string;
  /** `null` if there was none in the text. */
  readonly port: number | null;
}

/**
 * Reads the text of an address.
 *
 * @throws {InvalidValueError} if it is not one.
 * @example
 * ```ts
 * import { parseEndpoint } from "./addresses.ts";
 * parseEndpoint("[::1]:10000"); // { host: "::1", port: 10000 }
 * parseEndpoint("fe80::1"); // { host: "fe80::1", port: null }
 * ```
 */
export function parseEndpoint(text: string): Endpoint {
  const match = /^\[([^[\]\s]+)\](?::(.*))?$/.exec(text) ??
    /^([^[\]\s]*:[^[\]\s]*:[^[\]\s]*)$/.exec(text) ??
    /^([^:[\]\s]+)(?::(.*))?$/.exec(text);
  const [, host, port] = match ?? [];
  if (host === undefined) {
    throw new InvalidValueError(`'${text}' is not an address: expected host:port or [ipv6]:port`);
  }
  if (host.includes(":") && isIP(host) !== 6) {
    throw new InvalidValueError(
      `'${text}' is not an address: '${host}' is not a valid IPv6 address`,
    );
  }
  if (port === undefined) return { host, port: null };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 0xffff) {
    throw new InvalidValueError(
      `'${text}' is not an address: the port must be a number from 0 to 65535, not '${port}'`,
    );
  }
  return { host, port: Number(port) };
}

/**
 * Reads a list of addresses separated by spaces. Each needs a port, as these are nodes to connect to.
 *
 * @throws {InvalidValueError} naming the entry that is wrong.
 */
export function parseEndpoints(text: string): { host: string; port: number }[] {
  return text.split(/\s+/).filter((entry) => entry !== "").map((entry) => {
    const { host, port } = parseEndpoint(entry);
    if (port === null) {
      throw new InvalidValueError(`'${entry}' has no port: expected host:port or [ipv6]:port`);
    }
    if (port === 0) {
      throw new InvalidValueError(`'${entry}' has port 0, which nobody can connect to`);
    }
    return { host, port };
  });
}

/**
 * The address in the numeric canonical form that nodes compare and exchange.
 *
 * @throws {ConfigError} if the name is unknown.
 */
export async function resolveAddress(
  endpoint: { host: string; port: number },
  host: Host,
): Promise<Address> {
  return { host: await numericHost(endpoint.host, host), port: endpoint.port };
}

async function numericHost(name: string, host: Host): Promise<string> {
  switch (isIP(name)) {
    case 4:
      return name;
    case 6:
      // A URL knows the canonical form, but refuses zones.
      return name.includes("%") ? name : new URL(`http://[${name}]`).hostname.slice(1, -1);
  }
  try {
    return await host.resolve(name);
  } catch (error) {
    throw new ConfigError(`can't resolve host name '${name}': ${errorText(error)}`);
  }
}

/** Whether it is the address that means "all interfaces", which can only be listened to. */
export function isWildcard({ host }: Address): boolean {
  return host === "0.0.0.0" || host === "::";
}
