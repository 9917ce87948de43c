/**
 * The table of a benchmark.
 *
 * @module
 */

/** One figure next to the raw limit it is compared with. */
export interface Figure {
  readonly backend: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** What the raw limit is made of, and its value in the same unit. */
  readonly raw?: { readonly what: string; readonly value: number };
  /** The ratio to the raw limit to reach: at most or at least. */
  readonly target?: { readonly atMost: number } | { readonly atLeast: number };
}

function number(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

/** Whether a figure reaches its target. */
export function reached({ value, raw, target }: Figure): boolean {
  if (raw === undefined || target === undefined) return true;
  const ratio = value / raw.value;
  return "atMost" in target ? ratio <= target.atMost : ratio >= target.atLeast;
}

/** All the figures as lines of a table. */
export function table(figures: readonly Figure[]): string {
  const header = ["", "measure", "value", "raw limit", "", "ratio", "target", ""];
  const rows = figures.map((figure) => {
    const { backend, what, value, unit, raw, target } = figure;
    const ratio = raw === undefined ? "" : `${(value / raw.value).toFixed(2)}`;
    const wanted = target === undefined
      ? ""
      : "atMost" in target
      ? `≤ ${target.atMost}`
      : `≥ ${target.atLeast}`;
    return [
      backend,
      what,
      `${number(value)} ${unit}`,
      raw === undefined ? "" : `${number(raw.value)} ${unit}`,
      raw?.what ?? "",
      ratio,
      wanted,
      target === undefined ? "" : reached(figure) ? "reached" : "MISSED",
    ];
  });
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0))
  );
  return [header, ...rows]
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
    .join("\n");
}
