/**
 * Stores an object, changes it and reads its history.
 *
 * ```sh
 * deno run --allow-net examples/hello.ts neo://test@127.0.0.1:10000
 * ```
 */

import { connect, formatTidDate } from "../client/mod.ts";

const [uri = "neo://test@127.0.0.1:10000"] = Deno.args;
const encode = (text: string) => new TextEncoder().encode(text);
const decode = (data: Uint8Array) => new TextDecoder().decode(data);

await using client = await connect(uri, { signal: AbortSignal.timeout(10_000) });
const oid = await client.newOid();

await using creation = await client.begin({ user: "alice", description: "creation" });
await creation.store(oid, null, encode("hello"));
const created = await creation.commit();

await using change = await client.begin({ user: "bob", description: "change" });
await change.store(oid, created, encode("hello, world"));
const changed = await change.commit();

console.log("now:", decode((await client.load(oid)).data));
const before = await client.loadBefore(oid, changed);
if (before !== null) console.log("before:", decode(before.data));
for (const { tid, user, description } of await client.history(oid, 10)) {
  console.log(formatTidDate(tid), decode(user), decode(description));
}
