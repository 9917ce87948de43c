import assert from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { NodeType } from "../../protocol/enums.ts";
import {
  formatAddress,
  nidOf,
  nodeName,
  nodeTypeOf,
  parseNodeName,
  sameAddress,
} from "../../protocol/nodes.ts";

const FIRST: readonly (readonly [NodeType, number, string])[] = [
  [NodeType.STORAGE, 1, "S1"],
  [NodeType.MASTER, -268435455, "M1"],
  [NodeType.CLIENT, -536870911, "C1"],
  [NodeType.ADMIN, -805306367, "A1"],
];

Deno.test("nidOf(), nodeName(), nodeTypeOf() and parseNodeName() agree on the first ids", () => {
  for (const [type, nid, name] of FIRST) {
    assert.equal(nidOf(type, 1), nid);
    assert.equal(nodeName(nid), name);
    assert.equal(nodeTypeOf(nid), type);
    assert.equal(parseNodeName(name), nid);
  }
  assert.equal(nodeName(null), "None");
});

Deno.test("parseNodeName() is the inverse of nodeName()", () => {
  const type = fc.constantFrom(
    NodeType.MASTER,
    NodeType.STORAGE,
    NodeType.CLIENT,
    NodeType.ADMIN,
  );
  fc.assert(fc.property(type, fc.integer({ min: 1, max: 0xffffff }), (type, n) => {
    const nid = nidOf(type, n);
    assert.equal(nodeTypeOf(nid), type);
    assert.equal(parseNodeName(nodeName(nid)), nid);
  }));
});

Deno.test("parseNodeName() gives null when it is no name of a node", () => {
  for (const text of ["", "S", "S0", "S01", "X1", "s1", "S1 ", "S16777216", "S-1", "S1.5"]) {
    assert.equal(parseNodeName(text), null, text);
  }
});

Deno.test("nodeTypeOf() gives null when an id is in no namespace", () => {
  for (const nid of [0, 0x10000000, -0x10000000, -0x20000000, -0x30000000, 1.5]) {
    assert.equal(nodeTypeOf(nid), null, String(nid));
  }
});

Deno.test("formatAddress() puts brackets around IPv6 hosts", () => {
  assert.equal(formatAddress({ host: "127.0.0.1", port: 80 }), "127.0.0.1:80");
  assert.equal(formatAddress({ host: "::1", port: 80 }), "[::1]:80");
});

Deno.test("sameAddress() compares by value", () => {
  const address = { host: "::1", port: 80 };
  assert.ok(sameAddress(address, { ...address }));
  assert.ok(!sameAddress(address, { ...address, port: 81 }));
  assert.ok(!sameAddress(address, null));
  assert.ok(sameAddress(null, null));
});
