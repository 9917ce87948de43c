"""A primary master that leads one of our storages through its life.

    master.py CLUSTER COMMAND...

`{masters}` in the command, which starts a storage on an empty database, is replaced by the address
of this master.
"""

import asyncio
import sys

from client import decode_data, encode_data
from connection import ACCEPTS, Connection, on_wire, patiently, run
from wire import (MAX_TID, ZERO, CellStates, ClusterStates, ErrorCodes, NodeStates, NodeTypes,
                  p64)

NP = 2
M1 = -0x0FFFFFFF
C1 = -0x1FFFFFFF
X = p64(0x10)
Y = p64(0x11)
TABLE = 1, 0, [[[1, CellStates.UP_TO_DATE]] for _ in range(NP)]
PHASES = {name: ACCEPTS[f"MASTER {name}", "STORAGE"] for name in (
    "recovering", "verifying", "running")}


class Clock:
    """Times and tids that only advance."""

    def __init__(self):
        self.seconds = 1795342500.0
        self.tid = 0x040D2F4700000000

    def time(self):
        self.seconds += 0.25
        return self.seconds

    def next(self):
        """Of the first partition, as all transactions here."""
        self.tid += 0x1000 * NP
        return p64(self.tid)


class Master:
    def __init__(self, cluster, command):
        self.cluster = cluster.encode()
        self.command = command
        self.clock = Clock()
        self.connections = asyncio.Queue()
        self.storage = None
        self.process = None

    async def __aenter__(self):
        async def accept(reader, writer):
            await self.connections.put(
                Connection("storage", reader, writer, {"RequestIdentification"}))
        self.server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.where = self.server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *error):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self.server.close()

    # The process

    async def start(self):
        masters = f"{self.where[0]}:{self.where[1]}"
        self.process = await asyncio.create_subprocess_exec(
            *(part.replace("{masters}", masters) for part in self.command))

    async def kill(self):
        self.process.kill()
        await self.process.wait()
        await self.storage.closed()

    async def exited(self):
        status = await patiently(self.process.wait(), "the storage exits")
        assert status == 0, status
        await self.storage.closed()

    # What a master says

    async def identify(self, expected_nid):
        """Accepts the storage that connects."""
        self.storage = await patiently(self.connections.get(), "the storage connects")
        _, msg_id, args = await self.storage.next("RequestIdentification")
        node_type, nid, where, name, id_timestamp, extra = args
        assert node_type is NodeTypes.STORAGE and nid == expected_nid
        assert name == self.cluster and id_timestamp is None
        assert set(extra) == {b"devpath", b"new_nid"} and extra[b"new_nid"] == []
        assert extra[b"devpath"] and all(type(part) is bytes for part in extra[b"devpath"])
        self.address = where[0].decode(), where[1]
        self.description = [NodeTypes.STORAGE, where, 1, NodeStates.PENDING, self.clock.time()]
        self.storage.answer(msg_id, "AcceptIdentification", NodeTypes.MASTER, M1, 1)
        self.storage.accepts = PHASES["recovering"]
        self.notify(self.description, [
            NodeTypes.MASTER, on_wire(self.where), M1, NodeStates.RUNNING, None])

    def notify(self, *nodes):
        self.storage.send("NotifyNodeInformation", self.clock.time(), list(nodes))

    def notify_storage(self, state):
        self.description[3] = state
        self.notify(self.description)

    async def recover(self, *expected):
        assert await self.storage.ask("AskRecovery") == list(expected)

    async def verify(self):
        self.notify_storage(NodeStates.RUNNING)
        self.storage.accepts = PHASES["verifying"]
        self.storage.send("NotifyClusterInformation", ClusterStates.VERIFYING)
        self.storage.send("SendPartitionTable", *TABLE)

    async def last_ids(self, *expected):
        assert await self.storage.ask("AskLastIDs") == list(expected)
        assert await self.storage.expect("NotifyPackCompleted") == [ZERO]
        assert self.storage.history[-2:] == ["NotifyPackCompleted", "AnswerLastIDs"]
        assert await self.storage.ask("AskPackOrders", p64(1)) == [[]]

    async def operate(self):
        self.storage.send("NotifyClusterInformation", ClusterStates.RUNNING)
        self.storage.accepts = PHASES["running"]
        self.storage.send("StartOperation", False)
        await self.storage.expect("NotifyReady")

    async def stop_operation(self):
        self.storage.send("StopOperation")
        self.notify_storage(NodeStates.PENDING)
        self.storage.accepts = PHASES["recovering"]
        self.storage.send("NotifyClusterInformation", ClusterStates.RECOVERING)

    # A client of the storage

    def introduce_client(self, state=NodeStates.RUNNING):
        self.notify([NodeTypes.CLIENT, None, C1, state, self.client_timestamp])

    async def connect_client(self):
        self.client_timestamp = self.clock.time()
        self.introduce_client()
        client = await Connection.open(
            "storage as client", self.address, ACCEPTS["CLIENT", "STORAGE"])
        assert await client.ask(*self.identification()) == [NodeTypes.STORAGE, 1, C1]
        return client

    def identification(self):
        return ("RequestIdentification", NodeTypes.CLIENT, C1, None, self.cluster,
                self.client_timestamp, {})

    async def vote(self, client, *stores):
        """Stores and votes; returns the ttid."""
        ttid = self.clock.next()
        for oid, serial, data in stores:
            assert await client.ask(
                "AskStoreObject", oid, serial, *encode_data(data), None, ttid) == [None]
        assert await client.ask(
            "AskStoreTransaction", ttid, b"u", b"d", b"", [oid for oid, _, _ in stores], None) == []
        return ttid

    async def lock(self, ttid):
        tid = self.clock.next()
        assert await self.storage.ask("AskLockInformation", ttid, tid, False) == [ttid]
        return tid

    async def load(self, client, oid, before=MAX_TID):
        answer = await client.ask("AskObject", oid, None, before)
        return decode_data(answer[3], *answer[4:6]), answer[1]


