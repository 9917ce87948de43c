import assert from "node:assert/strict";
import { type Oid, type Tid, toOid, toTid } from "../../protocol/ids.ts";
import { checkHistory } from "../../simulator/checker.ts";
import { type Committed, History } from "../../simulator/history.ts";

const oid = (n: number): Oid => toOid(BigInt(n));
const tid = (n: number): Tid => toTid(BigInt(n));

/** A history where all is right, and what storages then have; each test breaks something. */
class Scene {
  readonly history = new History();
  readonly committed: (Committed & { objects: Map<Oid, string | null> })[] = [];

  constructor() {
    // Two objects, changed together by "c2/1", then one by "c1/2".
    this.write("c1", 10, { 1: [0, "a"], 2: [0, "b"] });
    this.write("c2", 20, { 1: [10, "aa"], 2: [10, "bb"] });
    this.write("c1", 30, { 1: [20, "aaa"] });
  }

  /** A transaction that writes objects, each with the serial it is based on and its data. */
  write(client: string, serial: number, objects: Record<number, [number, string | null]>) {
    const attempt = this.history.begin(client);
    for (const [n, [base, data]] of Object.entries(objects)) {
      attempt.writes.set(oid(Number(n)), { base: tid(base), data });
    }
    this.history.end(attempt, { kind: "committed", tid: tid(serial) });
    this.committed.push({
      tid: tid(serial),
      ttid: tid(serial - 1),
      description: attempt.id,
      objects: new Map([...attempt.writes].map(([oid, { data }]) => [oid, data])),
    });
    return attempt;
  }

  read(n: number, from: number, to: number, seen: [number, string] | null): void {
    this.history.reads.push({
      client: "c1",
      oid: oid(n),
      from: tid(from),
      to: tid(to),
      seen: seen === null ? null : { serial: tid(seen[0]), data: seen[1] },
    });
  }

  last() {
    const last = this.committed.at(-1);
    assert(last);
    return last;
  }

  attempt(index: number) {
    const attempt = this.history.attempts[index];
    assert(attempt);
    return attempt;
  }

  check(packed = 0): string[] {
    return checkHistory(this.history, this.committed, () => tid(packed));
  }
}

/** Breaks the scene; the checker must say this, and nothing else. */
function testBug(name: string, bug: (scene: Scene) => void, ...expected: RegExp[]): void {
  Deno.test(`checkHistory() notices ${name}`, () => {
    const scene = new Scene();
    bug(scene);
    const found = scene.check();
    for (const pattern of expected) {
      assert(found.some((problem) => pattern.test(problem)), `${pattern} in ${found}`);
    }
    assert.equal(found.length, expected.length, found.join("\n"));
  });
}

Deno.test("checkHistory() accepts what is right", () => {
  const scene = new Scene();
  scene.read(1, 10, 10, [10, "a"]);
  scene.read(1, 19, 20, [10, "a"]);
  scene.read(1, 19, 20, [20, "aa"]);
  scene.read(1, 25, 99, [30, "aaa"]);
  scene.read(2, 39, 39, [20, "bb"]);
  scene.read(2, 9, 9, null);
  scene.read(3, 99, 99, null);
  scene.history.syncs.push({ client: "c2", began: scene.history.tick(), last: tid(30) });
  // Nobody knows about these, so that both are right.
  scene.write("c3", 40, { 2: [20, "bbb"] });
  scene.attempt(3).outcome = { kind: "unknown" };
  scene.history.begin("c4").writes.set(oid(9), { base: tid(0), data: "x" });
  // What ends after another one began may be before or after it.
  const early = scene.history.begin("c5");
  scene.write("c6", 60, { 5: [0, "x"] });
  early.writes.set(oid(6), { base: tid(0), data: "y" });
  scene.history.end(early, { kind: "committed", tid: tid(50) });
  const objects = new Map([[oid(6), "y"]]);
  scene.committed.splice(-1, 0, {
    tid: tid(50),
    ttid: tid(49),
    description: early.id,
    objects,
  });
  assert.deepEqual(scene.check(), []);
});

