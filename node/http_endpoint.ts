/**
 * Where others see by HTTP how a node is: `/metrics` for Prometheus and `/health` for supervisors, load
 * balancers and people.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import type { Listener } from "../network/transport.ts";
import { type Address, formatAddress } from "../protocol/nodes.ts";
import { ConfigError } from "./errors.ts";
import { exposition, EXPOSITION_TYPE } from "./exposition.ts";
import { judge } from "./health.ts";
import { type HttpResponse, listenHttp, plainText } from "./http_server.ts";
import type { MetricsSource } from "./metrics.ts";

/**
 * Listens to an address.
 *
 * @param source is read at each request.
 * @throws {ConfigError} if the address can't be listened to.
 */
export function openHttpEndpoint(address: Address, source: () => MetricsSource): Listener {
  try {
    return listenHttp(address, ({ path }) => {
      switch (path) {
        case "/metrics":
          return { status: 200, type: EXPOSITION_TYPE, body: exposition(source()) };
        case "/health":
          return health(source());
        case "/":
          return plainText(200, "/metrics\n/health");
        default:
          return plainText(404, "there are /metrics and /health");
      }
    });
  } catch (error) {
    throw new ConfigError(
      `can't listen to ${formatAddress(address)} for metrics: ${errorText(error)}`,
    );
  }
}

/** 200 as long as the node serves: a supervisor must not restart one whose cluster has a problem. */
function health({ measures, certificateExpiry }: MetricsSource): HttpResponse {
  const remaining = certificateExpiry === null ? null : certificateExpiry - Date.now() / 1000;
  const found = judge(measures, remaining);
  return {
    status: found.serving ? 200 : 503,
    type: "application/json",
    body: `${JSON.stringify(found, null, 2)}\n`,
  };
}
