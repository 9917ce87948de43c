/**
 * Connecting to a cluster.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { Client } from "./client.ts";
import { defaultEnvironment } from "./environment.ts";
import { checkOptions, type ClientOptions } from "./options.ts";
import { parseUri, permittedVariable, type TlsPaths } from "./uri.ts";
import type { WaitOptions } from "./waiting.ts";

/**
 * Connects to a cluster, and waits until it is usable.
 *
 * @param target the address `neo://name@host:port`, or options.
 * @param options more options, which win over those of the address. The signal only stops connecting.
 * @throws {TypeError} if an option is wrong.
 * @throws {ReadOnlyError} if the cluster is read-only and the client is not.
 * @throws {NEOStorageError} if the master refuses the client, for example for the name of the cluster.
 * @example
 * ```ts ignore
 * await using client = await connect("neo://name@127.0.0.1:10000", {
 *   signal: AbortSignal.timeout(10_000),
 * });
 * ```
 */
export async function connect(
  target: string | URL | ClientOptions,
  options: Partial<ClientOptions> & WaitOptions = {},
): Promise<Client> {
  const { signal, ...others } = options;
  signal?.throwIfAborted();
  const known = typeof target === "string" || target instanceof URL
    ? await fromUri(String(target))
    : target;
  const all = { ...known, ...others };
  const settings = checkOptions(all);
  const environment = all.environment ?? defaultEnvironment(all.tls);
  const tracer = all.tracing?.(settings.name);
  const client = new Client(
    tracer === undefined ? environment : { ...environment, tracer },
    settings,
  );
  try {
    await client.connected({ signal });
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

async function fromUri(uri: string): Promise<ClientOptions> {
  const { options, tls, databaseOptions } = parseUri(uri, permittedVariable);
  const unknown = Object.keys(databaseOptions);
  if (unknown.length > 0) {
    throw new TypeError(`'${uri}': unknown options ${unknown.join(", ")}`);
  }
  return tls === null ? options : { ...options, tls: await readTls(tls) };
}

async function readTls({ ca, cert, key }: TlsPaths) {
  const read = async (path: string) => {
    try {
      return await Deno.readTextFile(path);
    } catch (error) {
      throw new TypeError(`can't read ${path}: ${errorText(error)}`, { cause: error });
    }
  };
  return { ca: await read(ca), cert: await read(cert), key: await read(key) };
}
