/**
 * `deno task cluster`: a whole cluster in one process, for development and small sites.
 *
 * Permissions: `--allow-net`; `--allow-read` and `--allow-write` for the data folder and control
 * sockets; `--allow-env` and `--allow-sys` for the database drivers; `--allow-ffi` to survive real-time
 * signals (optional).
 *
 * @module
 */

import { errorText, LogLevel } from "../network/log.ts";
import type { NodeLog } from "../node/node_log.ts";
import { runNode } from "../node/process.ts";
import { ExitStatus } from "../node/supervise.ts";
import { formatAddress } from "../protocol/nodes.ts";
import { DataFolder } from "./folder.ts";
import { LocalCluster } from "./local_cluster.ts";
import { type ClusterOptions, neocluster } from "./options.ts";

function welcome(options: ClusterOptions, cluster: LocalCluster): string {
  const { name, masters, storages, replicas, partitions } = options;
  const where = options.memory
    ? "in memory"
    : options.database === null
    ? `in ${options.data}`
    : "in MySQL";
  const addresses = cluster.masters.map(formatAddress).join(",");
  const uri = `neo://${encodeURIComponent(name)}@${addresses}`;
  // Who ran this with npx may have no other Deno.
  const deno = Deno.env.get("npm_command") === "exec" ? `npx -y deno@${Deno.version.deno}` : "deno";
  const client = new URL("../client/mod.ts", import.meta.url);
  return `
NEO cluster '${name}' is ready: data ${where}, storages: ${storages}, partitions: ${partitions}, \
replicas: ${replicas}${masters > 1 ? `, masters: ${masters}` : ""}

  clients connect to  ${uri}
  neoctl connects to  ${formatAddress(cluster.admin)}; in this folder:
                      ${deno} task neoctl -a ${formatAddress(cluster.admin)} print summary

Paste this in another terminal, wherever you are:

${deno} run --allow-net - <<'END'
import { connect } from "${client}";
await using client = await connect("${uri}");
const oid = await client.newOid();
await using txn = await client.begin({ description: "hello" });
await txn.store(oid, null, new TextEncoder().encode("Hello, NEO!"));
console.log("committed", await txn.commit());
console.log(new TextDecoder().decode((await client.load(oid)).data));
END

Ctrl-C stops the cluster.
`;
}

async function run(options: ClusterOptions, log: NodeLog, signal: AbortSignal): Promise<number> {
  using folder = options.memory ? null : await DataFolder.take(options);
  const cluster = await LocalCluster.start(options, folder, {
    level: options.verbose ? LogLevel.INFO : LogLevel.WARNING,
    path: options.logfile,
    maxSize: options.logSize * 2 ** 20,
    keep: options.logKeep,
    format: options.logFormat,
    control: options.control,
  });
  let status = ExitStatus.SUCCESS;
  try {
    await folder?.remember(options);
    await cluster.ready(log, signal);
    console.log(welcome(options, cluster));
    await cluster.watch(signal);
  } catch (error) {
    if (!signal.aborted) {
      log.error(errorText(error));
      status = ExitStatus.FAILURE;
    }
  }
  console.log("stopping the cluster…");
  await cluster.stop(log);
  console.log("the cluster is stopped");
  return status;
}

if (import.meta.main) await runNode(neocluster, run);
