import assert from "node:assert/strict";
import { type Oid, type Tid, toOid, toTid } from "../../protocol/ids.ts";
import { checkHistory } from "../../simulator/checker.ts";
import { type Committed, History } from "../../simulator/history.ts";
import { packedUntil, unpack } from "../../simulator/packing.ts";

const OID = toOid(1n);
const tid = (n: number): Tid => toTid(BigInt(n));

/** An object with four revisions; a pack at 30 leaves the last two. */
function scene() {
  const history = new History();
  const transactions: (Committed & { objects: Map<Oid, string | null> })[] = [];
  for (const n of [10, 20, 30, 40]) {
    const attempt = history.begin("c1");
    attempt.writes.set(OID, { base: tid(n - 10), data: `${n}` });
    history.end(attempt, { kind: "committed", tid: tid(n) });
    transactions.push({
      tid: tid(n),
      ttid: tid(n - 1),
      description: attempt.id,
      objects: n >= 30 ? new Map([[OID, `${n}`]]) : new Map(),
    });
  }
  const check = (tid: Tid, oids: ReadonlySet<Oid> | null = null) => {
    const packed = packedUntil([{ id: toTid(1000n), oids, tid }]);
    const unpacked = unpack(history, transactions, packed);
    return [...unpacked.problems, ...checkHistory(history, unpacked.transactions, packed)];
  };
  return { history, transactions, check };
}

Deno.test("unpack() brings back what a pack removed", () => {
  const { check, history } = scene();
  history.reads.push(
    { client: "c1", oid: OID, from: tid(15), to: tid(15), seen: { serial: tid(10), data: "10" } },
    // When it was packed.
    { client: "c1", oid: OID, from: tid(15), to: tid(15), seen: null },
  );
  assert.deepEqual(check(tid(30)), []);
});

Deno.test("unpack() leaves out what no pack may have removed", () => {
  const { check } = scene();
  const [lost] = check(tid(29));
  assert.match(String(lost), /'c1\/1' is there without its object/);
});

Deno.test("unpack() notices what a pack did not remove", () => {
  const { check, transactions } = scene();
  transactions[1]?.objects.set(OID, "20");
  assert.deepEqual(check(tid(30)), [
    "revision 0000000000000014 of 0000000000000001 is there after a pack",
  ]);
});

Deno.test("unpack() knows that a deletion goes, and what was undone", () => {
  const { check, history, transactions } = scene();
  const undo = history.begin("c1");
  undo.undone = tid(40);
  history.end(undo, { kind: "committed", tid: tid(50) });
  const deletion = history.begin("c1");
  deletion.writes.set(OID, { base: tid(50), data: null });
  history.end(deletion, { kind: "committed", tid: tid(60) });
  for (const [attempt, n] of [[undo, 50], [deletion, 60]] as const) {
    transactions.push({
      tid: tid(n),
      ttid: tid(n - 1),
      description: attempt.id,
      objects: new Map(),
    });
  }
  transactions[2]?.objects.clear();
  transactions[3]?.objects.clear();
  history.reads.push(
    { client: "c1", oid: OID, from: tid(50), to: tid(50), seen: { serial: tid(50), data: "30" } },
  );
  assert.deepEqual(check(tid(60)), []);
});

Deno.test("unpack() and checkHistory() know which objects a pack concerned", () => {
  const { check, history, transactions } = scene();
  const deletion = history.begin("c1");
  deletion.writes.set(OID, { base: tid(40), data: null });
  history.end(deletion, { kind: "committed", tid: tid(50) });
  // Its oid is given out again.
  const creation = history.begin("c1");
  creation.writes.set(OID, { base: tid(0), data: "60" });
  history.end(creation, { kind: "committed", tid: tid(60) });
  const objects = new Map<number, Map<Oid, string | null>>([
    [50, new Map()],
    [60, new Map([[OID, "60"]])],
  ]);
  for (const [attempt, n] of [[deletion, 50], [creation, 60]] as const) {
    transactions.push({
      tid: tid(n),
      ttid: tid(n - 1),
      description: attempt.id,
      objects: objects.get(n) ?? new Map(),
    });
  }
  for (const { objects } of transactions.slice(0, 4)) objects.clear();
  assert.deepEqual(check(tid(50)), []);
  assert.deepEqual(check(tid(50), new Set([OID])), []);
  for (const [n, text] of [[10, "10"], [20, "20"], [30, "30"], [40, "40"], [50, null]] as const) {
    transactions.find((transaction) => transaction.tid === tid(n))?.objects.set(OID, text);
  }
  const [problem, ...others] = check(tid(50), new Set([toOid(2n)]));
  assert.match(String(problem), /was based on 0{16} of 0{15}1, but follows 0{14}32/);
  assert.deepEqual(others, []);
});
