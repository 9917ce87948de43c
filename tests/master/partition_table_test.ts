import assert from "node:assert/strict";
import { MasterPartitionTable } from "../../master/partition_table.ts";
import type { CellChange } from "../../node/partition_table.ts";
import { changesText, rowsOf, textOf } from "./table_text.ts";

function tableOf(text: string, replicas = 1): MasterPartitionTable {
  const table = new MasterPartitionTable();
  table.load({ ptid: 1, replicas, rows: rowsOf(text) });
  return table;
}

function apply(table: MasterPartitionTable, cells: readonly CellChange[]): string {
  const width = Math.max(...table.nodes());
  if (cells.length > 0) {
    table.change({ ptid: (table.ptid ?? 0) + 1, replicas: table.replicas, cells });
  }
  return textOf(table.rows, width);
}

const CREATIONS: [number, number, number, string, string, boolean][] = [
  [3, 0, 4, "", "U...|.U..|..U.", true],
  [5, 1, 4, "", "UU..|..UU|UU..|..UU|UU..", false],
  [9, 2, 4, "", "UUU.|UU.U|U.UU|.UUU|UUU.|UU.U|U.UU|.UUU|UUU.", false],
  [
    10,
    1,
    5,
    "",
    "UU...|..UU.|U...U|.UU..|...UU|UU...|..UU.|U...U|.UU..|...UU",
    false,
  ],
  [4, 1, 1, "", "U|U|U|U", true],
  [2, 2, 6, "00 01 02 10 11 12", "UU.U..|..U.UU", true],
  [7, 1, 7, "0 0 0 1 1 2 2", "U..U...|.U...U.|..U.U..|U.....U|.U.U...|..U..U.|....U.U", true],
  [4, 1, 8, "0 0 0 1 1 1 2 2", "U..U....|.U..U...|..U...U.|.....U.U", true],
  [6, 1, 4, "0 0 1 1", "U.U.|.U.U|U.U.|.U.U|U.U.|.U.U", true],
  [
    6,
    2,
    6,
    "00 00 01 10 10 11",
    "U.UU..|.U..UU|U.UU..|.U..UU|U.UU..|.U..UU",
    true,
  ],
  [6, 1, 3, "00 01 1", "UU.|U.U|.UU|UU.|U.U|.UU", false],
  [5, 2, 5, "0 1 2 3 3", "UUU..|U..UU|.UUU.|UU..U|..UUU", false],
  [6, 1, 4, "0 0 0 1", "UU..|..UU|UU..|..UU|UU..|..UU", false],
];

for (const [partitions, replicas, count, paths, expected, resilient] of CREATIONS) {
  const where = paths === "" ? "" : ` at ${paths}`;
  Deno.test(
    `MasterPartitionTable.create() deals ${partitions} partitions, ${replicas} replicas, to ` +
      `${count} nodes${where}`,
    () => {
      const table = new MasterPartitionTable();
      const places = paths === "" ? [] : paths.split(" ");
      const members = Array.from({ length: count }, (_, index) => (
        { nid: index + 1, path: [...(places[index] ?? "")] }
      ));
      assert.equal(table.create(partitions, replicas, members.toReversed()), resilient);
      assert.equal(table.ptid, 1);
      assert.equal(table.replicas, replicas);
      assert.equal(textOf(table.rows, count), expected);
      for (const { nid } of members) assert(table.hasMember(nid), "all nodes are members");
    },
  );
}

Deno.test("MasterPartitionTable.create() refuses when there is no node", () => {
  assert.throws(() => new MasterPartitionTable().create(1, 0, []), RangeError);
});

const OUTDATES: [string, number[], number | null, string][] = [
  ["UU|UU", [1], 2, "UO|UO"],
  ["UU|UU", [], 2, "OU|OU"],
  ["U.|UU|.U", [1], 2, "U.|UO|.U"],
  ["UF|FO|FU", [2], 1, "OF|FO|.U"],
  ["UU|UU", [], null, "OO|OO"],
  ["UU|UU", [1, 2], null, "UU|UU"],
];

for (const [before, running, lost, after] of OUTDATES) {
  Deno.test(`MasterPartitionTable.outdate() of ${before} with [${running}], lost ${lost}`, () => {
    const table = tableOf(before);
    assert.equal(apply(table, table.outdate((nid) => running.includes(nid), lost)), after);
  });
}

const DROPS: [string, number, string, string][] = [
  ["UU|UU", 1, ".U|.U", "0:S1→D 1:S1→D"],
  ["FO|UO", 2, "U.|U.", "0:S2→D 0:S1→U 1:S2→D"],
  ["OUF", 2, "O.U", "0:S2→D 0:S3→U"],
  ["O.U", 1, "..U", "0:S1→D"],
];

for (const [before, drop, after, changes] of DROPS) {
  Deno.test(`MasterPartitionTable.dropNodes() removes S${drop} from ${before}`, () => {
    const table = tableOf(before);
    const cells = table.dropNodes(new Set([drop]));
    assert(Array.isArray(cells));
    assert.equal(changesText(cells), changes);
    assert.equal(apply(table, cells), after);
    table.removeMembers([drop]);
    assert(!table.hasMember(drop));
  });
}

for (const [before, drop] of [["U.|.U", 1], ["FO|UO", 1]] as const) {
  Deno.test(`MasterPartitionTable.dropNodes() refuses to remove S${drop} from ${before}`, () => {
    assert.deepEqual(tableOf(before).dropNodes(new Set([drop])), { partition: 0 });
  });
}

const REPLICATIONS: [string, number, number, string][] = [
  // Enough copies: the feeding one goes.
  ["UFO", 1, 3, "U.U"],
  // At least as many readable copies as wanted remain.
  ["FFOO", 1, 3, ".FUO"],
  ["FFUO", 1, 4, "..UU"],
  ["OUF", 0, 1, "UU."],
  // Another cell is still to be replicated, and copies are needed.
  ["FOO", 1, 2, "FUO"],
  // A node that only feeds leaves first.
  ["FFOO|U...", 1, 3, "F.UO|U..."],
];

for (const [before, replicas, nid, after] of REPLICATIONS) {
  Deno.test(`MasterPartitionTable.replicated() of S${nid} in ${before}, ${replicas} replicas`, () => {
    const table = tableOf(before, replicas);
    table.startReplication(nid, [0]);
    const changes = table.replicated(nid, 0);
    assert.equal(changesText(changes), `0:S${nid}→U`);
    apply(table, changes);
    assert.equal(apply(table, table.surplus([0])), after);
  });
}

Deno.test("MasterPartitionTable.replicated() ignores what is late", () => {
  const table = tableOf("UO");
  assert.deepEqual(table.replicated(2, 0), [], "it did not begin");
  table.startReplication(2, [0]);
  table.startReplication(3, [0]);
  assert.deepEqual(table.replicated(3, 0), [], "it has no cell");
  assert.deepEqual(table.replicated(1, 0), [], "it is up to date");
  apply(table, rowsOf("O").flat().map((cell) => ({ partition: 0, ...cell, nid: 2 })));
  assert.deepEqual(table.replicated(2, 0), [], "the cell changed since");
});
