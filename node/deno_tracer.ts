/**
 * The tracer of the programs of nodes.
 *
 * @module
 */

import type { Tracer } from "../network/tracer.ts";

/** The tracer of a program, `undefined` unless Deno was told to export what is traced. */
export async function denoTracer(cluster: string): Promise<Tracer | undefined> {
  if (!["true", "1"].includes(Deno.env.get("OTEL_DENO") ?? "")) return undefined;
  // Who does not trace does not load it.
  const { openTelemetry } = await import("./open_telemetry.ts");
  return openTelemetry(cluster);
}
