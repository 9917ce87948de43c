"""A client: what the storage API of the reference implementation sends, without the storage API."""

import asyncio
import hashlib
import zlib

from cluster_view import ClusterView
from connection import ACCEPTS, Connection
from wire import NodeStates, NodeTypes, Violation, ZERO_HASH, u64


def encode_data(data, compress=True):
    """(compression, checksum, data) of a store; no data is a deletion."""
    if data is None:
        return 0, ZERO_HASH, b""
    compression = 0
    if compress and len(compressed := zlib.compress(data)) < len(data):
        compression, data = 1, compressed
    return compression, hashlib.sha1(data).digest(), data


def decode_data(compression, checksum, data):
    if checksum == ZERO_HASH and not data:
        return None
    assert hashlib.sha1(data).digest() == checksum
    return zlib.decompress(data) if compression else data


class Client:
    """One client, with a connection to the master and one to each storage."""

    def __init__(self, cluster):
        self.cluster = cluster.encode()
        self.view = ClusterView(NodeTypes.CLIENT)
        self.master = None
        self.last_tid = None
        self.invalidations = []
        self.storages = {}

    @classmethod
    async def connect(cls, master, cluster, nid=None, **extra):
        self = cls(cluster)
        self.master = await Connection.open("master", master, ACCEPTS["CLIENT", "MASTER"])
        self.master.observe = self._observe
        extra = {key.encode(): value for key, value in extra.items()}
        accepted = await self.master.ask(
            "RequestIdentification", NodeTypes.CLIENT, nid, None, self.cluster, None, extra)
        assert accepted == [NodeTypes.MASTER, self.view.master, self.view.nid]
        await self.master.expect("NotifyNodeInformation")
        await self.master.expect("SendPartitionTable")
        self.last_tid, = await self.master.ask("AskLastTransaction")
        return self

    def _observe(self, name, args):
        self.view.observe(name, args)
        if name == "InvalidateObjects":
            self._advance(args[0])
            self.invalidations.append((args[0], sorted(args[1])))
        elif name == "AnswerTransactionFinished":
            if not args[0] <= args[1]:
                raise Violation(f"ttid {args[0].hex()} > tid {args[1].hex()}")
            if u64(args[0]) % len(self.view.rows) != u64(args[1]) % len(self.view.rows):
                raise Violation("tid and ttid are of different partitions")
            self._advance(args[1])

    def _advance(self, tid):
        if self.last_tid is not None:
            if tid <= self.last_tid:
                raise Violation(f"tid {tid.hex()} after {self.last_tid.hex()}")
            self.last_tid = tid

    async def storage(self, nid):
        """The connection to a storage."""
        if nid not in self.storages:
            _, where, state, _ = self.view.nodes[nid]
            assert state is NodeStates.RUNNING
            connection = await Connection.open(
                f"storage {nid}", (where[0].decode(), where[1]), ACCEPTS["CLIENT", "STORAGE"])
            accepted = await connection.ask(
                "RequestIdentification", NodeTypes.CLIENT, self.view.nid, None, self.cluster,
                self.view.id_timestamp, {})
            assert accepted == [NodeTypes.STORAGE, nid, self.view.nid]
            self.storages[nid] = connection
        return self.storages[nid]

    async def ask_everywhere(self, identifier, name, *args):
        """The same answer of all readable cells of the partition of an oid or tid."""
        answers = [await (await self.storage(nid)).ask(name, *args)
                   for nid in self.view.readable(identifier)]
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]

    async def refused_everywhere(self, identifier, name, *args):
        refusals = [await (await self.storage(nid)).refused(name, *args)
                    for nid in self.view.readable(identifier)]
        assert len({(refusal.code, refusal.text) for refusal in refusals}) == 1
        return refusals[0]

    async def load(self, oid, at=None, before=None):
        """(data, serial, next serial, data serial)"""
        answer = await self.ask_everywhere(oid, "AskObject", oid, at, before)
        found, serial, next_serial, compression, checksum, data, data_serial = answer
        assert found == oid
        if checksum == ZERO_HASH:
            assert compression is None and data == b""
        else:
            assert compression is not None
        return decode_data(compression, checksum, data), serial, next_serial, data_serial

    async def begin(self, tid=None):
        ttid, = await self.master.ask("AskBeginTransaction", tid)
        return Transaction(self, ttid)

    async def commit(self, *stores, **metadata):
        """A whole transaction of (oid, serial, data); returns its tid."""
        txn = await self.begin()
        for oid, serial, data in stores:
            assert await txn.store(oid, serial, data) is None
        return await txn.commit(**metadata)

    async def barrier(self):
        await self.master.ask("Ping")

    def close(self):
        for connection in (self.master, *self.storages.values()):
            connection.close()


class Transaction:
    """One transaction of a client, driven step by step."""

    def __init__(self, client, ttid):
        self.client = client
        self.ttid = ttid
        self.stored = []
        self.deleted = []
        self.checked = []
        self.nids = set()

    def _partitions(self, oids):
        return [u64(oid) % len(self.client.view.rows) for oid in oids]

    async def send(self, oid, name, *args):
        """Sends a request to all cells of an oid; returns the futures of the answers by node."""
        futures = {}
        for nid in self.client.view.cells(oid):
            futures[nid] = (await self.client.storage(nid)).request(name, *args)
        self.nids.update(futures)
        return futures

    async def start_store(self, oid, serial, data, data_serial=None, compress=True):
        if data is None and data_serial is None:
            self.deleted.append(oid)
        else:
            self.stored.append(oid)
        return await self.send(oid, "AskStoreObject", oid, serial,
                               *encode_data(data, compress), data_serial, self.ttid)

    async def store(self, *args, **options):
        """What all cells answer: None, or the tid of a conflict."""
        return await one_answer(await self.start_store(*args, **options))

    async def check(self, oid, serial):
        self.checked.append(oid)
        return await one_answer(
            await self.send(oid, "AskCheckCurrentSerial", self.ttid, oid, serial))

    async def vote(self, user=b"", description=b"", extension=b"", pack=None):
        oids = self.stored + self.deleted + self.checked
        metadata = await self.send(
            self.ttid, "AskStoreTransaction", self.ttid, user, description, extension, oids, pack)
        votes = [(await self.client.storage(nid)).ask("AskVoteTransaction", self.ttid)
                 for nid in self.nids - set(metadata)]
        for answer in await asyncio.gather(*metadata.values(), *votes):
            assert answer == []

    def finishing(self, pack=None):
        return self.client.master.request(
            "AskFinishTransaction", self.ttid, self.stored,
            self._partitions(self.deleted), self._partitions(self.checked), pack)

    async def finish(self, pack=None):
        ttid, tid = await self.finishing(pack)
        assert ttid == self.ttid
        return tid

    async def commit(self, **metadata):
        await self.vote(**metadata)
        return await self.finish()

    async def abort(self):
        for nid in self.nids:
            self.client.storages[nid].send("AbortTransaction", self.ttid, [])
        self.client.master.send("AbortTransaction", self.ttid, sorted(self.nids))


async def one_answer(futures):
    """The only argument of an answer that all these nodes agree on."""
    answers = dict(zip(futures, await asyncio.gather(*futures.values())))
    values = [value for value, in answers.values()]
    assert values and all(value == values[0] for value in values), answers
    return values[0]
