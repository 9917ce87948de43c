/**
 * Where the time of a transaction goes, for whoever wants to know. Messages have no room for the context
 * of a trace, but all that work on a transaction know its ttid: it names the trace.
 *
 * @module
 */

import type { Tid } from "../protocol/ids.ts";
import type { Nid } from "../protocol/nodes.ts";
import { errorText } from "./log.ts";

/** What a node does for a transaction, from its beginning. */
export interface Span {
  /** Begins a part of it. */
  child(name: string): Span;
  /** Tells more about it. */
  set(attribute: string, value: string | number): void;
  /** It is over, well or not. To be called once, and nothing else after it. */
  end(failure?: string): void;
}

/** What a span is about. */
export interface SpanSubject {
  /** What is done. */
  readonly name: string;
  /** The transaction. */
  readonly ttid: Tid;
  /** The node that works on it. */
  readonly node: Nid | null;
}

/**
 * Collects spans. Nodes look whether they have one before they make anything for it. It must not throw.
 */
export interface Tracer {
  /** Begins a span. */
  begin(subject: SpanSubject): Span;
}

/** Begins a span in the name of one node. */
export type BeginSpan = (name: string, ttid: Tid) => Span;

/** What a node begins its spans with, `null` if nobody wants them. */
export function spansOf(tracer: Tracer | undefined, node: Nid | null): BeginSpan | null {
  return tracer === undefined ? null : (name, ttid) => tracer.begin({ name, ttid, node });
}

/** Does a part of what a span is about; just does it if there is no span. */
export function traced<Result>(
  parent: Span | null,
  name: string,
  work: () => Promise<Result>,
): Promise<Result> {
  return parent === null ? work() : within(parent.child(name), work);
}

async function within<Result>(span: Span, work: () => Promise<Result>): Promise<Result> {
  try {
    const result = await work();
    span.end();
    return result;
  } catch (error) {
    span.end(errorText(error));
    throw error;
  }
}
