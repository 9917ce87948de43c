/**
 * The real world.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { type Address, formatAddress } from "../protocol/nodes.ts";
import type { NetworkCounters } from "./counters.ts";
import type { Environment } from "./environment.ts";
import type { Log } from "./log.ts";
import { RefusalLog } from "./refusals.ts";
import { connectTcp, listenTcp } from "./tcp.ts";
import { connectTls, listenTls } from "./tls.ts";
import { type TlsCredentials, TlsIdentity } from "./tls_identity.ts";
import type { Tracer } from "./tracer.ts";

/** The longest delay that timers of the system understand; a longer one would end at once. */
const MAX_DELAY = 0x7fff_ffff;

/** What the environment of a node depends on. */
export interface RealEnvironmentOptions {
  readonly log: Log;
  readonly counters?: NetworkCounters;
  readonly tracer?: Tracer | undefined;
  /** If given, all connections are secured with it, those that are opened and those accepted. */
  readonly tls?: TlsCredentials | TlsIdentity;
}

/** The environment of nodes in production: the system's clock and timers, TCP or TLS. */
export function realEnvironment(
  { log, tls, counters, tracer }: RealEnvironmentOptions,
): Environment {
  let identity: TlsIdentity | null = null;
  // Only when it is needed: who can't understand a revocation list fails to connect and to listen.
  const secure = (credentials: TlsCredentials | TlsIdentity): TlsIdentity =>
    identity ??= credentials instanceof TlsIdentity ? credentials : new TlsIdentity(credentials);
  const refusals = new RefusalLog(log);
  return {
    now: () => Date.now() / 1000,
    monotonic: () => performance.now(),
    setTimer(delay, callback) {
      const timer = setTimeout(callback, Math.min(delay, MAX_DELAY));
      return () => clearTimeout(timer);
    },
    defer: setImmediate,
    random: Math.random,
    // What is thrown becomes a rejection.
    connect: async (address, signal) =>
      await (tls === undefined
        ? connectTcp(address, signal)
        : connectTls(secure(tls), address, signal)),
    listen: (address, accept) =>
      new Promise((resolve) => {
        if (tls === undefined) return resolve(listenTcp(address, accept));
        const refused = (peer: Address | null, reason: string) =>
          refusals.add(peer?.host ?? "?", peer === null ? "?" : formatAddress(peer), reason);
        resolve(listenTls(secure(tls), address, accept, { refused }));
      }),
    log,
    ...counters !== undefined && { counters },
    ...tracer !== undefined && { tracer },
  };
}
