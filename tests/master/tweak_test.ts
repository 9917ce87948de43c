import assert from "node:assert/strict";
import { tweak } from "../../master/tweak.ts";
import { MasterPartitionTable } from "../../master/partition_table.ts";
import type { CellChange } from "../../node/partition_table.ts";
import { CellState } from "../../protocol/enums.ts";
import { changesText, rowsOf, textOf } from "./table_text.ts";

/** A table whose members are all the columns of its drawing. */
class Drawn {
  readonly table = new MasterPartitionTable();
  readonly width: number;

  constructor(text: string, replicas: number) {
    this.width = text.indexOf("|");
    this.table.load({ ptid: 1, replicas, rows: rowsOf(text) });
  }

  tweak(ignored: readonly number[] = [], paths = ""): readonly CellChange[] {
    const members = Array.from({ length: this.width }, (_, index) => (
      { nid: index + 1, path: [...(paths.split(" ")[index] ?? "")] }
    )).filter(({ nid }) => !ignored.includes(nid));
    return this.table.tweak(members).changes;
  }

  apply(cells: readonly CellChange[]): string {
    if (cells.length > 0) {
      const { ptid, replicas } = this.table;
      this.table.change({ ptid: (ptid ?? 0) + 1, replicas, cells });
    }
    return textOf(this.table.rows, this.width);
  }

  /** All cells that are not become up to date, by partition and in the order of the row. */
  replicate(): string {
    for (const [partition, row] of this.table.rows.entries()) {
      for (const { nid } of [...row]) {
        this.table.startReplication(nid, [partition]);
        this.apply(this.table.replicated(nid, partition));
        this.apply(this.table.surplus([partition]));
      }
    }
    return textOf(this.table.rows, this.width);
  }
}

/** Before, replicas, ignored nodes, after, changes, when replicated; places. */
const EXAMPLES: [string, number, number[], string, string, string, string?][] = [
  ["U.|U.", 0, [], "U.|FO", "1:S2→O 1:S1→F", "U.|.U"],
  [
    "UU.|UU.|UU.",
    1,
    [],
    "UU.|UFO|FUO",
    "1:S3→O 2:S3→O 1:S2→F 2:S1→F",
    "UU.|U.U|.UU",
  ],
  ["U.|U.|U.", 1, [], "UO|UO|UO", "0:S2→O 1:S2→O 2:S2→O", "UU|UU|UU"],
  [
    "UU.|U.U|.UU|UU.",
    0,
    [],
    "U..|..U|.U.|U..",
    "0:S2→D 1:S1→D 2:S3→D 3:S2→D",
    "U..|..U|.U.|U..",
  ],
  ["UU.|UO.|U.O", 1, [], "FUO|UO.|U.O", "0:S3→O 0:S1→F", ".UU|UU.|U.U"],
  [
    "U..|U..|U..|U..",
    0,
    [1],
    "UO.|U.O|UO.|U.O",
    "0:S2→O 2:S2→O 1:S3→O 3:S3→O",
    "UU.|U.U|UU.|U.U",
  ],
  [
    "U...|U...|UU..|UU..",
    1,
    [],
    "UO..|F.OO|UU..|FFOO",
    "0:S2→O 1:S3→O 3:S3→O 1:S4→O 3:S4→O 1:S1→F 3:S1→F 3:S2→F",
    "UU..|..UU|UU..|..UU",
  ],
  ["UF|FU", 0, [], "U.|.U", "0:S2→D 1:S1→D", "U.|.U"],
  ["FO|U.", 0, [], "FO|U.", "", ".U|U."],
  ["UUU|UUU|UUU", 1, [], "UU.|U.U|.UU", "0:S3→D 1:S2→D 2:S1→D", "UU.|U.U|.UU"],
  ["UU.|U.U|.UO", 1, [3], "UU.|UOU|OUO", "2:S1→O 1:S2→O", "UU.|UUU|UUU"],
  ["OU|UO", 0, [], ".U|U.", "0:S1→D 1:S2→D", ".U|U."],
  [
    ".U...|FFO..|FUU..|UUUU.|U...U",
    2,
    [],
    ".UO.O|UU.O.|UFU.O|.UUU.|U..OU",
    "1:S1→U 2:S1→U 1:S2→U 0:S3→O 1:S4→O 4:S4→O 0:S5→O 2:S5→O 1:S3→D 2:S2→F 3:S1→D",
    ".UU.U|UU.U.|U.U.U|.UUU.|U..UU",
  ],
  [
    "UU..|..UU|UU..|..UU",
    1,
    [],
    "UF.O|.OUF|UF.O|.OUF",
    "1:S2→O 3:S2→O 0:S4→O 2:S4→O 0:S2→F 1:S4→F 2:S2→F 3:S4→F",
    "U..U|.UU.|U..U|.UU.",
    "0 0 1 1",
  ],
];

for (const [before, replicas, ignored, after, changes, replicated, paths] of EXAMPLES) {
  const without = ignored.length === 0 ? "" : ` without S${ignored}`;
  const where = paths === undefined ? "" : ` at ${paths}`;
  Deno.test(`tweak() turns ${before} with ${replicas} replicas${without}${where} into ${after}`, () => {
    const drawn = new Drawn(before, replicas);
    const cells = drawn.tweak(ignored, paths);
    assert.equal(changesText(cells), changes);
    assert.equal(drawn.apply(cells), after);
    assert.deepEqual(drawn.tweak(ignored, paths), [], "once is enough");
    assert.equal(drawn.replicate(), replicated);
    assert.deepEqual(drawn.tweak(ignored, paths), [], "nothing is left to do");
  });
}

Deno.test("tweak() moves as few cells as possible when a cluster grows node by node", () => {
  let text = Array(12).fill("U").join("|");
  for (const [count, moved] of [[2, 6], [3, 8], [4, 9]] as const) {
    const drawn = new Drawn(text.split("|").map((row) => row.padEnd(count, ".")).join("|"), 0);
    const cells = drawn.tweak();
    assert.equal(cells.filter(({ state }) => state === CellState.OUT_OF_DATE).length, moved);
    drawn.apply(cells);
    text = drawn.replicate();
  }
  assert.equal(text, Array(3).fill("U...|.U..|..U.|...U").join("|"));
});

Deno.test("tweak() has corrupted cells replicated again", () => {
  const drawn = new Drawn("UC|UU", 1);
  assert.equal(drawn.apply(drawn.tweak()), "UO|UU");
  const surplus = new Drawn("UC|UU", 0);
  assert.equal(surplus.apply(surplus.tweak()), "U.|.U");
});

Deno.test("tweak() refuses when there is no node", () => {
  assert.throws(() => new Drawn("U|U", 0).tweak([1]), /^RangeError: Can't remove all nodes\.$/);
});

Deno.test("tweak() gives up the topology when the search takes too long", () => {
  const members = [..."120133320033321331001110"].map((room, index) => (
    { nid: index + 1, path: [room] }
  ));
  const rows = Array.from({ length: 27 }, () => []);
  const { changes, resilient } = tweak(rows, 2, members);
  assert.equal(resilient, false);
  assert.equal(changes.length, 27 * 3);
});

Deno.test("tweak() handles thousands of partitions", () => {
  const rows = Array.from({ length: 5000 }, () => [{ nid: 1, state: CellState.UP_TO_DATE }]);
  const members = Array.from({ length: 8 }, (_, index) => ({ nid: index + 1, path: [] }));
  const { changes } = tweak(rows, 1, members);
  const feeding = changes.filter(({ state }) => state === CellState.FEEDING);
  assert.equal(feeding.length, 5000 - 5000 / 8 * 2);
});
