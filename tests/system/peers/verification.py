"""Two storages that follow a script, so that our master meets what real ones seldom show.

    verification.py MASTER CLUSTER

The master has the tables of nobody yet and may not start a cluster by itself.
"""

import sys

from client import Client
from cluster_view import ClusterView
from connection import ACCEPTS, Closed, Connection, address, patiently, run
from wire import (MAX_TID, ZERO, CellStates, ClusterStates, ErrorCodes, NodeStates, NodeTypes, p64,
                  u64)

NP = 2
NODES = {"NotifyNodeInformation"}
STARTING = ACCEPTS["STORAGE", "MASTER"] | ACCEPTS["STORAGE starting", "MASTER"]
OPERATIONAL = ACCEPTS["STORAGE", "MASTER"] | ACCEPTS["STORAGE operational", "MASTER"]
UP, OUT = CellStates.UP_TO_DATE, CellStates.OUT_OF_DATE


def tid(minutes, partition=0):
    """A tid of that partition, in the past."""
    return p64((0x03F00000 + minutes << 32) + partition)


class ScriptedStorage:
    """A connection to the master on which each step is said by the scenario."""

    def __init__(self, where, cluster, nid, port):
        self.where = where
        self.cluster = cluster
        self.nid = nid
        self.port = port

    async def connect(self):
        self.view = ClusterView(NodeTypes.STORAGE)
        self.master = await Connection.open(f"master of {self.nid}", self.where, STARTING)
        self.master.observe = self.observe
        accepted = await self.master.ask(
            "RequestIdentification", NodeTypes.STORAGE, self.nid, [b"127.0.0.1", self.port],
            self.cluster.encode(), None, {b"devpath": [b"host"], b"new_nid": []})
        assert accepted[2] == self.nid
        return self

    def observe(self, name, args):
        self.view.observe(name, args)
        if name == "StartOperation":
            self.master.accepts = OPERATIONAL
        elif name == "StopOperation":
            self.master.accepts = STARTING

    async def next(self, name):
        """The next message that is not about nodes."""
        while True:
            got, msg_id, args = await self.master.next(name, *NODES)
            if got == name:
                return msg_id, args

    async def expect(self, name, *args):
        _, received = await self.next(name)
        assert received == list(args), f"{name}{received} instead of {args}"

    async def answer(self, question, expected, answer, *args):
        msg_id, received = await self.next(question)
        assert received == list(expected), f"{question}{received} instead of {expected}"
        self.master.answer(msg_id, answer, *args)

    async def locked(self, ttid):
        msg_id, (asked, final, pack) = await self.next("AskLockInformation")
        assert asked == ttid and not pack
        return final, lambda: self.master.answer(msg_id, "AnswerInformationLocked", ttid)


def rows(*states):
    return [[[1, state1], [2, state2]] for state1, state2 in states]


async def recover(s1, s2):
    """The newest table wins, and all that have readable cells are waited for."""
    await s1.connect()
    await s1.answer("AskRecovery", [], "AnswerRecovery", 7, None, None)
    await s1.answer("AskPartitionTable", [], "AnswerPartitionTable", 7, 1,
                    rows((UP, UP), (OUT, UP)))
    await s2.connect()
    await s2.answer("AskRecovery", [], "AnswerRecovery", 8, None, None)
    await s2.answer("AskPartitionTable", [], "AnswerPartitionTable", 8, 1,
                    rows((UP, UP), (UP, UP)))
    for storage in (s1, s2):
        await storage.expect("NotifyClusterInformation", ClusterStates.VERIFYING)
        await storage.expect("SendPartitionTable", 8, 1, rows((UP, UP), (UP, UP)))
        assert {nid: node[2] for nid, node in storage.view.nodes.items() if nid > 0} == {
            1: NodeStates.RUNNING, 2: NodeStates.RUNNING}


async def verify(s1, s2, t):
    """What one has locked is committed by all; what nobody knows to be locked is left alone."""
    locked, final, dropped, done, done_as = t
    await s1.answer("AskLockedTransactions", [], "AnswerLockedTransactions",
                    {locked: final, dropped: None, done: None})
    await s2.answer("AskLockedTransactions", [], "AnswerLockedTransactions",
                    {locked: None, dropped: None})
    # Only the other storage may know that it was committed, as it has nothing left of it to lock.
    await s2.answer("AskFinalTID", [done], "AnswerFinalTID", done_as)
    received = sorted([(await s1.next("ValidateTransaction"))[1] for _ in range(2)])
    assert received == sorted([[locked, final], [done, done_as]])
    await s2.expect("ValidateTransaction", locked, final)
    for storage, last, oid, first in ((s1, done_as, 5, done_as), (s2, final, 40, locked)):
        msg_id, _ = await storage.next("AskLastIDs")
        storage.master.send("NotifyPackCompleted", ZERO)
        storage.master.answer(msg_id, "AnswerLastIDs", last, p64(oid), first)
    for storage in (s1, s2):
        await storage.answer("AskPackOrders", [p64(1)], "AnswerPackOrders", [])


