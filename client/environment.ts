/**
 * What a client uses of the system when the application does not give it something else.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import { type Log, silentLog } from "../network/log.ts";
import { realEnvironment } from "../network/real.ts";
import type { TlsCredentials } from "../network/tls.ts";

/** Failures of callbacks and of the cluster would get lost otherwise. */
const consoleLog: Log = { ...silentLog, error: (message) => console.error(`NEO: ${message}`) };

/** The system's clock, timers and network. */
export function defaultEnvironment(tls: TlsCredentials | undefined): Environment {
  return realEnvironment({ log: consoleLog, ...(tls !== undefined && { tls }) });
}
