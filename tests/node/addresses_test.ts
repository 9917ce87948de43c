import assert from "node:assert/strict";
import { isWildcard, parseEndpoint, parseEndpoints, resolveAddress } from "../../node/addresses.ts";
import { ConfigError, InvalidValueError } from "../../node/errors.ts";
import { expandHome } from "../../node/host.ts";
import { fakeHost } from "./fake_host.ts";

Deno.test("parseEndpoint() reads names, IPv4 and IPv6 addresses, with and without port", () => {
  assert.deepEqual(parseEndpoint("neo.example:10000"), { host: "neo.example", port: 10000 });
  assert.deepEqual(parseEndpoint("10.0.0.1:0"), { host: "10.0.0.1", port: 0 });
  assert.deepEqual(parseEndpoint("10.0.0.1"), { host: "10.0.0.1", port: null });
  assert.deepEqual(parseEndpoint("[::1]:9999"), { host: "::1", port: 9999 });
  assert.deepEqual(parseEndpoint("[::1]"), { host: "::1", port: null });
  assert.deepEqual(parseEndpoint("fe80::1:2"), { host: "fe80::1:2", port: null });
});

Deno.test("parseEndpoint() says what is wrong when the text is not an address", () => {
  for (
    const [text, message] of [
      ["", /'' is not an address: expected host:port/],
      ["a b", /expected host:port/],
      [":80", /expected host:port/],
      ["[::1", /expected host:port/],
      ["[::1]x", /expected host:port/],
      ["host:", /the port must be a number from 0 to 65535, not ''/],
      ["host:http", /not 'http'/],
      ["host:65536", /not '65536'/],
      ["a:b:c", /'a:b:c' is not a valid IPv6 address/],
      ["[a:b]:80", /'a:b' is not a valid IPv6 address/],
    ] as const
  ) {
    assert.throws(() => parseEndpoint(text), { name: InvalidValueError.name, message }, text);
  }
});

Deno.test("parseEndpoints() splits at any blank and wants a usable port", () => {
  assert.deepEqual(parseEndpoints(" a:1\n  [::2]:3 "), [
    { host: "a", port: 1 },
    { host: "::2", port: 3 },
  ]);
  assert.deepEqual(parseEndpoints("  "), []);
  assert.throws(() => parseEndpoints("a:1 b"), /'b' has no port/);
  assert.throws(() => parseEndpoints("a:0"), /'a:0' has port 0/);
});

Deno.test("resolveAddress() gives the numeric canonical form", async () => {
  const resolve = (host: string) => resolveAddress({ host, port: 1 }, fakeHost());
  assert.deepEqual(await resolve("host7"), { host: "10.0.0.7", port: 1 });
  assert.deepEqual(await resolve("1.2.3.4"), { host: "1.2.3.4", port: 1 });
  assert.deepEqual(await resolve("0:0::00:1"), { host: "::1", port: 1 });
  assert.deepEqual(await resolve("fe80::1%eth0"), { host: "fe80::1%eth0", port: 1 });
  await assert.rejects(resolve("nowhere"), {
    name: ConfigError.name,
    message: "can't resolve host name 'nowhere': unknown name",
  });
});

Deno.test("isWildcard() recognizes the addresses that can't be connected to", () => {
  assert.ok(isWildcard({ host: "0.0.0.0", port: 1 }));
  assert.ok(isWildcard({ host: "::", port: 1 }));
  assert.ok(!isWildcard({ host: "::1", port: 1 }));
});

Deno.test("expandHome() replaces ~ and ~user, unless there is no such user", async () => {
  const host = fakeHost();
  assert.equal(await expandHome("~/log", host), "/home/me/log");
  assert.equal(await expandHome("~neo/log", host), "/srv/neo/log");
  assert.equal(await expandHome("~nobody/log", host), "~nobody/log");
  assert.equal(await expandHome("/a/~", host), "/a/~");
});
