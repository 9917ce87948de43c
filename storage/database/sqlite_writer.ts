/**
 * The thread that writes to a SQLite database, so that the one of the node never waits for a disk.
 *
 * @module
 */

import type { Write } from "./sql.ts";
import type { SqliteAddress } from "./sqlite_address.ts";
import { SqliteConnection } from "./sqlite_connection.ts";

/** What the thread is asked, one request at a time. */
export type WriterRequest =
  | { readonly type: "open"; readonly address: SqliteAddress }
  | { readonly type: "commit"; readonly writes: readonly Write[]; readonly durable: boolean }
  | { readonly type: "close" };

/** What it answers: `busy` any number of times, then one of the others. */
export type WriterAnswer =
  | { readonly type: "busy" }
  | { readonly type: "done" }
  | { readonly type: "failed"; readonly message: string };

/** The part of a worker's global scope that is used. */
interface WriterScope {
  onmessage: ((event: MessageEvent<WriterRequest>) => void) | null;
  postMessage(answer: WriterAnswer): void;
}

const scope = globalThis as unknown as WriterScope;
let connection: SqliteConnection | null = null;

function execute(request: WriterRequest): void {
  switch (request.type) {
    case "open":
      connection = new SqliteConnection(request.address);
      return;
    case "commit":
      connection?.commit(
        request.writes,
        request.durable,
        () => scope.postMessage({ type: "busy" }),
      );
      return;
    case "close":
      connection?.close();
  }
}

scope.onmessage = ({ data }) => {
  try {
    execute(data);
    scope.postMessage({ type: "done" });
  } catch (error) {
    scope.postMessage({
      type: "failed",
      message: error instanceof Error ? error.message : String(error),
    });
  }
};
