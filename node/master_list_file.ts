/**
 * The file where a node remembers the masters that appear in its cluster: `[["host", port], …]`.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { type Address, formatAddress } from "../protocol/nodes.ts";
import { resolveAddress } from "./addresses.ts";
import { ConfigError } from "./errors.ts";
import type { Host } from "./host.ts";

/** Remembers the masters of a cluster. */
export interface MasterList {
  /** What was remembered when the program started. */
  readonly addresses: readonly Address[];
  /** Remembers these addresses instead. Never throws. */
  save(addresses: Iterable<Address>): void;
}

/**
 * Opens the file of known masters, creating an empty one when missing.
 *
 * @param warn is told when the file can't be written later on.
 * @throws {ConfigError} if it can't be read or created, or is not such a file.
 */
export async function openMasterList(
  path: string,
  host: Host,
  warn: (message: string) => void,
): Promise<MasterList> {
  let text;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new ConfigError(`can't read dynamic master list ${path}: ${errorText(error)}`);
    }
    try {
      write(path, text = encode([]));
    } catch (error) {
      throw new ConfigError(`can't create dynamic master list ${path}: ${errorText(error)}`);
    }
  }
  const entries = text === "" ? [] : decode(path, text);
  const addresses = await Promise.all(entries.map((entry) => resolveAddress(entry, host)));
  let saved = text;
  return {
    addresses,
    save(addresses) {
      const text = encode(addresses);
      if (text === saved) return;
      try {
        write(path, text);
        saved = text;
      } catch (error) {
        warn(`can't save dynamic master list ${path}: ${errorText(error)}`);
      }
    },
  };
}

/** Sorted, so that equal sets give equal texts. */
function encode(addresses: Iterable<Address>): string {
  const unique = new Map([...addresses].map((address) => [formatAddress(address), address]));
  const sorted = [...unique].sort(([a], [b]) => a < b ? -1 : 1);
  return JSON.stringify(sorted.map(([, { host, port }]) => [host, port])) + "\n";
}

function decode(path: string, text: string): Address[] {
  const fail = (what: string): never => {
    throw new ConfigError(
      `dynamic master list ${path}: ${what}; expected [["host", port], …] in JSON`,
    );
  };
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return fail("it is not JSON");
  }
  if (!Array.isArray(list)) return fail("it is not an array");
  return list.map((entry: unknown) => {
    const [host, port, ...rest]: unknown[] = Array.isArray(entry) ? entry : [];
    const valid = typeof host === "string" && host !== "" && rest.length === 0 &&
      typeof port === "number" && Number.isInteger(port) && port > 0 && port <= 0xffff;
    return valid ? { host, port } : fail(`${JSON.stringify(entry)} is not an address`);
  });
}

/** A crash leaves either the former content or the new one. */
function write(path: string, text: string): void {
  // Several processes may share the file by mistake.
  const temporary = `${path}.${Deno.pid}.tmp`;
  {
    using file = Deno.openSync(temporary, { create: true, truncate: true, write: true });
    const bytes = new TextEncoder().encode(text);
    for (let written = 0; written < bytes.length;) {
      written += file.writeSync(bytes.subarray(written));
    }
    file.syncDataSync();
  }
  Deno.renameSync(temporary, path);
}
