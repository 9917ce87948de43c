/**
 * Signals that ask a program to end.
 *
 * @module
 */

/** Numbers of the signals that stop a process. */
const NUMBER = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Ticks of {@linkcode TICK} milliseconds within which the same signal is the same wish: `deno task` and
 * `npx` pass on, once or twice, the Ctrl-C that the terminal has sent to the whole group, each in its
 * own time. Ticks and not time, because a busy or suspended machine stops the programs that pass it on
 * as much as this one.
 */
const ECHO_TICKS = 30;
const TICK = 100;

/**
 * Listens for as long as the process lives, which has to end with `Deno.exit`: the first signal asks it
 * to stop; another wish to, which is another signal or the same one after the time of echoes, ends it
 * at once, with the status that shells know.
 *
 * @param stop what the first signal does.
 * @param end last words before a process ends at once.
 *
 * @example
 * ```ts ignore
 * const stop = new AbortController();
 * listenToStop(["SIGINT", "SIGTERM"], () => stop.abort());
 * Deno.exit(await work(stop.signal));
 * ```
 */
export function listenToStop(
  signals: readonly (keyof typeof NUMBER)[],
  stop: (signal: Deno.Signal) => void,
  end: (signal: Deno.Signal) => void = () => {},
): void {
  let first: Deno.Signal | null = null;
  let ticks = 0;
  for (const signal of signals) {
    Deno.addSignalListener(signal, () => {
      if (first === null) {
        first = signal;
        Deno.unrefTimer(setInterval(() => ticks++, TICK));
        stop(signal);
      } else if (first !== signal || ticks > ECHO_TICKS) {
        end(signal);
        Deno.exit(128 + NUMBER[signal]);
      }
    });
  }
}
