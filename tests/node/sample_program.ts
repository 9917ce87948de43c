/** A program that does what its cluster name tells, for tests of the process around a node. */

import { ConfigError } from "../../node/errors.ts";
import { neoadmin } from "../../node/programs.ts";
import { runNode } from "../../node/process.ts";

await runNode(neoadmin, async ({ cluster }, log, signal) => {
  log.identify(cluster, null);
  log.describe = () => "the state of the sample";
  log.info("started");
  switch (cluster) {
    case "config":
      throw new ConfigError("nothing to configure");
    case "bug":
      throw new TypeError("a bug", { cause: new Error("its cause") });
    case "rejection":
      Promise.reject(new Error("nobody listens"));
      break;
    case "uncaught":
      setTimeout(() => {
        throw new Error("thrown by a timer");
      });
      break;
    case "end":
      return 0;
  }
  await new Promise<void>((resolve) => {
    const keepAlive = setInterval(() => {}, 60_000);
    signal.addEventListener("abort", () => {
      if (cluster === "stubborn") return console.log("stopping");
      clearInterval(keepAlive);
      resolve();
    });
    console.log("ready");
  });
  console.log(signal.reason.message);
  return 0;
});
