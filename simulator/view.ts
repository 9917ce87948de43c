/**
 * The cluster as its primary master sees it, from the description that it gives for people.
 *
 * @module
 */

import type { SimulatedNode } from "./node.ts";

/** A storage as the primary sees it. */
interface StorageView {
  readonly host: string;
  readonly state: string;
  readonly connected: boolean;
}

/** What a master knows. */
export interface ClusterView {
  readonly storages: readonly StorageView[];
  /** The cells of each partition: ids and states, one letter each. */
  readonly rows: readonly (readonly { readonly nid: number; readonly state: string }[])[];
}

/** What the primary of a cluster in operation knows; `null` if there is none. */
export function primaryView(masters: readonly SimulatedNode[]): ClusterView | null {
  const dump = masters.map((master) => master.dump()).find((dump) =>
    /^cluster \w+, RUNNING$/m.test(dump)
  );
  if (dump === undefined) return null;
  const storages = [...dump.matchAll(/^\s+S\d+ \((\w+):\d+\) (\w+)(, connected)?$/gm)];
  return {
    storages: storages.map(([, host = "", state = "", connected]) => (
      { host, state, connected: connected !== undefined }
    )),
    rows: [...dump.matchAll(/^\s+\d+:(( S\d+:[A-Z])+)$/gm)].map(([, row = ""]) =>
      [...row.matchAll(/S(\d+):([A-Z])/g)].map(([, nid, state = ""]) => ({
        nid: Number(nid),
        state,
      }))
    ),
  };
}

/**
 * Whether a storage does what it is there for, with the present master; one that is pending waits for
 * an operator.
 */
export function operates({ name, dump }: SimulatedNode, view: ClusterView): boolean {
  const known = view.storages.find(({ host }) => host === name);
  if (known === undefined || !known.connected) return false;
  return known.state === "PENDING" ||
    known.state === "RUNNING" && /, operational$/m.test(dump());
}
