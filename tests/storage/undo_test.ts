import assert from "node:assert/strict";
import { undoSerials } from "../../storage/undo.ts";
import { tid } from "./support.ts";

const later = (...revisions: (readonly [number, number | null])[]) =>
  revisions.map(([serial, undo]) => ({
    tid: tid(serial),
    dataSerial: undo === null ? null : tid(undo),
  }));

Deno.test("undoSerials() gives the previous revision when the last transaction is undone", () => {
  assert.deepEqual(undoSerials({ previous: tid(1), later: [] }, tid(2), tid(3), null), {
    current: tid(2),
    undo: tid(1),
    isCurrent: true,
  });
});

Deno.test("undoSerials() gives no revision when a creation is undone", () => {
  assert.deepEqual(undoSerials({ previous: null, later: [] }, tid(2), tid(3), null), {
    current: tid(2),
    undo: null,
    isCurrent: true,
  });
});

Deno.test("undoSerials() leaves a conflict to resolve when the object was modified later", () => {
  const history = { previous: tid(1), later: later([3, null]) };
  assert.deepEqual(undoSerials(history, tid(2), tid(4), null), {
    current: tid(3),
    undo: tid(1),
    isCurrent: false,
  });
});

Deno.test("undoSerials() ignores as current what is after the snapshot", () => {
  const history = { previous: tid(1), later: later([3, null], [4, null]) };
  assert.equal(undoSerials(history, tid(2), tid(4), null)?.current, tid(3));
  assert.equal(undoSerials(history, tid(2), tid(3), null)?.current, tid(2));
});

Deno.test("undoSerials() gives nothing when what is undone is after the snapshot", () => {
  const history = { previous: tid(1), later: [] };
  assert.equal(undoSerials(history, tid(2), tid(2), null), null);
  assert.notEqual(undoSerials(history, tid(2), tid(2), tid(9)), null, "but for an own change");
});

Deno.test("undoSerials() follows undo links to the greatest revision with the same data", () => {
  // 1: a, 2: b, 3: undo of 2 (a), 4: undo of 3 (b)
  const history = { previous: tid(1), later: later([3, 1], [4, 2]) };
  assert.deepEqual(undoSerials(history, tid(2), tid(5), null), {
    current: tid(4),
    undo: tid(3),
    isCurrent: true,
  });
});

Deno.test("undoSerials() recognises the undone data in what the transaction itself did", () => {
  const history = { previous: tid(1), later: [] };
  assert.deepEqual(undoSerials(history, tid(2), tid(5), tid(2)), {
    current: tid(2),
    undo: tid(1),
    isCurrent: true,
  });
  assert.deepEqual(undoSerials(history, tid(2), tid(5), tid(1)), {
    current: tid(1),
    undo: tid(1),
    isCurrent: false,
  });
});
