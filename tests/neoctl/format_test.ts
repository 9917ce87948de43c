import assert from "node:assert/strict";
import {
  formatDate,
  formatMap,
  formatNodes,
  formatRows,
  formatSummary,
  formatTid,
} from "../../neoctl/format.ts";
import { CellState, NodeState, NodeType } from "../../protocol/enums.ts";
import { toTid, ZERO_TID } from "../../protocol/ids.ts";
import { nidOf, type NodeDescription } from "../../protocol/nodes.ts";
import { NODES, storage, tableOf } from "./samples.ts";

const lines = (...texts: string[]) => texts.join("\n");

Deno.test("formatNodes() aligns columns and sorts by signed id", () => {
  assert.equal(
    formatNodes(NODES),
    lines(
      "A1 | ADMIN   | 127.0.0.1:9999  | RUNNING | 2026-11-22 10:10:46.516371",
      "C1 | CLIENT  |                 | RUNNING | 2026-11-22 10:11:23.999131",
      "M1 | MASTER  | 127.0.0.1:10000 | RUNNING | None",
      "M2 | MASTER  | 127.0.0.1:10001 | DOWN    | 2026-11-22 10:14:07.258132",
      "S1 | STORAGE | 127.0.0.1:20000 | RUNNING | 2026-11-22 10:10:48.675942",
      "S2 | STORAGE |                 | DOWN    | None",
    ),
  );
});

Deno.test("formatNodes() puts nodes without id at the end, by address", () => {
  const unseen = (host: string): NodeDescription => ({
    type: NodeType.MASTER,
    nid: null,
    address: { host, port: 10000 },
    state: NodeState.DOWN,
    idTimestamp: null,
  });
  assert.equal(
    formatNodes([unseen("::1"), storage(10, NodeState.PENDING), unseen("10.0.0.1")]),
    lines(
      "S10  | STORAGE | 127.0.0.1:20009 | PENDING | 2026-11-22 10:10:48.675942",
      "None | MASTER  | 10.0.0.1:10000  | DOWN    | None",
      "None | MASTER  | [::1]:10000     | DOWN    | None",
    ),
  );
  assert.equal(formatNodes([]), "Empty list!");
});

Deno.test("formatDate() leaves out the fraction when it is zero", () => {
  assert.equal(formatDate(1795343590), "2026-11-22 10:33:10");
  assert.equal(formatDate(1795343590.000001), "2026-11-22 10:33:10.000001");
  assert.equal(formatDate(1795343590.9999999), "2026-11-22 10:33:11");
  assert.equal(formatDate(-0.5), "1969-12-31 23:59:59.500000");
  assert.equal(formatDate(1e300), "1e+300");
});

Deno.test("formatTid() gives the number and the date", () => {
  const tid = toTid(0x40d2f43668da553n);
  assert.equal(formatTid(tid), "0x40d2f43668da553 (2026-11-22 10:11:24.035930)");
  assert.equal(formatTid(ZERO_TID), "0x0 (1900-01-01 00:00:00)");
});

Deno.test("formatMap() has a ruler above ten partitions", () => {
  const nodes = [storage(3, NodeState.DOWN), storage(2, NodeState.DOWN), storage(1)];
  assert.equal(
    formatMap(tableOf("U".repeat(24), "O".repeat(24), "O".repeat(24)), nodes),
    lines(
      "             10v       20v",
      "S1 R UUUUUUUUUUUUUUUUUUUUUUUU",
      "S2 D OOOOOOOOOOOOOOOOOOOOOOOO",
      "S3 D OOOOOOOOOOOOOOOOOOOOOOOO",
    ),
  );
  assert.equal(
    formatMap(tableOf("UFUFUFUFUFUFUFUFUFUFUFUF", ".O.O.O.O.O.O.O.O.O.O.O.O"), [
      storage(1),
      storage(2),
    ]),
    lines(
      "             10v       20v",
      "S1 R UFUFUFUFUFUFUFUFUFUFUFUF",
      "S2 R .O.O.O.O.O.O.O.O.O.O.O.O",
    ),
  );
  assert.equal(formatMap(tableOf("U".repeat(10)), [storage(1)]), "S1 R UUUUUUUUUU");
  assert.equal(
    formatMap(tableOf("U".repeat(11)), [storage(1)]),
    lines("             10v", "S1 R UUUUUUUUUUU"),
  );
});

Deno.test("formatMap() shows running storages without cells and aligns names", () => {
  const nodes = [storage(1), storage(10), storage(4, NodeState.PENDING), storage(5, 1)];
  assert.equal(formatMap(tableOf("UC"), nodes), lines("S1  R UC", "S10 R .."));
});

Deno.test("formatMap() shows storages that were removed meanwhile", () => {
  assert.equal(formatMap(tableOf("UU", "UU"), [storage(1)]), lines("S1 R UU", "S2 ? UU"));
});

Deno.test("formatMap() can show one storage only, or nothing", () => {
  const nodes = [storage(1), storage(2)];
  assert.equal(formatMap(tableOf("UU", "OO"), nodes, 2), "S2 R OO");
  assert.equal(formatMap([[], []], []), "");
});

Deno.test("formatRows() numbers partitions with three digits at least", () => {
  const rows = tableOf("UU", "UO");
  assert.equal(
    formatRows(rows, 0),
    lines(
      "000 | S1 - UP_TO_DATE | S2 - UP_TO_DATE |",
      "001 | S1 - UP_TO_DATE | S2 - OUT_OF_DATE |",
    ),
  );
  assert.equal(
    formatRows([[{ nid: 1, state: CellState.FEEDING }], []], 999),
    "999 | S1 - FEEDING |\n1000 |",
  );
  assert.equal(formatRows([...rows, []], 0, 2).split("\n").length, 2);
});

Deno.test("formatSummary() starts with JSON as it always was", () => {
  const summary = (warning: (string | null)[], problem: (string | null)[]) =>
    formatSummary({ warning, problem, summary: "RUNNING" });
  assert.equal(summary([], []), "# {}\nRUNNING");
  assert.equal(summary([], [null]), '# {"problem": [null]}\nRUNNING');
  assert.equal(
    summary([null, "bak"], ["other"]),
    '# {"warning": [null, "bak"], "problem": ["other"]}\nRUNNING',
  );
});

Deno.test("formatNodes() names nodes by their id", () => {
  const client = { ...storage(1), type: NodeType.CLIENT, nid: nidOf(NodeType.CLIENT, 12) };
  assert.match(formatNodes([client]), /^C12 \| CLIENT \|/);
});
