/**
 * Real-time signals, which operators of NEO send as a routine and which kill a process that does not
 * handle them. The runtime can't listen to them, so the C library is asked directly.
 *
 * The handler of a signal is the C function `eventfd_write` itself. The system calls it with the number
 * of the signal as first argument, where the function expects a file descriptor: so an event counter is
 * made at that very descriptor for each signal, and a signal makes it readable. Nothing else happens in
 * the signal handler, whatever the thread that is interrupted.
 *
 * @module
 */

/** `SIGRTMIN` of Linux processes. */
export const SIGRTMIN = 34;

const SYMBOLS = {
  signal: { parameters: ["i32", "pointer"], result: "pointer" },
  dlsym: { parameters: ["pointer", "buffer"], result: "pointer" },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  eventfd_read: { parameters: ["i32", "buffer"], result: "i32" },
  fcntl: { parameters: ["i32", "i32"], result: "i32" },
  dup2: { parameters: ["i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32", nonblocking: true },
} as const;

/** The handler that ignores a signal. */
const SIG_IGN = 1n;
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const F_GETFD = 1;
const POLLIN = 1;
/** Signals that NEO gives a meaning to: SIGRTMIN to SIGRTMIN+3. */
const SIGNALS = 4;

/**
 * Survives the real-time signals from now on, and calls back for those that have a callback. This lasts
 * as long as the process, and keeps it alive: it has to end with `Deno.exit`.
 *
 * @param callbacks what to do, the first one for SIGRTMIN.
 * @returns why these signals are not received, `null` if they are. They may kill the process then.
 */
export function watchRealtimeSignals(callbacks: readonly (() => void)[]): string | null {
  if (Deno.build.os !== "linux") return "only Linux has them";
  if (Deno.permissions.querySync({ name: "ffi" }).state !== "granted") {
    return "this needs --allow-ffi";
  }
  let library;
  try {
    library = Deno.dlopen("libc.so.6", SYMBOLS);
  } catch (error) {
    return `the C library can't be used: ${error instanceof Error ? error.message : error}`;
  }
  const libc = library.symbols;
  for (let n = 0; n < SIGNALS; n++) {
    libc.signal(SIGRTMIN + n, Deno.UnsafePointer.create(SIG_IGN));
  }
  const handler = libc.dlsym(null, new TextEncoder().encode("eventfd_write\0"));
  if (handler === null) return "they are ignored, as the C library has no eventfd_write";

  const signals = callbacks.map((_, n) => SIGRTMIN + n);
  if (signals.some((signal) => libc.fcntl(signal, F_GETFD) !== -1)) {
    return "they are ignored, as the file descriptors they need are in use";
  }
  for (const signal of signals) {
    const counter = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (counter === -1 || libc.dup2(counter, signal) === -1) {
      return "they are ignored, as no file descriptor is left";
    }
    if (counter !== signal) libc.close(counter);
    libc.signal(signal, handler);
  }

  /** Resets a counter and tells whether it was not zero. */
  const fired = (signal: number) => libc.eventfd_read(signal, new Uint8Array(8)) === 0;
  const watch = async () => {
    while (true) {
      const ready = await libc.poll(pollRequests(signals), BigInt(signals.length), -1);
      const due = callbacks.filter((_, n) => fired(SIGRTMIN + n));
      // Somebody took the descriptors: give up rather than spin.
      if (ready > 0 && due.length === 0) return;
      for (const callback of due) callback();
    }
  };
  watch();
  return null;
}

/** An array of `struct pollfd { int fd; short events, revents; }`. */
function pollRequests(descriptors: readonly number[]): Uint8Array<ArrayBuffer> {
  const requests = new DataView(new ArrayBuffer(8 * descriptors.length));
  for (const [i, descriptor] of descriptors.entries()) {
    requests.setInt32(8 * i, descriptor, true);
    requests.setInt16(8 * i + 4, POLLIN, true);
  }
  return new Uint8Array(requests.buffer);
}
