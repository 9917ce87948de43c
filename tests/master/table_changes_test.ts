/** Random lives of a partition table, with what must hold after each change. */

import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { MasterPartitionTable } from "../../master/partition_table.ts";
import type { DevicePath } from "../../master/topology.ts";
import type { Member } from "../../master/tweak.ts";
import type { CellChange } from "../../node/partition_table.ts";
import { CellState, isReadable } from "../../protocol/enums.ts";
import type { Nid } from "../../protocol/nodes.ts";
import { textOf } from "./table_text.ts";

/** A choice by number of one of several things, whatever their number. */
type Pick = number;
type Change =
  | { readonly kind: "add"; readonly room: number; readonly disk: number }
  | { readonly kind: "lose" | "return" | "drop" | "corrupt"; readonly which: Pick }
  | { readonly kind: "replicate"; readonly cells: readonly Pick[] | "all" }
  | { readonly kind: "setReplicas"; readonly replicas: number }
  | { readonly kind: "tweak"; readonly ignored: readonly Pick[] };

class Model {
  readonly table = new MasterPartitionTable();
  readonly paths = new Map<Nid, DevicePath>();
  readonly down = new Set<Nid>();

  constructor(partitions: number, replicas: number, paths: readonly DevicePath[]) {
    for (const [index, path] of paths.entries()) this.paths.set(index + 1, path);
    this.table.create(partitions, replicas, this.#members([...this.paths.keys()]));
    this.check();
  }

  readonly running = (nid: Nid) => this.paths.has(nid) && !this.down.has(nid);

  #members(nids: readonly Nid[]): Member[] {
    return nids.map((nid) => ({ nid, path: this.paths.get(nid) ?? [] }));
  }

