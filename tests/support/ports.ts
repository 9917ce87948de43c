/** Ports for the servers of tests. */

/** Below those that the system gives to connections, which might take it before it is used. */
const [FIRST, LAST] = [15_000, 32_000];

let next: number | null = null;

/** A port that nobody listens to. Other processes choose theirs from another start on. */
export function freePort(): number {
  next ??= FIRST + Math.floor(Math.random() * (LAST - FIRST));
  for (;;) {
    const port: number = next;
    next = port === LAST ? FIRST : port + 1;
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
