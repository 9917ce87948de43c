/**
 * The vote of a transaction: its last chance to fail.
 *
 * @module
 */

import { ConnectionClosed } from "../network/handler.ts";
import type { Connection } from "../network/connection.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import type { Nid } from "../protocol/nodes.ts";
import { fromAnswer } from "./answers.ts";
import { NEOStorageError } from "./errors.ts";
import { abortable } from "./waiting.ts";
import type { Writes } from "./writes.ts";

/** Metadata of a transaction. */
export interface Metadata {
  readonly user: Uint8Array;
  readonly description: Uint8Array;
  readonly extension: Uint8Array;
}

/**
 * Has all nodes involved make the transaction durable.
 *
 * @throws {ConflictError} if another transaction was first.
 * @throws {NEOStorageError} if too many nodes failed.
 * @throws {NEOPrimaryMasterLost} if the primary master was lost since the transaction began.
 */
export async function vote(
  writes: Writes,
  metadata: Metadata,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { session, ttid, nodes } = writes;
  await writes.settle(signal);
  const partition = session.partitionOf(ttid);
  const keepers = new Map(await nodes.connect(partition, signal));
  writes.checkUsable();
  if (keepers.size === 0) {
    throw new NEOStorageError(`no storage node can keep transactions of partition ${partition}`);
  }
  // Objects that were only checked are not part of what the transaction changed.
  const args = { ttid, ...metadata, oids: writes.oids("store", "delete"), pack: writes.pack };
  const votes = [...nodes.connected()].map(([nid, connection]) =>
    voteOn(writes, nid, connection, keepers.has(nid) ? args : null)
  );
  await abortable(Promise.all(votes), signal);
  if (nodes.incomplete) await checkLosses(writes, signal);
  writes.checkUsable();
}

/** Each node gets exactly one of two requests. The loss of a node is judged later. */
async function voteOn(
  { ttid, nodes }: Writes,
  nid: Nid,
  connection: Connection,
  transaction: ArgsOf<"AskStoreTransaction"> | null,
): Promise<void> {
  try {
    if (transaction !== null) await connection.ask("AskStoreTransaction", transaction);
    else await connection.ask("AskVoteTransaction", { ttid });
  } catch (error) {
    if (!(error instanceof ConnectionClosed)) throw fromAnswer(error);
    nodes.lost(nid);
  }
}

/** Whether the transaction can be committed without the nodes that were lost. */
async function checkLosses(writes: Writes, signal: AbortSignal | undefined): Promise<void> {
  const { session, ttid, nodes } = writes;
  writes.checkUsable();
  const unlocked = nodes.unlockedPartition();
  if (unlocked !== null) {
    throw new NEOStorageError(`partition ${unlocked} not fully write-locked: nodes were lost`);
  }
  const nids = nodes.lostButRunning;
  if (nids.length === 0) return;
  try {
    await abortable(session.connection.command("FailedVote", { ttid, nids }), signal);
  } catch (error) {
    // The loss of the master is told by the caller.
    if (!(error instanceof ConnectionClosed)) throw fromAnswer(error);
  }
}
