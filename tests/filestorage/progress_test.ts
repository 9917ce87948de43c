import { deepEqual, equal } from "node:assert/strict";
import type { CopyProgress } from "../../filestorage/mod.ts";
import { formatDuration, formatSize, Progress } from "../../filestorage/progress.ts";
import { tidFromTime, ZERO_TID } from "../../protocol/ids.ts";

/** A display with a clock set by hand. */
function display(columns: number | null, quiet = false) {
  const shown: string[] = [];
  const clock = { now: 0 };
  const write = (text: string) => shown.push(text);
  const progress = new Progress({ write, now: () => clock.now, columns, quiet });
  const update = (now: number, done: Partial<CopyProgress>) => {
    clock.now = now;
    progress.update({ transactions: 0, records: 0, bytes: 0, tid: ZERO_TID, ...done });
  };
  return { progress, update, shown };
}

const TOTAL = { transactions: 100, bytes: 4_000_000 };

Deno.test("Progress draws a bar on a terminal, not too often", () => {
  const { progress, update, shown } = display(100);
  progress.start(TOTAL, ZERO_TID, ZERO_TID);
  update(50, { transactions: 1, bytes: 1 });
  equal(shown.length, 0);
  update(2000, { transactions: 25, bytes: 1_000_000 });
  deepEqual(shown, [
    "\r\x1b[K[######------------------]  25.0%  25 transactions  1.0 MB  500.0 kB/s  0:06 left",
  ]);
  progress.end();
  progress.end();
  deepEqual(shown.slice(1), ["\r\x1b[K"]);
});

Deno.test("Progress never writes more than the width of the terminal", () => {
  const { progress, update, shown } = display(30);
  progress.start(TOTAL, ZERO_TID, ZERO_TID);
  update(2000, { transactions: 25, bytes: 1_000_000 });
  equal(shown[0]?.length, "\r\x1b[K".length + 29);
});

Deno.test("Progress writes a line now and then when there is no terminal", () => {
  const { progress, update, shown } = display(null);
  progress.start(TOTAL, ZERO_TID, ZERO_TID);
  update(4999, { bytes: 1 });
  update(5000, { transactions: 50, bytes: 2_000_000 });
  update(9999, { bytes: 3_000_000 });
  deepEqual(shown, [" 50.0%  50 transactions  2.0 MB  400.0 kB/s  0:05 left\n"]);
});

Deno.test("Progress goes by time when the amount is not known", () => {
  const { progress, update, shown } = display(null);
  const at = (seconds: number) => tidFromTime(1_500_000_000 + seconds);
  progress.start(null, at(0), at(1000));
  update(5000, { tid: at(300) });
  equal(shown[0]?.startsWith(" 30.0%"), true);
  update(10000, { tid: at(1000) });
  equal(shown[1]?.startsWith("100.0%"), true);
});

Deno.test("Progress shows only warnings in quiet mode", () => {
  const { progress, update, shown } = display(80, true);
  progress.start(TOTAL, ZERO_TID, ZERO_TID);
  update(10000, { bytes: 1000 });
  progress.warn("careful");
  deepEqual(shown, ["warning: careful\n"]);
});

Deno.test("Progress removes the bar before a warning", () => {
  const { progress, update, shown } = display(80);
  progress.start(TOTAL, ZERO_TID, ZERO_TID);
  update(1000, { bytes: 1000 });
  progress.warn("careful");
  deepEqual(shown.slice(1), ["\r\x1b[K", "warning: careful\n"]);
});

Deno.test("Progress says nothing absurd when there is nothing to do", () => {
  const { progress, update, shown } = display(null);
  progress.start({ transactions: 0, bytes: 0 }, ZERO_TID, ZERO_TID);
  update(5000, {});
  deepEqual(shown, ["  0.0%  0 transactions  0 B  0 B/s\n"]);
});

Deno.test("formatSize() and formatDuration() are for people", () => {
  deepEqual([0, 999, 1500, 2e6, 3.25e9, 5e15].map(formatSize), [
    ...["0 B", "999 B", "1.5 kB", "2.0 MB", "3.3 GB", "5000.0 TB"],
  ]);
  deepEqual([0, 59.4, 61, 3599, 3661].map(formatDuration), [
    ...["0:00", "0:59", "1:01", "59:59", "1:01:01"],
  ]);
});
