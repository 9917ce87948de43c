/**
 * Sends back what it receives: the least a round trip between two processes can cost.
 *
 * @module
 */

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
for await (const conn of listener) {
  conn.setNoDelay(true);
  const buffer = new Uint8Array(1 << 16);
  for (let read = await conn.read(buffer); read !== null; read = await conn.read(buffer)) {
    for (let sent = 0; sent < read;) sent += await conn.write(buffer.subarray(sent, read));
  }
}
