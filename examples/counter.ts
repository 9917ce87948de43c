/**
 * Increments a counter that others increment too: a conflict means that the transaction must be done
 * again, with what was committed meanwhile.
 *
 * ```sh
 * deno run --allow-net examples/counter.ts neo://test@127.0.0.1:10000
 * ```
 */

import { type Client, connect, type Oid, POSError, POSKeyError, toOid } from "../client/mod.ts";

const COUNTER = toOid(1_000_000);

async function read(client: Client, oid: Oid) {
  try {
    const { data, serial } = await client.load(oid);
    return { value: Number(new TextDecoder().decode(data)), serial };
  } catch (error) {
    if (error instanceof POSKeyError) return { value: 0, serial: null };
    throw error;
  }
}

async function increment(client: Client): Promise<number> {
  for (;;) {
    // What others committed before now must be known.
    await client.sync();
    const { value, serial } = await read(client, COUNTER);
    try {
      await using transaction = await client.begin({ description: "increment" });
      await transaction.store(COUNTER, serial, new TextEncoder().encode(`${value + 1}`));
      await transaction.commit();
      return value + 1;
    } catch (error) {
      if (!(error instanceof POSError && error.transient)) throw error;
    }
  }
}

const [uri = "neo://test@127.0.0.1:10000"] = Deno.args;
await using client = await connect(uri);
console.log(await increment(client));
