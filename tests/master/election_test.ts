import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import {
  type Candidacy,
  candidacyOf,
  concedes,
  concedesTo,
  defects,
  directions,
  precedes,
} from "../../master/election.ts";
import type { Address } from "../../protocol/nodes.ts";

const at = (host: string, port = 10000): Address => ({ host, port });
const since = (time: number, address = at("10.0.0.1")): Candidacy => ({ since: time, address });

Deno.test("precedes() prefers who runs longer, then the smaller address", () => {
  assert(precedes(since(1, at("b")), since(2, at("a"))));
  assert(precedes(since(1, at("a", 2)), since(1, at("b", 1))));
  assert(precedes(since(1, at("a", 1)), since(1, at("a", 2))));
  assert(precedes(since(1, at("10.0.0.10")), since(1, at("10.0.0.9"))), "hosts are texts");
});

Deno.test("precedes() is a strict total order, so that there is one winner", () => {
  const candidate = fc.record({
    since: fc.constantFrom(1.5, 2, 3),
    address: fc.record({
      host: fc.constantFrom("a", "b", "aa"),
      port: fc.integer({ min: 1, max: 3 }),
    }),
  });
  const same = (a: Candidacy, b: Candidacy) => JSON.stringify(a) === JSON.stringify(b);
  fc.assert(fc.property(candidate, candidate, candidate, (a, b, c) => {
    assert.equal(precedes(a, b) || precedes(b, a), !same(a, b));
    assert(!(precedes(a, b) && precedes(b, a)));
    if (precedes(a, b) && precedes(b, c)) assert(precedes(a, c));
  }));
});

Deno.test("concedes() only between two candidates", () => {
  assert(concedes(since(2), since(1, at("b"))));
  assert(!concedes(since(1), since(2, at("b"))));
  assert(!concedes(null, since(1)), "a primary that ended recovery");
  assert(!concedes(since(2), null), "a master that only looks for a primary");
});

Deno.test("concedesTo() a primary that is named, unless it gave up itself", () => {
  const own = at("10.0.0.1");
  assert(concedesTo(at("10.0.0.2"), own, () => false));
  assert(!concedesTo(at("10.0.0.2"), own, () => true));
  assert(!concedesTo(own, own, () => false));
  assert(!concedesTo(null, own, () => false));
});

Deno.test("defects() to a candidate as long as the primary has not accepted", () => {
  const following = { primary: at("10.0.0.1"), accepted: false };
  assert(defects(following, since(1, at("10.0.0.2"))));
  assert(!defects(following, since(1, at("10.0.0.1"))));
  assert(!defects(following, null));
  assert(!defects({ ...following, accepted: true }, since(1, at("10.0.0.2"))));
});

Deno.test("directions() name the primary to all but itself, once it is sure", () => {
  const [primary, other] = [at("10.0.0.1"), at("10.0.0.2")];
  const masters = [other, primary];
  const told = (accepted: boolean, asker: Address | null, known = masters) =>
    directions({ primary, accepted }, known, asker);
  assert.deepEqual(told(true, null), { primary: 1, masters });
  assert.deepEqual(told(true, other), { primary: 1, masters });
  assert.deepEqual(told(true, primary), { primary: null, masters });
  assert.deepEqual(told(false, null), { primary: null, masters });
  assert.deepEqual(told(true, null, [other]), { primary: null, masters: [other] });
});

Deno.test("candidacyOf() refuses a master without address, and times that can't be compared", () => {
  const address = at("10.0.0.1");
  assert.deepEqual(candidacyOf({ address, idTimestamp: 3 }), since(3));
  assert.equal(candidacyOf({ address, idTimestamp: null }), null);
  assert.throws(() => candidacyOf({ address: null, idTimestamp: null }), /must tell its address/);
  for (const idTimestamp of [NaN, Infinity, -Infinity]) {
    assert.throws(() => candidacyOf({ address, idTimestamp }), /is no time/);
  }
});
