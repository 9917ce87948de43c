/**
 * What every server program makes of its options before its node starts: the environment, and the
 * masters to begin with.
 *
 * @module
 */

import manifest from "../deno.json" with { type: "json" };
import { NetworkCounters } from "../network/counters.ts";
import type { Environment } from "../network/environment.ts";
import { realEnvironment } from "../network/real.ts";
import { TlsIdentity } from "../network/tls_identity.ts";
import { type Address, formatAddress } from "../protocol/nodes.ts";
import { denoTracer } from "./deno_tracer.ts";
import { ConfigError } from "./errors.ts";
import { localHost } from "./host.ts";
import { openHttpEndpoint } from "./http_endpoint.ts";
import { openMasterList } from "./master_list_file.ts";
import { DatabaseCounters, type NodeMeasures } from "./measures.ts";
import type { MetricsSource } from "./metrics.ts";
import type { NodeLog } from "./node_log.ts";
import { expiryOf, readTlsFiles } from "./tls_files.ts";
import { TlsRenewal } from "./tls_renewal.ts";

/** The options that all nodes have and that matter here. */
export interface CommonOptions {
  readonly masters: readonly Address[] | null;
  readonly dynamicMasterList: string | null;
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  readonly cluster: string;
  readonly metrics: Address | null;
}

/** What a node of this process is given. */
export interface Surroundings {
  readonly env: Environment;
  /** Those of the options, then those remembered in the file of known masters. */
  readonly masters: readonly Address[];
  /** Remembers these masters, if there is such a file. */
  saveMasters(masters: readonly Address[]): void;
  /** Counts of its database, if it has one. */
  readonly database: DatabaseCounters;
  /** Shows the state of the node to whoever asks by HTTP, from now on. */
  watch(measure: () => NodeMeasures): void;
}

/**
 * Reads the TLS files and the file of known masters, and listens to who asks for metrics.
 *
 * @param program its name, for metrics.
 * @throws {ConfigError} if one of them can't be used.
 */
export async function openSurroundings(
  program: string,
  options: CommonOptions,
  log: NodeLog,
): Promise<Surroundings> {
  const warn = (message: string) => log.warning(message);
  const tls = await openIdentity(options, log);
  const watched = options.metrics === null ? null : watchedNode(program, options, log, tls);
  const { dynamicMasterList: path } = options;
  const list = path === null ? null : await openMasterList(path, localHost, warn);
  return {
    env: realEnvironment({
      log,
      tracer: await denoTracer(options.cluster),
      ...tls !== null && { tls },
      ...watched !== null && { counters: watched.counters },
    }),
    masters: [...options.masters ?? [], ...list?.addresses ?? []],
    saveMasters: (masters) => list?.save(masters),
    database: watched?.database ?? new DatabaseCounters(),
    watch: (measure) => watched?.watch(measure),
  };
}

/** A node whose state is shown by HTTP, once it is there. */
function watchedNode(
  program: string,
  { cluster, metrics }: CommonOptions,
  log: NodeLog,
  tls: TlsIdentity | null,
) {
  const counters = new NetworkCounters(() => performance.now());
  const database = new DatabaseCounters();
  const startTime = Date.now() / 1000;
  let measure: () => NodeMeasures | null = () => null;
  const source = (): MetricsSource => ({
    program,
    version: manifest.version,
    clusterName: cluster,
    startTime,
    memory: Deno.memoryUsage(),
    logSize: log.size,
    certificateExpiry: tls === null ? null : expiryOf(tls.credentials.cert),
    counters,
    database: program === "neostorage" ? database : null,
    measures: measure(),
  });
  if (metrics !== null) {
    const { address } = openHttpEndpoint(metrics, source);
    log.info(`metrics at http://${formatAddress(address)}/metrics`);
  }
  return { counters, database, watch: (state: () => NodeMeasures) => measure = state };
}

/** The identity of the node, which is renewed when its files change; `null` without TLS. */
async function openIdentity(options: CommonOptions, log: NodeLog): Promise<TlsIdentity | null> {
  const { ca, cert, key } = options;
  const credentials = await readTlsFiles(options, localHost, (message) => log.warning(message));
  if (credentials === null || ca === null || cert === null || key === null) return null;
  const identity = new TlsIdentity(credentials);
  new TlsRenewal({ ca, cert, key }, identity, localHost, log).start();
  log.info(`TLS enabled: ${ca}, ${cert}`);
  return identity;
}

/**
 * The masters of a node that has to know one.
 *
 * @throws {ConfigError} if none is known.
 */
export function knownMasters(
  { masters }: Surroundings,
  { dynamicMasterList }: CommonOptions,
): readonly Address[] {
  if (masters.length > 0) return masters;
  throw new ConfigError(`no master is known: give masters, as ${dynamicMasterList} has none`);
}
