"""A master and a storage in one program, for clients and admins of ours.

    one_node_cluster.py CLUSTER

It prints what happens as lines of JSON, for ever. Descriptions of transactions tell it what to do:
"lose the answer" commits and hangs up, "lose the request" hangs up, "compete" commits another
transaction on the same objects just behind.
"""

import asyncio
import sys
import time

from client import encode_data
from connection import Closed, Connection, on_wire, run
from storage import Pending, Storage, say
from wire import (MAX_TID, ZERO, CellStates, ClusterStates, ErrorCodes, NodeStates, NodeTypes,
                  Violation, p64, u64)

NP = 3
M1, S1, C1, A1 = -0x0FFFFFFF, 1, -0x1FFFFFFF, -0x2FFFFFFF

CLIENT_REQUESTS = {
    "AskBeginTransaction", "AskNewOIDs", "FailedVote", "AskFinishTransaction", "AskFinalTID",
    "AbortTransaction", "AskPackOrders", "WaitForPack"}
ADMIN_REQUESTS = {
    "SetClusterState", "SetNodeState", "AddPendingNodes", "TweakPartitionTable", "SetNumReplicas",
    "Repair", "CheckReplicas", "Truncate"}
QUESTIONS = {"AskClusterState", "AskRecovery", "AskLastIDs", "AskLastTransaction"}


