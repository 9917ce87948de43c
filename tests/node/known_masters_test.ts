import assert from "node:assert/strict";
import { KnownMasters } from "../../node/known_masters.ts";
import { type Address, formatAddress } from "../../protocol/nodes.ts";

const [a, b, c] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((host) => ({ host, port: 1 })) as [
  Address,
  Address,
  Address,
];

Deno.test("KnownMasters keeps those of the operator, and forgets others the primary does not know", () => {
  const saved: string[][] = [];
  const masters = new KnownMasters([a], (list) => saved.push(list.map(formatAddress)));
  masters.learn(b);
  masters.learn({ ...b });
  masters.learn({ ...a });
  assert.deepEqual(masters.addresses, [a, b]);
  assert.deepEqual(saved, [], "what was only heard of");
  masters.replace([c]);
  assert.deepEqual(masters.addresses, [a, c]);
  assert.deepEqual(saved, [["10.0.0.3:1"]]);
});