async def refused_at_once(master):
    """Nobody may come before the operation."""
    client = await Connection.open("storage as client", master.address)
    master.client_timestamp = master.clock.time()
    refusal = await client.refused(*master.identification())
    assert refusal.code == ErrorCodes.NOT_READY
    await client.closed()


async def first_start(master):
    await master.start()
    await master.identify(None)
    assert await master.storage.ask("Ping") == []
    await master.recover(None, None, None)
    await refused_at_once(master)
    await master.verify()
    assert await master.storage.ask("AskLockedTransactions") == [{}]
    await master.last_ids(None, None, MAX_TID)
    await refused_at_once(master)
    await master.operate()


async def early_client(master):
    """A client that comes before its introduction waits for it."""
    client = await Connection.open(
        "storage as client", master.address, ACCEPTS["CLIENT", "STORAGE"])
    master.client_timestamp = master.clock.time()
    accepted = client.request(*master.identification())
    await master.storage.ask("Ping")
    assert await client.ask("Ping") == []
    assert not accepted.done()
    master.introduce_client()
    assert await patiently(accepted, "the client is accepted") == [NodeTypes.STORAGE, 1, C1]
    return client


async def commits(master, client):
    """Returns (ttid, tid) of a commit, the ttid of a vote, and (ttid, tid) of a lock."""
    ttid = await master.vote(client, (X, ZERO, b"x1"), (Y, ZERO, b"y" * 1000))
    tid = await master.lock(ttid)
    assert await client.ask("AskFinalTID", ttid) == [tid]
    reading = client.request("AskObject", X, None, MAX_TID)
    history = client.request("AskObjectHistory", X, 0, 10)
    assert await client.ask("Ping") == []
    assert not reading.done() and not history.done(), "readers wait for the unlock"
    master.storage.send("NotifyUnlockInformation", ttid)
    found = await patiently(reading, "the object is unlocked")
    assert found == [X, tid, None, *encode_data(b"x1"), None]
    assert await patiently(history, "the object is unlocked") == [X, [[tid, 2]]]
    assert await client.ask("AskTransactionInformation", tid) == [
        tid, b"u", b"d", b"", False, [X, Y]]
    assert await master.load(client, Y) == (b"y" * 1000, tid)

    # Aborts by either side are the end of the transaction here.
    aborted = await master.vote(client, (X, tid, b"aborted"))
    master.storage.send("AbortTransaction", aborted, [])
    assert await master.storage.ask("Ping") == []
    assert await client.ask("AskFinalTID", aborted) == [None]
    assert await master.storage.ask("AskFinalTID", aborted) == [None]
    assert await master.storage.ask("AskFinalTID", ttid) == [tid]
    # Unknown ones are ignored.
    master.storage.send("AbortTransaction", master.clock.next(), [])
    master.storage.send("NotifyTransactionFinished", master.clock.next(), master.clock.next())

    voted = await master.vote(client, (X, tid, b"x2, voted"))
    locked = await master.vote(client, (Y, tid, b"y2, locked"))
    return (ttid, tid), voted, (locked, await master.lock(locked))


async def verify_again(master, client, committed, voted, locked):
    """The operation stops and starts again; what was locked is committed, what was voted is not."""
    await master.stop_operation()
    await client.closed()
    await interrupted(master, committed, voted, locked)
    client = await check_commits(master, committed, locked)
    return client