  #pick<T>(list: readonly T[], which: Pick): T | undefined {
    return list.length === 0 ? undefined : list[which % list.length];
  }

  #apply(cells: readonly CellChange[], replicas = this.table.replicas): void {
    this.table.change({ ptid: (this.table.ptid ?? 0) + 1, replicas, cells });
  }

  do(change: Change): void {
    switch (change.kind) {
      case "add": {
        const nid = Math.max(...this.paths.keys()) + 1;
        this.paths.set(nid, [String(change.room), String(change.disk)]);
        assert.deepEqual(this.table.addMembers([nid]), [nid]);
        break;
      }
      case "lose":
        this.#lose(change.which);
        break;
      case "return": {
        const nid = this.#pick([...this.down], change.which);
        if (nid !== undefined) this.down.delete(nid);
        break;
      }
      case "drop":
        this.#drop(change.which);
        break;
      case "corrupt": {
        const cells = this.#cells().filter(({ partition, state }) =>
          isReadable(state) && this.table.readableCells(partition)
              .filter(({ nid }) => this.running(nid)).length > 1
        );
        const cell = this.#pick(cells, change.which);
        if (cell !== undefined) this.#apply([{ ...cell, state: CellState.CORRUPTED }]);
        break;
      }
      case "replicate":
        this.#replicate(change.cells);
        break;
      case "setReplicas":
        this.#apply([], change.replicas);
        break;
      case "tweak":
        this.#tweak(change.ignored);
        break;
    }
    this.check();
  }

  #cells(): CellChange[] {
    return this.table.rows.flatMap((row, partition) => row.map((cell) => ({ partition, ...cell })));
  }

  /** A storage goes away; the last one that serves a partition stays. */
  #lose(which: Pick): void {
    const nid = this.#pick([...this.paths.keys()].filter(this.running), which);
    const rest = (other: Nid) => this.running(other) && other !== nid;
    if (nid === undefined || !this.table.operational(rest)) return;
    this.down.add(nid);
    this.#apply(this.table.outdate(this.running, nid));
    assert(this.#cells().every((cell) => cell.nid !== nid || !isReadable(cell.state)));
  }

  #drop(which: Pick): void {
    const nid = this.#pick([...this.down], which);
    if (nid === undefined) return;
    const cells = this.table.dropNodes(new Set([nid]));
    if (!Array.isArray(cells)) return;
    this.#apply(cells);
    this.table.removeMembers([nid]);
    this.down.delete(nid);
    this.paths.delete(nid);
    assert(!this.table.hasNode(nid));
  }

  #replicate(which: readonly Pick[] | "all"): void {
    const outdated = this.#cells().filter(({ nid, state }) =>
      state === CellState.OUT_OF_DATE && this.running(nid)
    );
    const cells = which === "all" ? outdated : which.flatMap((n) => this.#pick(outdated, n) ?? []);
    for (const { partition, nid } of cells) {
      const before = this.table.readableCells(partition).length;
      this.table.startReplication(nid, [partition]);
      const changes = this.table.replicated(nid, partition);
      if (changes.length === 0) continue;
      this.#apply(changes);
      assert.equal(this.table.cellState(partition, nid), CellState.UP_TO_DATE);
      this.#apply(this.table.surplus([partition]));
      const after = this.table.readableCells(partition).length;
      assert(after >= Math.min(before + 1, this.table.replicas + 1), "copies were lost");
      assert.deepEqual(this.table.replicated(nid, partition), [], "once is enough");
    }
  }

  #tweak(ignoredPicks: readonly Pick[]): void {
    const ignored = new Set(this.down);
    for (const pick of ignoredPicks) ignored.add(this.#pick([...this.paths.keys()], pick) ?? 0);
    const active = [...this.paths.keys()].filter((nid) => !ignored.has(nid));
    if (active.length === 0) return;
    const before = this.#cells();
    const readableBefore = this.table.rows.map((row) => this.#count(row, active, isReadable));
    const { changes, resilient } = this.table.tweak(this.#members(active));
    this.#apply(changes);
    const copies = Math.min(this.table.replicas + 1, active.length);
    for (const [partition, row] of this.table.rows.entries()) {
      const assigned = this.#count(row, active, (state) => state !== CellState.FEEDING);
      assert.equal(assigned, copies, `copies of ${partition}`);
      const readable = this.#count(row, active, isReadable);
      assert(readable >= Math.min(readableBefore[partition] ?? 0, copies), "readable cells lost");
      const feeding = this.#count(row, active, (state) => state === CellState.FEEDING);
      const upToDate = this.#count(row, active, (state) => state === CellState.UP_TO_DATE);
      assert(feeding <= copies - upToDate, "useless feeding cells");
      assert(row.every(({ state }) => state !== CellState.CORRUPTED || ignored.size > 0));
    }
    const loads = active.map((nid) =>
      this.#cells().filter((cell) => cell.nid === nid && cell.state !== CellState.FEEDING).length
    );
    assert(Math.max(...loads) - Math.min(...loads) <= 1, `uneven loads ${loads}`);
    const untouched = (cells: readonly CellChange[]) => cells.filter(({ nid }) => ignored.has(nid));
    assert.deepEqual(untouched(this.#cells()), untouched(before), "ignored nodes");
    if (resilient) this.#checkTopology(active, copies);
    const again = this.table.tweak(this.#members(active));
    assert.deepEqual(again.changes, [], "tweaking twice");
    this.#replicate("all");
    assert.deepEqual(this.table.tweak(this.#members(active)).changes, [], "after replication");
  }

  #count(
    row: readonly { readonly nid: Nid; readonly state: CellState }[],
    nids: readonly Nid[],
    counts: (state: CellState) => boolean,
  ): number {
    return row.filter(({ nid, state }) => nids.includes(nid) && counts(state)).length;
  }

  /** Copies are in as many rooms as possible, evenly. */
  #checkTopology(active: readonly Nid[], copies: number): void {
    if (copies === 1) return;
    const rooms = new Set(active.map((nid) => this.paths.get(nid)?.[0]));
    for (const row of this.table.rows) {
      const used = new Map([...rooms].map((room) => [room, 0]));
      for (const { nid, state } of row) {
        const room = this.paths.get(nid)?.[0];
        if (!active.includes(nid) || state === CellState.FEEDING) continue;
        used.set(room, (used.get(room) ?? 0) + 1);
      }
      const counts = [...used.values()];
      assert(Math.max(...counts) - Math.min(...counts) <= 1, `copies per room: ${counts}`);
    }
  }

  check(): void {
    for (const row of this.table.rows) {
      assert.equal(new Set(row.map(({ nid }) => nid)).size, row.length);
    }
    assert(this.table.operational(this.running), `not operational: ${textOf(this.table.rows)}`);
    for (const nid of this.table.nodes()) assert(this.table.hasMember(nid));
  }
}

const pick = fc.nat(1000);
const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("add" as const), room: fc.nat(3), disk: fc.nat(2) }),
  fc.record({
    kind: fc.constantFrom("lose" as const, "return", "drop", "corrupt"),
    which: pick,
  }),
  fc.record({
    kind: fc.constant("replicate" as const),
    cells: fc.oneof(fc.constant("all" as const), fc.array(pick, { maxLength: 10 })),
  }),
  fc.record({ kind: fc.constant("setReplicas" as const), replicas: fc.nat(3) }),
  fc.record({
    kind: fc.constant("tweak" as const),
    ignored: fc.oneof(fc.constant([]), fc.array(pick, { maxLength: 2 })),
  }),
);
const path = fc.tuple(fc.nat(3).map(String), fc.nat(2).map(String));

Deno.test("MasterPartitionTable stays sound whatever is done to the cluster", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.nat(2),
      fc.oneof(
        fc.array(path, { minLength: 1, maxLength: 8 }),
        fc.array(fc.constant([] as DevicePath), { minLength: 1, maxLength: 6 }),
      ),
      fc.array(changes, { maxLength: 25 }),
      (partitions, replicas, paths, lives) => {
        const model = new Model(partitions, replicas, paths);
        for (const change of lives) model.do(change);
      },
    ),
    { numRuns: 1000 },
  );
});