async def operate(*storages):
    for storage in storages:
        await storage.expect("NotifyClusterInformation", ClusterStates.RUNNING)
        await storage.expect("StartOperation", False)
        storage.master.nothing_came()


async def begin_when_all_are_ready(client, *starting):
    """Nobody begins as long as a storage is between StartOperation and NotifyReady."""
    beginning = client.master.request("AskBeginTransaction", None)
    for storage in starting:
        await client.barrier()
        assert not beginning.done()
        storage.master.send("NotifyReady")
    ttid, = await patiently(beginning, "a transaction begins")
    return ttid


async def ordered_commits(client, s1, s2, ttid, last):
    """Transactions are answered in the order of their tids, whoever is locked first."""
    second, = await client.master.ask("AskBeginTransaction", None)
    assert last < ttid < second
    oid = p64(1000)
    finished = [client.master.request("AskFinishTransaction", t, [oid], [], [], None)
                for t in (ttid, second)]
    final1, lock1 = await s1.locked(ttid)
    final2, lock2 = await s1.locked(second)
    assert ttid <= final1 < final2 and u64(final1) % NP == u64(ttid) % NP
    lock1()
    lock2()
    held, lock1 = await s2.locked(ttid)
    final, lock2 = await s2.locked(second)
    assert (held, final) == (final1, final2)
    lock2()
    for storage in (s1, s2):
        await storage.master.ask("Ping")
        storage.master.nothing_came()
    await client.barrier()
    assert not any(future.done() for future in finished)
    # A question about a transaction that is being finished waits for its end.
    asked = client.master.request("AskFinalTID", ttid)
    lock1()
    assert await patiently(finished[0], "the first is finished") == [ttid, final1]
    assert await patiently(finished[1], "the second is finished") == [second, final2]
    assert await patiently(asked, "its tid is told") == [final1]
    for storage in (s1, s2):
        await storage.expect("NotifyUnlockInformation", ttid)
        await storage.expect("NotifyUnlockInformation", second)
    oids, = await client.master.ask("AskNewOIDs", 1)
    assert oids[0] > oid, "oids that were committed are not given again"
    return final2


async def failed_vote(client, s1, s2):
    """A storage that missed a write is expelled before anything is locked."""
    ttid, = await client.master.ask("AskBeginTransaction", None)
    refusal = await client.master.refused("FailedVote", ttid, [1, 2])
    assert refusal.code == ErrorCodes.INCOMPLETE_TRANSACTION
    await client.master.ask("FailedVote", ttid, [2])
    finishing = client.master.request("AskFinishTransaction", ttid, [p64(1)], [], [], None)
    await s2.master.closed()
    while (name := (await s1.master.next("NotifyNodeInformation", "NotifyPartitionChanges"))[0]) \
            != "NotifyPartitionChanges":
        pass
    assert name == "NotifyPartitionChanges" and s1.view.nodes[2][2] is NodeStates.DOWN
    assert s1.view.ptid == 9
    assert all(dict(row) == {1: UP, 2: OUT} for row in s1.view.rows)
    final, lock = await s1.locked(ttid)
    lock()
    assert await patiently(finishing, "the transaction is finished") == [ttid, final]
    await s1.expect("NotifyUnlockInformation", ttid)
    assert client.view.ptid == 9 and client.view.rows == s1.view.rows
    return final


async def comes_back(client, s1, s2, last):
    """A storage that comes back replicates; until it did, its cells are not read."""
    unfinished, = await client.master.ask("AskBeginTransaction", None)
    aborted, = await client.master.ask("AskBeginTransaction", None)
    await s2.connect()
    await s2.expect("SendPartitionTable", 9, 1, s1.view.rows)
    await s2.expect("StartOperation", False)
    ttid = await begin_when_all_are_ready(client, s2)
    answer = await s2.master.ask("AskUnfinishedTransactions", [0, 1])
    assert answer[0] == last and sorted(answer[1]) == [unfinished, aborted, ttid]
    # Begun before the storage was ready: it is told the end, and has nothing to lock.
    finishing = client.master.request("AskFinishTransaction", unfinished, [p64(1)], [], [], None)
    final, lock = await s1.locked(unfinished)
    lock()
    assert await patiently(finishing, "the transaction is finished") == [unfinished, final]
    await s2.expect("NotifyTransactionFinished", unfinished, final)
    await s1.expect("NotifyUnlockInformation", unfinished)
    client.master.send("AbortTransaction", aborted, [])
    await s2.expect("AbortTransaction", aborted, [])
    # Begun later: it takes part.
    finishing = client.master.request("AskFinishTransaction", ttid, [p64(1)], [], [], None)
    for storage in (s1, s2):
        final, lock = await storage.locked(ttid)
        lock()
    assert await patiently(finishing, "the transaction is finished") == [ttid, final]
    await s1.expect("NotifyUnlockInformation", ttid)
    received = {(await s2.master.next("NotifyUnlockInformation", "NotifyTransactionFinished"))[0]
                for _ in range(2)}
    assert len(received) == 2
    s2.master.send("NotifyReplicationDone", 0, final)
    for storage in (s1, s2):
        await storage.expect("NotifyPartitionChanges", 10, 1, [[0, 2, UP]])
    await client.barrier()
    assert client.view.ptid == 10
    assert [sorted(nid for nid, state in row if state is UP) for row in client.view.rows] == [
        [1, 2], [1]]
    return final