class Master:
    def __init__(self, cluster):
        self.cluster = cluster.encode()
        self.storage = Storage(None, cluster)
        self.attempts = 0
        self.last_tid = ZERO
        self.last_oid = 0
        self.allocated = 0
        self.outcomes = {}
        self.pending = {}
        self.lost_client = None

    def now(self):
        return time.time()

    async def run(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.where = server.sockets[0].getsockname()[:2]
        storage = await asyncio.start_server(self.storage.serve_client, "127.0.0.1", 0)
        self.nodes = [
            [NodeTypes.STORAGE, on_wire(storage.sockets[0].getsockname()[:2]), S1,
             NodeStates.RUNNING, self.now()],
            [NodeTypes.MASTER, on_wire(self.where), M1, NodeStates.RUNNING, None]]
        self.rows = [[[S1, CellStates.UP_TO_DATE]] for _ in range(NP)]
        self.storage.view.nid = S1
        self.storage.view.rows = self.rows
        self.storage.operational = True
        say(event="listening", port=self.where[1])
        await asyncio.get_running_loop().create_future()

    async def serve(self, reader, writer):
        connection = Connection("peer", reader, writer, {"RequestIdentification"})
        connection.patience = None
        try:
            node_type = await self.identify(connection)
            if node_type is None:
                return
            while True:
                name, msg_id, args = await connection.next(*connection.accepts, "FlushLog")
                answer = getattr(self, f"on_{name}")(connection, *args)
                if answer is not None:
                    connection.answer(msg_id, *answer)
        except Closed:
            pass
        except Exception as e:
            say(event="violation", text=f"{type(e).__name__}: {e}")
            raise
        finally:
            connection.close()

    async def identify(self, connection):
        _, msg_id, args = await connection.next("RequestIdentification")
        node_type, nid, where, name, id_timestamp, extra = args
        if name != self.cluster or id_timestamp is not None:
            raise Violation(f"identified as {args}")
        if node_type is NodeTypes.CLIENT:
            return await self.identify_client(connection, msg_id, nid, where, extra)
        if node_type is not NodeTypes.ADMIN or where is None or extra != {b"backup": []}:
            raise Violation(f"identified as {args}")
        self.welcome(connection, msg_id, [node_type, where, A1, NodeStates.RUNNING, self.now()])
        connection.accepts = ADMIN_REQUESTS | QUESTIONS
        say(event="admin")
        return node_type

    async def identify_client(self, connection, msg_id, nid, where, extra):
        self.attempts += 1
        if where is not None or extra != {} or nid != self.lost_client:
            raise Violation(f"a client identified with {nid}, {where}, {extra}")
        if self.attempts == 1:
            # It has to come again, wherever it was sent; soon, as masters may be about to agree.
            connection.send("NotPrimaryMaster", None, [on_wire(self.where), [b"127.0.0.1", 1]])
            connection.close()
            return None
        if self.attempts == 2:
            self.attempted = time.monotonic()
            connection.answer(
                msg_id, "Error", int(ErrorCodes.NOT_READY), b"the cluster is not running")
            await asyncio.sleep(0)
            connection.close()
            return None
        if self.attempts == 3 and time.monotonic() - self.attempted < 0.5:
            raise Violation("came again at once, although it was told to come later")
        client = [NodeTypes.CLIENT, None, C1, NodeStates.RUNNING, self.now()]
        self.storage.view.nodes[C1] = (NodeTypes.CLIENT, None, NodeStates.RUNNING, client[4])
        self.lost_client = C1
        self.welcome(connection, msg_id, client)
        connection.accepts = {"AskLastTransaction"}
        return NodeTypes.CLIENT

    def welcome(self, connection, msg_id, node):
        connection.answer(msg_id, "AcceptIdentification", NodeTypes.MASTER, M1, node[2])
        connection.send("NotifyNodeInformation", self.now(), [node, *self.nodes])
        connection.send("SendPartitionTable", 1, 0, self.rows)

    # Questions

    def on_AskLastTransaction(self, connection):
        if connection.accepts == {"AskLastTransaction"}:
            # Only now a client knows where it stands; nothing else may come before.
            connection.accepts = CLIENT_REQUESTS | {"AskLastTransaction"}
        return "AnswerLastTransaction", self.last_tid

    def on_AskClusterState(self, connection):
        return "AnswerClusterState", ClusterStates.RUNNING

    def on_AskRecovery(self, connection):
        return "AnswerRecovery", 1, None, None

    def on_AskLastIDs(self, connection):
        return "AnswerLastIDs", self.last_tid, p64(self.last_oid), MAX_TID

    # Orders of admins are refused, with a text that tools should show.

    def on_FlushLog(self, connection):
        say(event="flush")

    def __getattr__(self, name):
        if name.startswith("on_") and name[3:] in ADMIN_REQUESTS:
            return lambda connection, *args: (
                "Error", int(ErrorCodes.DENIED), f"no {name[3:]} here".encode())
        raise AttributeError(name)

    # Transactions

    def allocate(self, partition=None):
        """A tid greater than all others."""
        minute = 0x040D2F47 + int(time.monotonic())
        number = max(minute << 32, self.allocated + 1)
        if partition is not None:
            number += (partition - number) % NP
        self.allocated = number
        return p64(number)

    def on_AskNewOIDs(self, connection, count):
        if not 1 <= count <= 10000:
            raise Violation(f"{count} oids")
        first = self.last_oid + 1
        self.last_oid += count
        return "AnswerNewOIDs", [p64(first + n) for n in range(count)]

    def on_AskBeginTransaction(self, connection, tid):
        if tid is not None:
            raise Violation("imposed tid")
        ttid = self.allocate()
        self.pending[ttid] = connection
        return "AnswerBeginTransaction", ttid

    def on_AbortTransaction(self, connection, ttid, nids):
        if self.pending.pop(ttid, None) is not connection or not set(nids) <= {S1}:
            raise Violation(f"abort of {ttid.hex()} on {nids}")
        self.storage.forget(ttid)
        say(event="aborted", nodes=nids)

    def on_AskFinishTransaction(self, connection, ttid, oids, deleted, checked, pack):
        if self.pending.pop(ttid, None) is not connection:
            raise Violation("finish of an unknown transaction")
        pending = self.storage.pending[ttid]
        if not pending.voted or pack is not None:
            raise Violation("finish before the vote")
        alive = {oid for oid, (record, _) in pending.stores.items()
                 if record[2] or record[1] != bytes(20) or record[3] is not None}
        gone = {u64(oid) % NP for oid in set(pending.stores) - alive}
        only_checked = {u64(oid) % NP for oid in pending.locks - set(pending.stores)}
        # Deleted objects may be listed, for other clients to be told about them.
        if not alive <= set(oids) <= set(pending.stores) or len(oids) != len(set(oids)):
            raise Violation(f"finish with {oids} instead of {alive}")
        if set(deleted) != gone or set(checked) != only_checked:
            raise Violation(f"finish with {deleted} and {checked}")
        description = pending.metadata[1]
        if description == b"lose the request":
            connection.close()
            self.outcomes[ttid] = None
            self.storage.forget(ttid)
            return None
        tid = self.commit(ttid)
        self.outcomes[ttid] = tid
        if description == b"lose the answer":
            connection.close()
            return None
        if description == b"compete":
            asyncio.get_running_loop().call_soon(self.compete, connection, oids, tid)
        return "AnswerTransactionFinished", ttid, tid

    def commit(self, ttid):
        tid = self.allocate(u64(ttid) % NP)
        pending = self.storage.pending.pop(ttid)
        self.storage.transactions[tid] = pending.metadata
        for oid, (record, _) in pending.stores.items():
            self.storage.objects.setdefault(oid, {})[tid] = record
        self.last_tid = tid
        return tid

    def compete(self, connection, oids, serial):
        ttid = self.allocate()
        pending = self.storage.pending[ttid] = Pending()
        pending.metadata = b"", b"", b"", oids
        for oid in oids:
            pending.stores[oid] = (*encode_data(b"competition"), None), serial
        connection.send("InvalidateObjects", self.commit(ttid), oids)

    def on_AskFinalTID(self, connection, ttid):
        say(event="final tid asked")
        return "AnswerFinalTID", self.outcomes.get(ttid)

    def on_FailedVote(self, connection, ttid, nids):
        raise Violation("nothing failed")

    def on_AskPackOrders(self, connection, min_id):
        return "AnswerPackOrders", []

    def on_WaitForPack(self, connection, pack_id):
        return ("WaitedForPack",)


async def main(cluster):
    await Master(cluster).run()


run(main, *sys.argv[1:])
