"""A storage that keeps everything in memory and joins our master next to one of our storages.

    storage.py MASTER CLUSTER

It prints what happens as lines of JSON, for ever. Locks and queues are as simple as clients that do
not compete allow.
"""

import asyncio
import hashlib
import json
import sys

from cluster_view import ClusterView
from connection import ACCEPTS, Closed, Connection, address, on_wire, run
from wire import (MAX_TID, ZERO, ZERO_HASH, ClusterStates, ErrorCodes, NodeStates,
                  NodeTypes, Violation, u64)

# What our master says to a storage of a new cluster, apart from what it tells about nodes.
START = [
    "AcceptIdentification", "AskRecovery", "NotifyClusterInformation", "SendPartitionTable",
    "AskLockedTransactions", "AskLastIDs", "AskPackOrders", "NotifyClusterInformation",
    "StartOperation"]


def say(**event):
    print(json.dumps(event), flush=True)


class Failure(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Storage:
    def __init__(self, master, cluster):
        self.where = master
        self.cluster = cluster
        self.view = ClusterView(NodeTypes.STORAGE)
        self.master = None
        self.operational = False
        self.transactions = {}  # tid -> (user, description, extension, oids)
        self.objects = {}  # oid -> {tid: (compression, checksum, data, data serial)}
        self.pending = {}  # ttid -> Pending
        self.news = asyncio.Condition()
        self.said = set()

    def once(self, event):
        if event not in self.said:
            self.said.add(event)
            say(event=event)

    async def run(self):
        server = await asyncio.start_server(self.serve_client, "127.0.0.1", 0)
        me = on_wire(server.sockets[0].getsockname()[:2])
        self.master = await Connection.open(
            "master", self.where,
            ACCEPTS["STORAGE", "MASTER"] | ACCEPTS["STORAGE starting", "MASTER"])
        self.master.observe = self.view.observe
        self.master.patience = None
        await self.master.ask(
            "RequestIdentification", NodeTypes.STORAGE, None, me, self.cluster.encode(), None,
            {b"devpath": [b"rack", b"python"], b"new_nid": []})
        say(event="identified", nid=self.view.nid)
        while True:
            name, msg_id, args = await self.master.next(*self.master.accepts,
                                                        "NotifyNodeInformation")
            await getattr(self, f"on_{name}")(msg_id, *args)
            async with self.news:
                self.news.notify_all()

    # The master, before the operation

    async def on_AskRecovery(self, msg_id):
        self.master.answer(msg_id, "AnswerRecovery", None, None, None)
        say(event="pending")

    async def on_NotifyNodeInformation(self, _, timestamp, nodes):
        for _, _, nid, state, _ in nodes:
            if nid == self.view.nid and state in (NodeStates.DOWN, NodeStates.UNKNOWN):
                say(event="told to stop")
                sys.exit(0)

    async def on_NotifyClusterInformation(self, _, state):
        pass

    async def on_SendPartitionTable(self, *_):
        if self.view.nodes[self.view.nid][2] is NodeStates.PENDING:
            say(event="pending")
        else:
            assert all(self.view.nid in dict(row) for row in self.view.rows)

    async def on_NotifyPartitionChanges(self, *_):
        pass

    async def on_AskLockedTransactions(self, msg_id):
        assert self.view.state is ClusterStates.VERIFYING
        self.master.answer(msg_id, "AnswerLockedTransactions", {})

    async def on_AskLastIDs(self, msg_id):
        self.master.send("NotifyPackCompleted", ZERO)
        self.master.answer(msg_id, "AnswerLastIDs", None, None, MAX_TID)

    async def on_AskPackOrders(self, msg_id, min_id):
        assert min_id == ZERO[:7] + b"\1"
        self.master.answer(msg_id, "AnswerPackOrders", [])

    async def on_StartOperation(self, _, backup):
        assert not backup and self.view.state is ClusterStates.RUNNING
        history = [name for name in self.master.history if name != "NotifyNodeInformation"]
        assert history == START, history
        self.operational = True
        self.master.accepts = (ACCEPTS["STORAGE", "MASTER"]
                               | ACCEPTS["STORAGE operational", "MASTER"])
        self.master.send("NotifyReady")
        say(event="operational")

    # The master, during the operation

    async def on_AskLockInformation(self, msg_id, ttid, tid, pack):
        pending = self.pending[ttid]
        if not pending.voted or tid < ttid or pack:
            raise Violation("lock of a transaction that has not voted")
        if u64(ttid) % len(self.view.rows) != u64(tid) % len(self.view.rows):
            raise Violation("tid and ttid of different partitions")
        pending.tid = tid
        self.master.answer(msg_id, "AnswerInformationLocked", ttid)

    async def on_NotifyUnlockInformation(self, _, ttid):
        pending = self.pending.pop(ttid)
        if pending.tid is None or any(pending.tid <= tid for tid in self.transactions):
            raise Violation("unlocked without lock, or not in the order of tids")
        if pending.metadata is not None:
            self.transactions[pending.tid] = pending.metadata
        for oid, (record, _) in pending.stores.items():
            self.objects.setdefault(oid, {})[pending.tid] = record
        self.once("committed")

    async def on_AbortTransaction(self, _, ttid, nids):
        assert nids == []
        self.forget(ttid)

    async def on_NotifyTransactionFinished(self, _, ttid, tid):
        raise Violation("nobody asked for unfinished transactions")

    def forget(self, ttid):
        pending = self.pending.get(ttid)
        if pending is not None and pending.tid is None:
            del self.pending[ttid]

    # Clients

    async def serve_client(self, reader, writer):
        connection = Connection("client", reader, writer, {"RequestIdentification"})
        connection.patience = None
        try:
            await self.identify(connection)
            while True:
                name, msg_id, args = await connection.next(*connection.accepts)
                try:
                    answer = await getattr(self, f"from_client_{name}")(*args)
                except Failure as failure:
                    connection.answer(msg_id, "Error", int(failure.code), str(failure).encode())
                else:
                    if name != "AbortTransaction":
                        connection.answer(msg_id, f"Answer{name[3:]}", *answer)
        except Closed:
            pass
        except Exception as e:
            say(event="violation", text=f"{type(e).__name__}: {e}")
            raise

    async def identify(self, connection):
        _, msg_id, args = await connection.next("RequestIdentification")
        node_type, nid, where, name, id_timestamp, extra = args
        if not self.operational:
            raise Violation("a client came before NotifyReady")
        assert (node_type, where, name, extra) == (
            NodeTypes.CLIENT, None, self.cluster.encode(), {})
        async with self.news:
            await self.news.wait_for(lambda: nid in self.view.nodes)
        assert self.view.nodes[nid] == (
            NodeTypes.CLIENT, None, NodeStates.RUNNING, id_timestamp)
        connection.accepts = ACCEPTS["STORAGE", "CLIENT"]
        connection.answer(msg_id, "AcceptIdentification", NodeTypes.STORAGE, self.view.nid, nid)

    async def unlocked(self, concerned):
        """Waits for the end of the commits of locked transactions."""
        async with self.news:
            await self.news.wait_for(lambda: not any(
                pending.tid is not None and concerned(pending)
                for pending in self.pending.values()))

    async def from_client_AskObject(self, oid, at, before):
        assert at is None or before is None
        await self.unlocked(lambda pending: oid in pending.stores)
        self.once("loaded")
        records = self.objects.get(oid)
        if not records:
            raise Failure(ErrorCodes.OID_DOES_NOT_EXIST, oid.hex())
        tids = [tid for tid in records
                if (at is None or tid == at) and (before is None or tid < before)]
        if not tids:
            raise Failure(ErrorCodes.OID_NOT_FOUND, oid.hex())
        serial = max(tids)
        later = [tid for tid in records if tid > serial]
        compression, checksum, data, data_serial = records[serial]
        if checksum == ZERO_HASH and not data:
            compression = None
        return (oid, serial, min(later) if later else None,
                compression, checksum, data, data_serial)

    async def from_client_AskObjectHistory(self, oid, first, last):
        assert first < last
        await self.unlocked(lambda pending: oid in pending.stores)
        records = sorted(self.objects.get(oid, {}).items(), reverse=True)
        if not records:
            raise Failure(ErrorCodes.OID_NOT_FOUND, oid.hex())
        return oid, [[tid, len(record[2])] for tid, record in records[first:last]]

    async def from_client_AskTransactionInformation(self, tid):
        if tid not in self.transactions:
            raise Failure(ErrorCodes.TID_NOT_FOUND, tid.hex())
        user, description, extension, oids = self.transactions[tid]
        return tid, user, description, extension, False, oids

    async def from_client_AskTIDs(self, first, last, partition):
        assert first < last
        tids = sorted((tid for tid in self.transactions
                       if partition in (0xFFFFFFFF, u64(tid) % len(self.view.rows))), reverse=True)
        return tids[first:last],

    async def from_client_AskTIDsFrom(self, low, high, length, partition):
        await self.unlocked(lambda pending: pending.tid <= high)
        tids = sorted(tid for tid in self.transactions
                      if low <= tid <= high and u64(tid) % len(self.view.rows) == partition)
        return tids[:length],

    async def from_client_AskFinalTID(self, ttid):
        pending = self.pending.get(ttid)
        return (None if pending is None else pending.tid),

    async def from_client_AskStoreObject(
            self, oid, serial, compression, checksum, data, data_serial, ttid):
        deletion = checksum == ZERO_HASH and not data
        if not deletion and hashlib.sha1(data).digest() != checksum:
            raise Violation("bad checksum")
        if deletion and compression:
            raise Violation("compressed deletion")
        pending = self.pending.setdefault(ttid, Pending())
        if pending.voted:
            raise Violation("store after the vote")
        if (conflict := await self.lock(ttid, oid, serial)) is not None:
            return conflict,
        if data_serial is not None:
            if data_serial not in self.objects.get(oid, {}):
                raise Failure(ErrorCodes.UNDO_PACK_ERROR, "")
            if self.objects[oid][data_serial][:3] != (compression, checksum, data):
                say(event="note", text="data of an undo is not that of its data serial")
        pending.stores[oid] = (compression, checksum, data, data_serial), serial
        return None,

    async def from_client_AskCheckCurrentSerial(self, ttid, oid, serial):
        pending = self.pending.setdefault(ttid, Pending())
        if oid in pending.stores:
            raise Violation("an oid is both stored and checked")
        return await self.lock(ttid, oid, serial),

    async def lock(self, ttid, oid, serial):
        async with self.news:
            await self.news.wait_for(lambda: not any(
                other != ttid and (oid in pending.stores or oid in pending.locks)
                for other, pending in self.pending.items()))
        self.pending[ttid].locks.add(oid)
        last = max(self.objects.get(oid, ()), default=None)
        if last is None or last == serial:
            return None
        if serial > last:
            raise Violation("a store is based on a revision that does not exist")
        return last

    async def from_client_AskStoreTransaction(
            self, ttid, user, description, extension, oids, pack):
        pending = self.pending.setdefault(ttid, Pending())
        if pending.voted or len(set(oids)) != len(oids):
            raise Violation("second vote, or an oid listed twice")
        if not set(pending.stores) <= set(oids) <= set(pending.stores) | pending.locks:
            raise Violation("the objects of the transaction are others than those listed")
        pending.metadata = user, description, extension, oids
        pending.voted = True
        return ()

    async def from_client_AskVoteTransaction(self, ttid):
        raise Violation("all nodes have a cell of the partition of the ttid here")

    async def from_client_AbortTransaction(self, ttid, nids):
        assert nids == []
        self.forget(ttid)
        async with self.news:
            self.news.notify_all()


class Pending:
    """A transaction that is not finished."""

    def __init__(self):
        self.stores = {}  # oid -> (record, serial)
        self.locks = set()
        self.metadata = None
        self.voted = False
        self.tid = None


async def main(master, cluster):
    try:
        await Storage(address(master), cluster).run()
    except Closed:
        say(event="master lost")


if __name__ == "__main__":
    run(main, *sys.argv[1:])