testBug(
  "an acknowledged transaction that is lost",
  ({ committed }) => committed.pop(),
  /acknowledged transaction 'c1\/2' is lost/,
);
testBug(
  "a transaction that is there in part",
  ({ committed }) => committed[0]?.objects.delete(oid(2)),
  /'c1\/0' is there without its object 0000000000000002/,
  // It is what the next one was based on.
  /'c2\/1' .* was based on 000000000000000a of 0000000000000002, but follows 0000000000000000/,
);
testBug(
  "data that nobody stored",
  (scene) => scene.last().objects.set(oid(1), "z"),
  /'c1\/2' stored aaa in 0000000000000001, not z/,
);
testBug(
  "an object that the transaction did not store",
  (scene) => scene.last().objects.set(oid(7), "z"),
  /'c1\/2' never stored object 0000000000000007/,
);
testBug(
  "a transaction that failed and is there",
  (scene) => scene.attempt(2).outcome = { kind: "failed", why: "a conflict" },
  /'c1\/2' failed \(a conflict\) and is committed as 000000000000001e/,
);
testBug(
  "a transaction that is there under another tid",
  (scene) => scene.attempt(2).outcome = { kind: "committed", tid: tid(31) },
  /'c1\/2' was committed as 000000000000001f and is there as 000000000000001e/,
);
testBug(
  "a transaction that nobody began",
  ({ committed }) =>
    committed.push({ tid: tid(40), ttid: tid(39), description: "?", objects: new Map() }),
  /nobody began '\?', 0000000000000028/,
);
testBug(
  "a transaction that is there twice",
  (scene) => scene.committed.push({ ...scene.last(), tid: tid(40), objects: new Map() }),
  /transaction 'c1\/2' is there twice/,
  /was committed as 000000000000001e and is there as 0000000000000028/,
  /'c1\/2' is there without its object/,
  /'c1\/2' .* was based on/,
);
testBug(
  "an update that is lost",
  (scene) => scene.write("c3", 40, { 1: [20, "other"] }),
  /'c3\/3' .* was based on 0000000000000014 of 0000000000000001, but follows 000000000000001e/,
);
testBug(
  "a check that was not respected",
  (scene) => scene.attempt(2).checks.set(oid(2), tid(10)),
  /'c1\/2' .* was based on 000000000000000a of 0000000000000002, but follows 0000000000000014/,
);
testBug(
  "tids that contradict the order of acknowledgement and beginning",
  (scene) => {
    scene.write("c3", 40, { 3: [0, "x"] });
    scene.write("c3", 35, { 4: [0, "x"] });
    scene.committed.sort((a, b) => Number(a.tid - b.tid));
  },
  /'c3\/4' is 0000000000000023, but began after 0000000000000028/,
);
testBug(
  "tids that do not increase",
  ({ committed }) => committed.reverse(),
  /transaction 0000000000000014 is not after 000000000000001e/,
  /transaction 000000000000000a is not after 0000000000000014/,
  /'c1\/2' .* was based on/,
);
testBug(
  "a read of what is too old",
  (scene) => scene.read(1, 30, 30, [20, "aa"]),
  /c1 read .*: it saw 0000000000000014, not 000000000000001e/,
);
testBug(
  "a read of what is not visible yet",
  (scene) => scene.read(1, 20, 25, [30, "aaa"]),
  /c1 read .*: it saw 000000000000001e, not 0000000000000014/,
);
testBug(
  "a read of the wrong data",
  (scene) => scene.read(1, 20, 20, [20, "a"]),
  /c1 read .*: it saw a of 0000000000000014, not aa/,
);
testBug(
  "a read that sees nothing",
  (scene) => scene.read(1, 20, 30, null),
  /c1 read .*: it did not see anything/,
);
testBug(
  "a client that does not see what was acknowledged",
  ({ history }) => history.syncs.push({ client: "c2", began: history.tick(), last: tid(20) }),
  /c2 was synchronized up to 0000000000000014, without 'c1\/2' 000000000000001e/,
);

/** A scene where the last transaction is undone. */
function undone(data: string, change: (scene: Scene) => void = () => {}): (scene: Scene) => void {
  return (scene) => {
    change(scene);
    const attempt = scene.write("c4", 50, { 1: [30, data] });
    attempt.writes.clear();
    attempt.undone = tid(30);
  };
}

Deno.test("checkHistory() accepts what comes too late when the deletion was packed", () => {
  const scene = new Scene();
  scene.write("c1", 40, { 2: [20, null] });
  scene.write("c2", 50, { 2: [20, "late"] });
  assert.match(scene.check(39).join(), /was based on 0{14}14 of 0{15}2, but follows 0{14}28/);
  assert.deepEqual(scene.check(40), []);
});

Deno.test("checkHistory() accepts an undo, and one that is merged with what came later", () => {
  const scene = new Scene();
  undone("aa")(scene);
  assert.deepEqual(scene.check(), []);
  const merged = new Scene();
  undone("merged", (scene) => scene.write("c3", 40, { 1: [30, "later"] }))(merged);
  merged.attempt(4).merges = true;
  assert.deepEqual(merged.check(), []);
});

testBug(
  "an undo that does not bring back what was before",
  undone("a"),
  /'c4\/3' undid .*: it has a, not aa/,
);
testBug(
  "an undo that drops what came later",
  undone("aa", (scene) => scene.write("c3", 40, { 1: [30, "later"] })),
  /'c4\/4' undid .*, which had been changed since/,
);
testBug(
  "an undo of what is not there",
  (scene) => {
    undone("aa")(scene);
    scene.attempt(3).undone = tid(31);
  },
  /'c4\/3' never stored object/,
  /'c4\/3' undid 000000000000001f, which is not there/,
);
