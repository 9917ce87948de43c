"""The control tool: each of its requests, to our admin of a cluster of two storages.

    ctl.py ADMIN            asks and orders everything that leaves the cluster as it is
    ctl.py ADMIN alone      to an admin that has no master
    ctl.py ADMIN stop       stops the cluster
"""

import re
import sys

from connection import ACCEPTS, Connection, address, run
from wire import (MAX_TID, ZERO, ClusterStates, ErrorCodes, NodeStates, NodeTypes, add64)


async def connect(admin):
    return await Connection.open("admin", admin, ACCEPTS["CONTROL", "ADMIN"])


async def ask_everything(admin):
    ctl = await connect(admin)
    assert await ctl.ask("AskClusterState") == [ClusterStates.RUNNING]
    primary, = await ctl.ask("AskPrimary")
    assert primary == -0x0FFFFFFF

    nodes, = await ctl.ask("AskNodeList", None)
    by_type = {node_type: sorted(node[2] for node in nodes if node[0] is node_type)
               for node_type in NodeTypes}
    assert by_type[NodeTypes.MASTER] == [primary] and by_type[NodeTypes.STORAGE] == [1, 2]
    assert by_type[NodeTypes.ADMIN] == [-0x2FFFFFFF], by_type
    for node_type in NodeTypes:
        some, = await ctl.ask("AskNodeList", node_type)
        assert sorted(node[2] for node in some) == by_type[node_type]
        assert all(node[3] is NodeStates.RUNNING for node in some)

    ptid, replicas, rows = await ctl.ask("AskPartitionList", 0, 0, None)
    assert (ptid, replicas) == (1, 1)
    assert [sorted(nid for nid, _ in row) for row in rows] == [[1, 2]] * len(rows)
    assert await ctl.ask("AskPartitionList", 1, 3, None) == [ptid, replicas, rows[1:3]]
    assert await ctl.ask("AskPartitionList", 1, 0, None) == [ptid, replicas, rows[1:]]
    assert await ctl.ask("AskPartitionList", 0, 0, 1) == [ptid, replicas, rows], "node is ignored"
    refusal = await ctl.refused("AskPartitionList", 3, 1, None)
    assert refusal.code == ErrorCodes.PROTOCOL_ERROR

    last_tid, = await ctl.ask("AskLastTransaction")
    ids = await ctl.ask("AskLastIDs")
    assert ids[0] == last_tid > ids[2] > ZERO and ids[1] is not None, ids
    assert await ctl.ask("AskRecovery") == [ptid, None, None]
    warning, problem, summary = await ctl.ask("AskMonitorInformation")
    assert (warning, problem) == ([], [])
    assert re.fullmatch(
        rf"RUNNING; UP_TO_DATE={2 * len(rows)}; ltid={last_tid.hex()} "
        r"\(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\)", summary.decode()), summary

    ctl.send("FlushLog")
    # A dry run, and orders that change nothing or are refused.
    for order in (("TweakPartitionTable", True, []), ("SetNumReplicas", 1), ("Repair", [1, 2], True),
                  ("AddPendingNodes", []), ("CheckReplicas", {0: None, 1: 1}, ZERO, None)):
        answer = await ctl.ask(*order)
        if order[0] == "TweakPartitionTable":
            assert answer == [False, rows], answer
    for order in (
        ("SetClusterState", ClusterStates.VERIFYING), ("SetClusterState", ClusterStates.RECOVERING),
        ("SetClusterState", ClusterStates.BACKINGUP), ("SetNodeState", 99, NodeStates.DOWN),
        ("SetNodeState", 1, NodeStates.UNKNOWN), ("SetNodeState", 1, NodeStates.PENDING),
        ("SetNodeState", primary, NodeStates.DOWN), ("Repair", [7], False),
        ("SetNumReplicas", 1 << 40), ("Truncate", MAX_TID), ("Truncate", add64(ids[2], -1)),
        ("SetClusterState", ClusterStates.STARTING_BACKUP),
    ):
        refusal = await ctl.refused(*order)
        assert refusal.code == ErrorCodes.DENIED and refusal.text, (order, refusal)
    # Setting the number of replicas makes a version of the table, even if it was the same.
    assert await ctl.ask("AskPartitionList", 0, 0, None) == [ptid + 1, replicas, rows]
    ctl.close()

    for wrong in (
        ("RequestIdentification", NodeTypes.CLIENT, None, None, b"test", None, {}),
        ("RequestIdentification", NodeTypes.ADMIN, None, None, b"stranger", None, {}),
        ("AskObject", ZERO, None, None), ("AskBeginTransaction", None), ("AskFinalTID", ZERO),
    ):
        ctl = await connect(admin)
        refusal = await ctl.refused(*wrong)
        assert refusal.code == ErrorCodes.PROTOCOL_ERROR, (wrong, refusal)
        await ctl.closed()


async def alone(admin):
    for request in (("AskClusterState",), ("AskPrimary",), ("AskNodeList", None),
                    ("SetClusterState", ClusterStates.VERIFYING)):
        ctl = await connect(admin)
        refusal = await ctl.refused(*request)
        assert refusal.code == ErrorCodes.NOT_READY, refusal
        await ctl.closed()


async def stop(admin):
    ctl = await connect(admin)
    assert isinstance(await ctl.ask("SetClusterState", ClusterStates.STOPPING), str)
    await ctl.closed()


async def main(admin, what="ask_everything"):
    await {"ask_everything": ask_everything, "alone": alone, "stop": stop}[what](address(admin))
    print("ok")


run(main, *sys.argv[1:])
