/**
 * Whether a client sees the same history as the databases of the storages have.
 *
 * @module
 */

import type { Client } from "../client/mod.ts";
import { hexId, type Oid } from "../protocol/ids.ts";
import type { Committed } from "./history.ts";

/** Iterates over all transactions, and returns what differs from what storages have. */
export async function checkIteration(
  client: Client,
  transactions: readonly Committed[],
): Promise<string[]> {
  const expected = new Map(transactions.map((transaction) => [transaction.tid, transaction]));
  const decoder = new TextDecoder();
  const problems: string[] = [];
  for await (const transaction of client.iterator()) {
    const { tid, description } = transaction;
    const objects = new Map<Oid, string | null | undefined>();
    for await (const { oid, data } of transaction.records()) {
      objects.set(oid, data === null ? null : decoder.decode(data));
    }
    const found = describe(decoder.decode(description), objects);
    const wanted = expected.get(tid);
    expected.delete(tid);
    if (wanted === undefined) problems.push(`an iteration finds ${hexId(tid)} (${found})`);
    else if (describe(wanted.description, wanted.objects) !== found) {
      problems.push(
        `an iteration finds ${found} as ${hexId(tid)}, not ` +
          describe(wanted.description, wanted.objects),
      );
    }
  }
  for (const { tid, description } of expected.values()) {
    problems.push(`an iteration does not find ${hexId(tid)} (${description})`);
  }
  return problems;
}

function describe(
  description: string,
  objects: ReadonlyMap<Oid, string | null | undefined>,
): string {
  const texts = [...objects].map(([oid, data]) => `${hexId(oid)}: ${data}`).sort();
  return `'${description}' with ${texts.join(", ")}`;
}
