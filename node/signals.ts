/**
 * Signals of a node's process.
 *
 * @module
 */

import { watchRealtimeSignals } from "./realtime_signals.ts";
import { listenToStop } from "./stop_signals.ts";

/** What signals ask for. Callbacks must not throw. */
export interface SignalActions {
  /** SIGINT or SIGTERM (or SIGHUP, that is the end of the terminal, if there is one), the first time. */
  stop(signal: Deno.Signal): void;
  /** Another wish to stop: the process ends at once. */
  end(signal: Deno.Signal): void;
  /** SIGRTMIN or SIGUSR1: write what the log keeps in memory. */
  flush(): void;
  /** SIGRTMIN+1, SIGUSR2 or (without terminal) SIGHUP: reopen the log database. */
  reopen(): void;
  /** SIGRTMIN+2: write the state of the node to the log. */
  dump(): void;
}

/**
 * Listens to signals for as long as the process lives, which has to end with `Deno.exit`. The second
 * one that stops it ends it at once, with the status that shells know.
 *
 * @returns warnings about signals that can't be received.
 */
export function watchSignals(actions: SignalActions): string[] {
  const inTerminal = Deno.stdin.isTerminal() || Deno.stderr.isTerminal();
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGUSR1", actions.flush);
    Deno.addSignalListener("SIGUSR2", actions.reopen);
    if (!inTerminal) Deno.addSignalListener("SIGHUP", actions.reopen);
  }
  const hangsUp = inTerminal && Deno.build.os !== "windows";
  listenToStop(
    hangsUp ? ["SIGINT", "SIGTERM", "SIGHUP"] : ["SIGINT", "SIGTERM"],
    actions.stop,
    actions.end,
  );
  const problem = watchRealtimeSignals([actions.flush, actions.reopen, actions.dump]);
  if (problem === null || Deno.build.os !== "linux") return [];
  return [
    `signals SIGRTMIN to SIGRTMIN+3 can't be received (${problem}); ` +
    "use SIGUSR1 to flush the log and SIGUSR2 to reopen it",
  ];
}
