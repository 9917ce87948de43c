/**
 * Waiting until what was ordered is done.
 *
 * @module
 */

import { ErrorAnswer } from "../network/handler.ts";
import { CellState, ClusterState } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { AdminSession } from "./admin_session.ts";
import { CommandError } from "./errors.ts";

/** Milliseconds between two looks at the cluster. */
const INTERVAL = 200;
/** Looks at an admin that has closed the connection, and does not end. */
const MAX_ATTEMPTS = 50;

/** Looks again and again until something is done. */
export async function poll(admin: AdminSession, done: () => Promise<boolean>): Promise<void> {
  while (!await done()) await admin.sleep(INTERVAL);
}

/** Waits until clients are served. */
export function untilServing(admin: AdminSession): Promise<void> {
  return poll(admin, async () => {
    const { state } = await admin.ask("AskClusterState", {});
    return state === ClusterState.RUNNING || state === ClusterState.BACKINGUP;
  });
}

/** Waits until clients are served again, after an order that interrupts the service. */
export async function untilServingAgain(admin: AdminSession): Promise<void> {
  // The primary answers this after the admin was told about the interruption.
  await admin.ask("AskLastTransaction", {});
  await untilServing(admin);
}

/**
 * Waits until the admin ends, which it does as the last one.
 *
 * @throws {CommandError} if it can't be known whether the cluster has stopped, or it serves again.
 */
export async function untilStopped(admin: AdminSession): Promise<void> {
  let stopping = false;
  const isLost = async () => {
    let state;
    try {
      ({ state } = await admin.ask("AskClusterState", {}));
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      // Without a master, the admin says so until it ends.
      return !(error.cause instanceof ErrorAnswer);
    }
    stopping ||= state === ClusterState.STOPPING;
    if (!stopping || state === null || state === ClusterState.STOPPING) return false;
    throw new CommandError(`ERROR: the cluster has not stopped: it is ${ClusterState[state]}`);
  };
  await poll(admin, isLost);
  for (let attempt = 0; await admin.listens(); attempt++) {
    if (attempt === MAX_ATTEMPTS) {
      throw new CommandError(
        "ERROR: connection lost: it is not known whether the cluster has stopped",
      );
    }
    await admin.sleep(INTERVAL);
  }
}

/** Waits until nothing is left to replicate, except on some nodes. */
export function untilReplicated(admin: AdminSession, except: readonly Nid[]): Promise<void> {
  return poll(admin, async () => {
    const { rows } = await admin.ask("AskPartitionList", { min: 0, max: 0, nid: null });
    return rows.flat().every(({ nid, state }) =>
      except.includes(nid) || (state !== CellState.OUT_OF_DATE && state !== CellState.FEEDING)
    );
  });
}
