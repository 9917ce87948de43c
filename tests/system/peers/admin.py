"""An admin that joins our master.

    admin.py MASTER CLUSTER STORAGES

It starts the new cluster when so many storages are there, checks what it is told on the way, and
then prints each state of the partition table as a line of JSON, for ever.
"""

import asyncio
import json
import sys

from cluster_view import ClusterView
from connection import ACCEPTS, Connection, address, run
from wire import ClusterStates, ErrorCodes, NodeStates, NodeTypes


def say(**event):
    print(json.dumps(event), flush=True)


async def main(master, cluster, count):
    view = ClusterView(NodeTypes.ADMIN)
    connection = await Connection.open("master", address(master), ACCEPTS["ADMIN", "MASTER"])
    connection.observe = view.observe
    await connection.ask("RequestIdentification", NodeTypes.ADMIN, None, [b"127.0.0.1", 4],
                         cluster.encode(), None, {b"backup": []})
    await connection.expect("NotifyNodeInformation")
    assert (await connection.expect("SendPartitionTable"))[0] is None
    assert await connection.ask("AskClusterState") == [ClusterStates.RECOVERING]
    assert await connection.ask("AskRecovery") == [None, None, None]

    def storages(state):
        return [nid for nid, node in view.nodes.items()
                if node[0] is NodeTypes.STORAGE and node[2] is state]
    if not storages(NodeStates.PENDING):
        refusal = await connection.refused("SetClusterState", ClusterStates.VERIFYING)
        assert refusal.code == ErrorCodes.DENIED
    await connection.until("storages come", lambda: len(storages(NodeStates.PENDING)) == int(count))
    # A storage that was not asked for what it has yet keeps the cluster from starting.
    while True:
        try:
            text = await connection.ask("SetClusterState", ClusterStates.VERIFYING)
            break
        except Exception as e:
            assert getattr(e, "code", None) == ErrorCodes.DENIED, e
            await asyncio.sleep(0.01)
    assert text == "Cluster state changed"

    while (name := (await connection.next("NotifyNodeInformation", "SendPartitionTable"))[0]) \
            != "SendPartitionTable":
        pass
    assert name == "SendPartitionTable" and view.ptid == 1 and all(view.rows)
    assert len(storages(NodeStates.RUNNING)) == int(count), "they were announced before"
    assert await connection.expect("NotifyClusterInformation") == [ClusterStates.VERIFYING]
    assert await connection.expect("NotifyClusterInformation") == [ClusterStates.RUNNING]
    assert await connection.ask("AskClusterState") == [ClusterStates.RUNNING]
    refusal = await connection.refused("SetClusterState", ClusterStates.VERIFYING)
    assert refusal.code == ErrorCodes.DENIED
    say(event="running")
    connection.patience = None
    while True:
        name, _, _ = await connection.next(
            "NotifyNodeInformation", "NotifyPartitionChanges", "NotifyClusterInformation")
        if name == "NotifyPartitionChanges":
            say(event="table", ptid=view.ptid, rows=[
                {nid: state.name for nid, state in row} for row in view.rows])
        elif name == "NotifyNodeInformation":
            say(event="nodes", storages={nid: node[2].name for nid, node in view.nodes.items()
                                         if node[0] is NodeTypes.STORAGE})


run(main, *sys.argv[1:])
