/**
 * The program of the master node.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-write --allow-env --allow-ffi \
 *   master/main.ts --cluster test --bind 127.0.0.1:10000 --autostart 2
 * ```
 *
 * | permission | for |
 * |---|---|
 * | `--allow-net` | listening to all other nodes; the control socket |
 * | `--allow-read` | configuration file, certificates, log database, control socket |
 * | `--allow-write` | log database, control socket |
 * | `--allow-env` | the home directory, for paths that start with `~` |
 * | `--allow-ffi` | real-time signals |
 *
 * @module
 */

import { ConfigError } from "../node/errors.ts";
import { runNode } from "../node/process.ts";
import { neomaster } from "../node/programs.ts";
import { ExitStatus } from "../node/supervise.ts";
import { openSurroundings } from "../node/surroundings.ts";
import { Master } from "./mod.ts";

if (import.meta.main) {
  await runNode(neomaster, async (options, log, signal) => {
    if (options.upstreamCluster !== null) {
      throw new ConfigError("upstream-cluster: backup clusters are not supported yet");
    }
    const { env, masters, saveMasters, watch } = await openSurroundings("neomaster", options, log);
    const master = new Master(env, { ...options, masters, saveMasters });
    watch(() => master.measure());
    log.describe = () => master.dump();
    await master.run(signal);
    return ExitStatus.SUCCESS;
  });
}
