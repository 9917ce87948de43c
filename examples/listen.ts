/**
 * Shows what others commit, until interrupted.
 *
 * ```sh
 * deno run --allow-net examples/listen.ts neo://test@127.0.0.1:10000
 * ```
 */

import { connect, formatTidDate, hexId } from "../client/mod.ts";

const [uri = "neo://test@127.0.0.1:10000"] = Deno.args;
await using client = await connect(uri);
using _listening = client.listen({
  invalidate: (tid, oids) => console.log(formatTidDate(tid), oids.map(hexId).join(" ")),
  reset: () => console.log("disconnected for a while: anything may have changed"),
});
await new Promise<void>((resolve) => Deno.addSignalListener("SIGINT", resolve));
