import assert from "node:assert/strict";
import { parseClusterState, parseNode, parsePartition, parseTid } from "../../neoctl/values.ts";
import { ClusterState } from "../../protocol/enums.ts";
import { hexId } from "../../protocol/ids.ts";

const invalid = (message: RegExp) => ({ name: "InvalidValueError", message });

Deno.test("parseTid() reads integers in any base and timestamps", () => {
  const vectors = {
    "tid:257684787499560686": "03937af2eeeeeeee",
    "tid:0x3937af2eeeeeeee": "03937af2eeeeeeee",
    "TID:0X3937AF2EEEEEEEE": "03937af2eeeeeeee",
    "tid:0o17": "000000000000000f",
    "tid:0b101": "0000000000000005",
    "tid:0": "0000000000000000",
    "1325421296": "03937af2eeeeeeee",
    "0": "023c2b0000000000",
    "1000000000": "033f2eeaaaaaaaaa",
    "1700000000.125": "03f47f9555dddddd",
    "1795342500.5": "040d2f4702222222",
  };
  for (const [text, tid] of Object.entries(vectors)) assert.equal(hexId(parseTid(text)), tid, text);
});

Deno.test("parseTid() refuses what is neither, and says what is expected", () => {
  for (const text of ["", "x", "-1", "1e9", "0x10", "tid", "1.2.3", "Infinity"]) {
    assert.throws(() => parseTid(text), invalid(/is not a TID: expected tid: and an integer, or/));
  }
  for (const text of ["tid:", "tid:x", "tid:-1", "tid:040d2f4702222222", "tid:0x", "tid:1.5"]) {
    assert.throws(() => parseTid(text), invalid(/with 0x in front if hexadecimal/), text);
  }
  assert.throws(() => parseTid("tid:0x8000000000000000"), invalid(/too large/));
  assert.throws(() => parseTid("257684787499560686"), invalid(/write tid:257684787499560686/));
});

Deno.test("parseNode() reads names of nodes", () => {
  assert.deepEqual(["S1", "M2", "C1", "A1"].map(parseNode), [
    1,
    -268435454,
    -536870911,
    -805306367,
  ]);
  for (const text of ["s1", "S0", "S", "1", "X1", "S1 ", "S01"]) {
    assert.throws(() => parseNode(text), invalid(/is not a node: expected S, M, C or A/), text);
  }
});

Deno.test("parseClusterState() reads names in any case", () => {
  assert.equal(parseClusterState("Starting_Backup"), ClusterState.STARTING_BACKUP);
  for (const text of ["", "1", "run", "toString"]) {
    assert.throws(
      () => parseClusterState(text),
      invalid(/expected recovering, verifying, running/),
    );
  }
});

Deno.test("parsePartition() reads decimal numbers", () => {
  assert.equal(parsePartition("42"), 42);
  for (const text of ["", "-1", "0x1", "1.5", "4294967296"]) {
    assert.throws(() => parsePartition(text), invalid(/is not a partition: expected a decimal/));
  }
});