async def interrupted(master, committed, voted, locked):
    await master.recover(1, None, None)
    assert await master.storage.ask("AskPartitionTable") == list(TABLE)
    await master.verify()
    assert await master.storage.ask("AskLockedTransactions") == [
        {voted: None, locked[0]: locked[1]}]
    assert await master.storage.ask("AskFinalTID", committed[0]) == [committed[1]]
    assert await master.storage.ask("AskFinalTID", voted) == [None]
    master.storage.send("ValidateTransaction", *locked)
    assert await master.storage.ask("AskFinalTID", locked[0]) == [locked[1]]
    assert await master.storage.ask("AskLockedTransactions") == [{voted: None}]
    await master.last_ids(locked[1], Y, committed[1])
    await master.operate()


async def check_commits(master, committed, locked):
    client = await master.connect_client()
    assert await master.load(client, X) == (b"x1", committed[1])
    assert await master.load(client, Y) == (b"y2, locked", locked[1])
    # The lock of the dropped transaction is gone with it.
    ttid = master.clock.next()
    assert await client.ask(
        "AskStoreObject", X, committed[1], *encode_data(b"?"), None, ttid) == [None]
    client.send("AbortTransaction", ttid, [])
    return client


async def killed(master, client, committed):
    """The process is killed with a voted and a locked transaction."""
    _, serial = await master.load(client, Y)
    voted = await master.vote(client, (X, committed[1], b"x3, voted"))
    ttid = await master.vote(client, (Y, serial, b"y2, locked"))
    locked = ttid, await master.lock(ttid)
    await master.kill()
    await client.closed()
    await master.start()
    await master.identify(1)
    await interrupted(master, committed, voted, locked)
    return await check_commits(master, committed, locked), locked


async def lost_client(master, client, committed):
    """What a client has voted is dropped when the master says that it is gone."""
    ttid = await master.vote(client, (X, committed[1], b"orphan"))
    client.close()
    await master.storage.ask("Ping")
    master.introduce_client(NodeStates.UNKNOWN)
    client = await master.connect_client()
    assert await client.ask("AskFinalTID", ttid) == [None]
    assert await client.ask("AskCheckCurrentSerial", master.clock.next(), X, committed[1]) == [None]
    return client


async def truncation(master, client, committed, locked):
    await master.stop_operation()
    master.storage.send("Truncate", committed[1])
    await master.recover(1, None, committed[1])
    await client.closed()
    await master.verify()
    assert await master.storage.ask("AskLockedTransactions") == [{}]
    await master.last_ids(committed[1], Y, committed[1])
    await master.recover(1, None, None)
    await master.operate()
    client = await master.connect_client()
    assert await master.load(client, Y) == (b"y" * 1000, committed[1])
    refusal = await client.refused("AskTransactionInformation", locked[1])
    assert refusal.code == ErrorCodes.TID_NOT_FOUND
    return client


async def lost_master(master, client):
    """The storage looks for its master again, drops its clients, and follows changes of the table."""
    master.storage.close()
    await client.closed()
    await master.identify(1)
    await master.recover(1, None, None)
    master.storage.send("NotifyPartitionChanges", 2, 1, [])
    await master.recover(2, None, None)
    assert await master.storage.ask("AskPartitionTable") == [2, 1, TABLE[2]]
    # A gap in the versions of the table is an error, and the end of the connection.
    master.storage.send("NotifyPartitionChanges", 4, 1, [])
    await refused(master.storage)
    await master.identify(1)
    await master.recover(2, None, None)


async def refused(connection):
    """A notification is answered by an error that nobody asked for, then comes the end."""
    try:
        await connection.closed()
    except Exception as e:
        assert "answers nothing" in str(e) and "Error[6," in str(e), e
    else:
        raise AssertionError("closed without a word")


async def told_to_stop(master):
    master.notify_storage(NodeStates.DOWN)
    await master.exited()
    await master.start()
    await master.identify(1)
    await master.recover(2, None, None)
    # To be unknown means to be removed from the cluster, with all data.
    master.notify_storage(NodeStates.UNKNOWN)
    await master.exited()
    await master.start()
    await master.identify(None)
    await master.recover(None, None, None)
    await master.verify()
    assert await master.storage.ask("AskLockedTransactions") == [{}]
    await master.last_ids(None, None, MAX_TID)
    await master.operate()
    master.storage.send("NotifyClusterInformation", ClusterStates.STOPPING)
    master.notify_storage(NodeStates.DOWN)
    await master.exited()


async def main(cluster, *command):
    async with Master(cluster, command) as master:
        await first_start(master)
        client = await early_client(master)
        committed, voted, locked = await commits(master, client)
        client = await verify_again(master, client, committed, voted, locked)
        client, locked = await killed(master, client, committed)
        client = await lost_client(master, client, committed)
        client = await truncation(master, client, committed, locked)
        await lost_master(master, client)
        await told_to_stop(master)
    print("ok")


run(main, *sys.argv[1:])
