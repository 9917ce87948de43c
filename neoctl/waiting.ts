/**
 * Waiting until what was ordered is done.
 *
 * @module
 */

import { CellState, ClusterState } from "../protocol/enums.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { AdminSession } from "./admin_session.ts";
import { CommandError } from "./errors.ts";

/** Milliseconds between two looks at the cluster. */
const INTERVAL = 200;

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

/** Waits until the admin ends, which it does as the last one. */
export async function untilStopped(admin: AdminSession): Promise<void> {
  try {
    await poll(admin, async () => {
      await admin.ask("AskClusterState", {});
      return false;
    });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
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
