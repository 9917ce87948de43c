/**
 * Metrics as the text that Prometheus and its kin read (version 0.0.4).
 *
 * @module
 */

import { BOUNDS, Histogram } from "../network/counters.ts";
import { METRICS, type MetricsSource, type Sample } from "./metrics.ts";

/** Its media type. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The metrics of a node; those without value now are left out. */
export function exposition(source: MetricsSource): string {
  let text = "";
  for (const { name, type, help, samples } of METRICS) {
    let lines = "";
    for (const sample of samples(source)) lines += sampleLines(name, sample);
    if (lines === "") continue;
    text += `# HELP ${name} ${help.replaceAll("\\", "\\\\")}\n# TYPE ${name} ${type}\n${lines}`;
  }
  return text;
}

/** The ends of the labels of all buckets of a histogram. */
const BUCKETS = [...BOUNDS.map(String), "+Inf"].map((bound) => `le="${bound}"} `);

function sampleLines(name: string, { labels, value }: Sample): string {
  let pairs = "";
  for (const label in labels) {
    pairs += `${pairs === "" ? "" : ","}${label}="${escape(labels[label] ?? "")}"`;
  }
  const suffix = pairs === "" ? "" : `{${pairs}}`;
  if (!(value instanceof Histogram)) return `${name}${suffix} ${value}\n`;
  const bucket = `${name}_bucket{${pairs}${pairs === "" ? "" : ","}`;
  let lines = "";
  let cumulated = 0;
  for (const [index, end] of BUCKETS.entries()) {
    cumulated += value.counts[index] ?? 0;
    lines += `${bucket}${end}${cumulated}\n`;
  }
  return `${lines}${name}_sum${suffix} ${value.sum}\n${name}_count${suffix} ${value.count}\n`;
}

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
