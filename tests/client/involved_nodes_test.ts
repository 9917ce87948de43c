import assert from "node:assert/strict";
import { InvolvedNodes } from "../../client/involved_nodes.ts";
import type { Session } from "../../client/session.ts";
import type { StorageLinks } from "../../client/storage_links.ts";
import type { Connection } from "../../network/connection.ts";
import { PartitionTable } from "../../node/partition_table.ts";
import { CellState } from "../../protocol/enums.ts";
import type { Nid } from "../../protocol/nodes.ts";

/** Two cells of one partition, on storages whose connections are opened by the test. */
function scene() {
  const table = new PartitionTable();
  const cell = (nid: Nid) => ({ nid, state: CellState.UP_TO_DATE });
  table.load({ ptid: 1, replicas: 1, rows: [[cell(1), cell(2)]] });
  const opening = new Map<Nid, PromiseWithResolvers<Connection | null>>();
  const open = new Map<Nid, Connection>();
  const links: Pick<StorageLinks, "get" | "connect" | "retain" | "release"> = {
    get: (nid) => open.get(nid) ?? null,
    connect: (nid) => {
      const outcome = Promise.withResolvers<Connection | null>();
      opening.set(nid, outcome);
      return outcome.promise;
    },
    retain() {},
    release() {},
  };
  const nodes = new InvolvedNodes({ table } as Session, links as StorageLinks);
  const connected = (nid: Nid) => {
    const connection = {} as Connection;
    open.set(nid, connection);
    opening.get(nid)?.resolve(connection);
  };
  const discard = (nid: Nid) => {
    const cells = [{ partition: 0, nid, state: CellState.DISCARDED }];
    table.change({ ptid: 2, replicas: 1, cells });
  };
  return { nodes, connected, discard, opening };
}

Deno.test("InvolvedNodes.connect() leaves out a node that loses its cell meanwhile", async () => {
  const { nodes, connected, discard, opening } = scene();
  const found = nodes.connect(0);
  connected(2);
  discard(2);
  connected(1);
  assert.deepEqual((await found).map(([nid]) => nid), [1]);
  assert.deepEqual(nodes.nids, [1]);
  assert.deepEqual([...opening.keys()], [1, 2]);
});

Deno.test("InvolvedNodes.connect() remembers a node that can't be reached, if it has a cell", async () => {
  const { nodes, connected, opening } = scene();
  const found = nodes.connect(0);
  opening.get(2)?.resolve(null);
  connected(1);
  assert.deepEqual((await found).map(([nid]) => nid), [1]);
  assert.deepEqual([nodes.isLost(2), nodes.isLost(1)], [true, false]);

  const other = scene();
  const searched = other.nodes.connect(0);
  other.discard(2);
  other.opening.get(2)?.resolve(null);
  other.connected(1);
  await searched;
  assert.deepEqual(other.nodes.nids, [1]);
});