async def operation_is_lost(client, s1, s2, last):
    """Without the last readable cell of a partition, nobody works on."""
    ttid, = await client.master.ask("AskBeginTransaction", None)
    # The storage that locks is to have its metadata: others would not decide.
    while ttid[-1] % 2:
        client.master.send("AbortTransaction", ttid, [])
        ttid, = await client.master.ask("AskBeginTransaction", None)
    finishing = client.master.request("AskFinishTransaction", ttid, [p64(1)], [], [], None)
    final, _ = await s1.locked(ttid)
    _, lock = await s2.locked(ttid)
    lock()
    s1.master.close()
    # Where another one can be read, the lost one is out of date; it stays the only one elsewhere.
    await s2.expect("NotifyPartitionChanges", 11, 1, [[0, 1, OUT]])
    await s2.expect("StopOperation")
    await client.master.closed()
    try:
        answer = await finishing
    except Closed:
        pass
    else:
        raise AssertionError(f"finished: {answer}")
    assert client.master.history.count("StopOperation") == 1
    await s2.expect("NotifyClusterInformation", ClusterStates.RECOVERING)
    await s2.answer("AskRecovery", [], "AnswerRecovery", 11, None, None)
    # This master saw the last version of the table itself: it does not have to ask for it.
    assert s2.view.nodes[2][2] is NodeStates.PENDING and s2.view.nodes[1][2] is NodeStates.DOWN
    refused = await Connection.open("master", client.where)
    refusal = await refused.refused("RequestIdentification", NodeTypes.CLIENT, client.view.nid, None,
                                    client.cluster, None, {})
    assert refusal.code == ErrorCodes.NOT_READY
    await refused.closed()

    # The other one comes back, not having locked: the transaction is finished all the same.
    await s1.connect()
    await s1.answer("AskRecovery", [], "AnswerRecovery", 10, None, None)
    # It has missed a version: what it knows may tell more than that.
    await s1.answer("AskPartitionTable", [], "AnswerPartitionTable", 10, 1,
                    rows((UP, UP), (UP, OUT)))
    for storage, held in ((s1, None), (s2, final)):
        await storage.expect("NotifyClusterInformation", ClusterStates.VERIFYING)
        await storage.expect("SendPartitionTable", 11, 1, rows((OUT, UP), (UP, OUT)))
        await storage.answer("AskLockedTransactions", [], "AnswerLockedTransactions", {ttid: held})
    for storage in (s1, s2):
        await storage.expect("ValidateTransaction", ttid, final)
    for storage in (s1, s2):
        msg_id, _ = await storage.next("AskLastIDs")
        storage.master.send("NotifyPackCompleted", ZERO)
        storage.master.answer(msg_id, "AnswerLastIDs", final, p64(1), last)
    for storage in (s1, s2):
        await storage.answer("AskPackOrders", [p64(1)], "AnswerPackOrders", [])
    await operate(s1, s2)
    again = await Client.connect(client.where, client.cluster.decode(), nid=client.view.nid)
    assert again.last_tid == final
    assert await again.master.ask("AskFinalTID", ttid) == [MAX_TID], "storages have to be asked"
    again.close()


async def main(master, cluster):
    where = address(master)
    s1 = ScriptedStorage(where, cluster, 1, 1001)
    s2 = ScriptedStorage(where, cluster, 2, 1002)
    t = tid(1), tid(9), tid(3), tid(4, 1), tid(5, 1)
    await recover(s1, s2)
    await verify(s1, s2, t)
    await operate(s1, s2)
    client = await Client.connect(where, cluster)
    client.where = where
    assert client.last_tid == tid(9) and client.view.ptid == 8
    oids, = await client.master.ask("AskNewOIDs", 2)
    assert oids == [p64(41), p64(42)]
    assert (await client.master.ask("AskLastIDs")) == [tid(9), p64(42), tid(1)]
    ttid = await begin_when_all_are_ready(client, s1, s2)
    last = await ordered_commits(client, s1, s2, ttid, tid(9))
    last = await failed_vote(client, s1, s2)
    last = await comes_back(client, s1, s2, last)
    await operation_is_lost(client, s1, s2, last)
    print("ok")


run(main, *sys.argv[1:])
