/** Pickles, as Python writes and reads them. */

import assert from "node:assert/strict";
import { pickle, PickleError, type PlainValue, unpickle } from "../../client/pickle.ts";
import { run } from "../support/python.ts";

const VALUE: PlainValue = {
  none: null,
  yes: true,
  no: false,
  integers: [0, 1, -1, 255, 256, 65536, -2147483648, 2147483648, 2 ** 53 - 1],
  great: [2n ** 64n, -(2n ** 63n), 2n ** 200n],
  floats: [0.5, -1e300, 1e-7, Infinity, -Infinity],
  text: "é € 𝄞 \n \\ \\u0041 \"'",
  empty: ["", [], {}],
  nested: { a: [{ b: { c: [1, [2, [3]]] } }], __proto__x: 1 },
  long: "x".repeat(300),
  many: Array.from({ length: 1500 }, (_, i) => i),
};

const PYTHON_VALUE = `{
  "none": None, "yes": True, "no": False,
  "integers": [0, 1, -1, 255, 256, 65536, -2147483648, 2147483648, 2**53 - 1],
  "great": [2**64, -2**63, 2**200],
  "floats": [0.5, -1e300, 1e-7, float("inf"), float("-inf")],
  "text": "\\u00e9 \\u20ac \\U0001d11e \\n \\\\ \\\\u0041 \\"'",
  "empty": ["", [], {}],
  "nested": {"a": [{"b": {"c": [1, [2, [3]]]}}], "__proto__x": 1},
  "long": "x" * 300,
  "many": list(range(1500)),
}`;

function fromHex(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.trim());
}

/** One Python for all: starting it is what takes time. */
async function pythonPickles(): Promise<
  { protocol: number; plain: Uint8Array; more: Uint8Array }[]
> {
  const program = `
import pickle, sys
value = ${PYTHON_VALUE}
shared = ["s"]
for protocol in range(6):
    print(pickle.dumps(value, protocol).hex())
    more = {"shared": [shared, shared], "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]}
    if protocol > 2:
        more["bytes"] = [b"", b"\\xff\\x00", b"y" * 300]
    print(pickle.dumps(more, protocol).hex())
`;
  const lines = (await run("python3", "-c", program)).trim().split("\n").map(fromHex);
  return [0, 1, 2, 3, 4, 5].map((protocol) => {
    const [plain, more] = [lines[2 * protocol], lines[2 * protocol + 1]];
    assert.ok(plain !== undefined && more !== undefined);
    return { protocol, plain, more };
  });
}

Deno.test("unpickle() reads what Python writes in all protocols", async () => {
  for (const { protocol, plain, more } of await pythonPickles()) {
    assert.deepEqual(unpickle(plain), VALUE, `protocol ${protocol}`);
    const tuples = [[], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4]];
    const bytes = [new Uint8Array(0), Uint8Array.of(0xff, 0), new Uint8Array(300).fill(0x79)];
    assert.deepEqual(unpickle(more), {
      shared: [["s"], ["s"]],
      tuples,
      ...protocol > 2 && { bytes },
    });
  }
});

Deno.test("pickle() writes what Python reads", async () => {
  const value = { ...VALUE, bytes: [new Uint8Array(0), Uint8Array.of(1, 2, 255)] };
  const program = `
import pickle, sys
value = ${PYTHON_VALUE}
value["bytes"] = [b"", b"\\x01\\x02\\xff"]
read = pickle.loads(bytes.fromhex(sys.argv[1]))
assert read == value, read
assert [type(read["yes"]), type(read["floats"][0])] == [bool, float]
print(pickle.dumps(read, 3).hex())
`;
  const back = await run("python3", "-c", program, pickle(value).toHex());
  assert.deepEqual(unpickle(fromHex(back)), value);
});

Deno.test("unpickle() gives back what pickle() was given", () => {
  for (const value of [VALUE, null, 7, -129, 2n ** 70n, 0.1, "", [], {}, [{}]]) {
    assert.deepEqual(unpickle(pickle(value)), value);
  }
  assert.throws(() => pickle({ f: (() => {}) as unknown as PlainValue }), TypeError);
  assert.throws(() => pickle({ u: undefined as unknown as PlainValue }), TypeError);
  assert.throws(() => pickle(1n << 3000n), TypeError);
});

Deno.test("unpickle() takes keys for what they are", () => {
  const read = unpickle(pickle(JSON.parse('{"__proto__": {"admin": true}, "constructor": 1}')));
  assert.deepEqual(Object.getPrototypeOf(read), Object.prototype);
  assert.deepEqual(Object.keys(read ?? {}), ["__proto__", "constructor"]);
  assert.equal(Reflect.get({}, "admin"), undefined);
});

Deno.test("unpickle() reads strings of Python 2", () => {
  const latin = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
  const pickles = ["S'a\\x41\\'\\n'\np0\n.", "U\x04aA'\n.", "T\x04\0\0\0aA'\n.", "VaA'\\u000a\n."];
  for (const text of pickles) assert.equal(unpickle(latin(text)), "aA'\n");
  assert.deepEqual(unpickle(latin("(I01\nI00\nI42\nL-7L\nL7\nF1.5\nFnan\nF-inf\nl.")), [
    true,
    false,
    42,
    -7,
    7,
    1.5,
    NaN,
    -Infinity,
  ]);
});

Deno.test("unpickle() throws nothing but PickleError when a pickle is damaged or hostile", async () => {
  const ascii = (text: string) => new TextEncoder().encode(text);
  const deep = new Uint8Array(200_001).fill(0x5d, 0, 100_000).fill(0x61, 100_000);
  deep[deep.length - 2] = deep[deep.length - 1] = 0x2e;
  const hostile = [
    ascii("V\\Uffffffff\n."), // No such character.
    deep,
    ascii("L" + "9".repeat(1_000_000) + "\n."),
    Uint8Array.from([0x8b, 0, 0, 1, 0, ...new Uint8Array(1 << 16), 0x2e]),
    ascii("Fabc\n."),
    ascii("F\n."),
    ascii("cos\nsystem\n(S'true'\ntR."),
    ascii("Pid\n."),
    ascii("(."),
    ascii("}(I1\nI2\nu."),
    ascii("}(VaVb\nu."),
    ascii("0."),
    ascii("a."),
    ascii("g1\n."),
    ascii("g" + "9".repeat(400) + "\n."),
    new Uint8Array(0),
  ];
  for (const bytes of hostile) assert.throws(() => unpickle(bytes), PickleError);
  let random = 1;
  const next = (limit: number) => {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0;
    return (random >>> 8) % limit;
  };
  const check = (bytes: Uint8Array) => {
    try {
      unpickle(bytes);
    } catch (error) {
      assert.ok(error instanceof PickleError, `${error} for ${bytes.toHex()}`);
    }
  };
  for (const { plain } of await pythonPickles()) {
    const pickled = plain.subarray(0, 600);
    for (let end = 0; end < pickled.length; end++) check(pickled.subarray(0, end));
    for (let i = 0; i < 3000; i++) {
      const damaged = pickled.slice();
      for (let n = next(4); n >= 0; n--) damaged[next(damaged.length)] = next(256);
      check(damaged);
    }
  }
});
