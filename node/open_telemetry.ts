/**
 * Gives the spans of transactions to OpenTelemetry: to whatever is registered with its API, like the
 * exporter that is part of Deno (`OTEL_DENO=true`).
 *
 * @module
 */

import { hash } from "node:crypto";
import {
  type Context,
  context,
  type Link,
  type Span as ApiSpan,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer as ApiTracer,
} from "npm:@opentelemetry/api@1.9.1";
import type { Span, SpanSubject, Tracer } from "../network/tracer.ts";
import { hexId, type Tid } from "../protocol/ids.ts";
import { nodeName } from "../protocol/nodes.ts";

/**
 * Makes a tracer. All nodes and clients of a cluster derive the same trace from a ttid, and the same
 * parent of their spans, which nobody reports.
 *
 * @param cluster its name.
 * @example
 * ```ts ignore
 * await using client = await connect("neo://name@127.0.0.1:10000", {
 *   tracing: openTelemetry,
 * });
 * ```
 */
export function openTelemetry(cluster: string): Tracer {
  const api = trace.getTracer("neo");
  return {
    begin({ name, ttid, node }: SpanSubject): Span {
      const attributes = {
        "neo.cluster": cluster,
        "neo.node": nodeName(node),
        "neo.ttid": hexId(ttid),
      };
      // What the program itself is tracing meanwhile is another trace.
      const active = trace.getActiveSpan()?.spanContext();
      const links: Link[] = active === undefined ? [] : [{ context: active }];
      const parent = transactionContext(cluster, ttid);
      return new OpenSpan(api, api.startSpan(name, { attributes, links }, parent), attributes);
    },
  };
}

/** The context of the spans of a transaction. */
function transactionContext(cluster: string, ttid: Tid): Context {
  const id = hash("sha256", `${cluster}\0${hexId(ttid)}`, "hex");
  return trace.setSpanContext(context.active(), {
    traceId: id.slice(0, 32),
    spanId: id.slice(32, 48),
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  });
}

/** A span that OpenTelemetry knows. */
class OpenSpan implements Span {
  readonly #api: ApiTracer;
  readonly #span: ApiSpan;
  /** Those that its parts have too. */
  readonly #attributes: Readonly<Record<string, string>>;

  constructor(api: ApiTracer, span: ApiSpan, attributes: Readonly<Record<string, string>>) {
    this.#api = api;
    this.#span = span;
    this.#attributes = attributes;
  }

  child(name: string): Span {
    const attributes = this.#attributes;
    const parent = trace.setSpan(context.active(), this.#span);
    return new OpenSpan(this.#api, this.#api.startSpan(name, { attributes }, parent), attributes);
  }

  set(attribute: string, value: string | number): void {
    this.#span.setAttribute(attribute, value);
  }

  end(failure?: string): void {
    if (failure !== undefined) {
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
    }
    this.#span.end();
  }
}
