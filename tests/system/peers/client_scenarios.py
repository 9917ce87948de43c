"""What clients of the reference implementation do, against our master and two storages.

    client_scenarios.py MASTER CLUSTER

The cluster has 4 partitions, one replica and two storages; it may already hold data.
"""

import asyncio
import hashlib
import sys
import traceback

import wire
from client import Client, encode_data
from connection import Connection, Refused, address, run
from wire import (ALL_PARTITIONS, MAX_TID, ZERO, ZERO_HASH, ErrorCodes, NodeTypes, add64, p64, u64)

NP = 4
TEXT = b"compressible " * 50


class Scenarios:
    def __init__(self, where, cluster):
        self.where = where
        self.cluster = cluster

    async def start(self):
        self.a = await Client.connect(self.where, self.cluster)
        self.b = await Client.connect(self.where, self.cluster)
        oids, = await self.a.master.ask("AskNewOIDs", 40)
        assert oids == [add64(oids[0], n) for n in range(40)]
        self.oids = oids
        more, = await self.b.master.ask("AskNewOIDs", 3)
        assert more[0] > oids[-1] and len(more) == 3

    def stop(self):
        self.a.close()
        self.b.close()

    async def test_commit_and_load(self):
        a, b, (x, y, *_) = self.a, self.b, self.oids
        before = a.last_tid
        txn = await a.begin()
        assert txn.ttid > before
        assert await txn.store(x, ZERO, TEXT) is None
        assert await txn.store(y, ZERO, b"", compress=False) is None
        await txn.vote(b"us\xc3\xa9r", b"description", b"\x80\x03}q\x00.")
        t1 = await txn.finish()
        assert await a.load(x) == (TEXT, t1, None, None)
        assert await a.load(y) == (b"", t1, None, None)
        answer = await a.ask_everywhere(x, "AskObject", x, None, add64(t1, 1))
        assert answer == [x, t1, None, *encode_data(TEXT), None] and answer[3] == 1
        await b.barrier()
        assert b.invalidations[-1] == (t1, [x, y])

        t2 = await b.commit((x, t1, b"second"))
        assert await a.load(x, at=t1) == (TEXT, t1, t2, None)
        assert await a.load(x, before=t2) == (TEXT, t1, t2, None)
        assert await a.load(x, before=add64(t2, 1)) == (b"second", t2, None, None)
        assert await a.load(x, before=MAX_TID) == (b"second", t2, None, None)
        for at, bound in ((t2, t1), (None, t1)):
            refusal = await a.refused_everywhere(
                x, "AskObject", x, None if at is None else add64(at, 1), bound if at is None else None)
            assert refusal.code == ErrorCodes.OID_NOT_FOUND and refusal.text == x.hex()
        unknown = p64(u64(self.oids[-1]) + 1000)
        refusal = await a.refused_everywhere(unknown, "AskObject", unknown, None, MAX_TID)
        assert (refusal.code, refusal.text) == (ErrorCodes.OID_DOES_NOT_EXIST, unknown.hex())

        information = await a.ask_everywhere(t1, "AskTransactionInformation", t1)
        assert information == [
            t1, b"us\xc3\xa9r", b"description", b"\x80\x03}q\x00.", False, [x, y]]
        refusal = await a.refused_everywhere(
            t1, "AskTransactionInformation", p64(u64(t1) + NP))
        assert refusal.code == ErrorCodes.TID_NOT_FOUND
        history = await a.ask_everywhere(x, "AskObjectHistory", x, 0, 10)
        assert history == [x, [[t2, 6], [t1, len(encode_data(TEXT)[2])]]]
        assert (await a.ask_everywhere(x, "AskObjectHistory", x, 1, 2))[1] == history[1][1:]
        refusal = await a.refused_everywhere(unknown, "AskObjectHistory", unknown, 0, 10)
        assert (refusal.code, refusal.text) == (ErrorCodes.OID_NOT_FOUND, unknown.hex())

        await a.barrier()
        assert a.invalidations[-1] == (t2, [x])
        assert await a.master.ask("AskLastTransaction") == [t2]

    async def test_conflicts(self):
        a, b, x = self.a, self.b, self.oids[2]
        t1 = await a.commit((x, ZERO, b"1"))
        t2 = await a.commit((x, t1, b"2"))
        txn = await b.begin()
        assert await txn.store(x, t1, b"conflict") == t2
        assert await txn.store(x, t2, b"resolved") is None
        assert await txn.store(x, t2, b"resolved again") is None
        txn.stored = [x]
        t3 = await txn.commit()
        assert await a.load(x) == (b"resolved again", t3, None, None)
        assert (await a.load(x, at=t2))[2] == t3
        txn = await a.begin()
        assert await txn.check(x, t2) == t3
        await txn.abort()
        # After an abort nobody is in the way.
        t4 = await b.commit((x, t3, b"4"))
        await a.barrier()
        assert [tid for tid, oids in a.invalidations if oids == [x]] == [t3, t4]

    async def test_checked_serial(self):
        a, (x, y) = self.a, self.oids[3:5]
        t1 = await a.commit((x, ZERO, b"x"), (y, ZERO, b"y"))
        txn = await a.begin()
        assert await txn.check(x, t1) is None
        assert await txn.store(y, t1, b"y2") is None
        other = await self.b.begin()
        # The check is a lock: a younger transaction waits for its end, without any notification.
        waiting = await other.start_store(x, t1, b"late")
        await self.b.barrier()
        assert not any(future.done() for future in waiting.values())
        t2 = await txn.commit()
        assert [await future for future in waiting.values()] == [[None], [None]]
        t3 = await other.commit()
        assert t3 > t2
        oids = (await a.ask_everywhere(t2, "AskTransactionInformation", t2))[5]
        assert sorted(oids) == [x, y], "checked objects are listed too"
        assert await a.load(x, at=t3) == (b"late", t3, None, None)

    async def test_deletion(self):
        a, b, x = self.a, self.b, self.oids[5]
        t1 = await a.commit((x, ZERO, b"short-lived"))
        t2 = await a.commit((x, t1, None))
        assert await a.load(x) == (None, t2, None, None)
        assert await a.load(x, before=t2) == (b"short-lived", t1, t2, None)
        assert (await a.ask_everywhere(x, "AskObjectHistory", x, 0, 9))[1] == [[t2, 0], [t1, 11]]
        await b.barrier()
        assert b.invalidations[-1] == (t2, []), "deleted objects are not invalidated"
        # A deleted object conflicts, and can be stored again.
        txn = await b.begin()
        assert await txn.store(x, t1, b"?") == t2
        assert await txn.store(x, t2, b"again") is None
        txn.stored = [x]
        t3 = await txn.commit()
        assert await a.load(x) == (b"again", t3, None, None)

    async def test_undo(self):
        a, x = self.a, self.oids[6]
        t1 = await a.commit((x, ZERO, TEXT))
        t2 = await a.commit((x, t1, b"2"))

        async def undo_serial(ttid, undone, oids=(x,)):
            answer, = await a.ask_everywhere(
                x, "AskObjectUndoSerial", ttid, add64(a.last_tid, 1), undone, list(oids))
            return answer

        txn = await a.begin()
        assert await undo_serial(txn.ttid, t2) == {x: [t2, t1, True]}
        assert await txn.store(x, t2, TEXT, t1) is None
        assert await undo_serial(txn.ttid, t2) == {x: [t1, t1, False]}
        t3 = await txn.commit()
        assert await a.load(x) == (TEXT, t3, None, t1)

        # Undo of the undo.
        txn = await a.begin()
        assert await undo_serial(txn.ttid, t3) == {x: [t3, t2, True]}
        assert await txn.store(x, t3, b"2", t2) is None
        t4 = await txn.commit()
        assert await a.load(x) == (b"2", t4, None, t2)

        # Of identical records, the last one; t2 is undone although t4 is what holds its data now.
        txn = await a.begin()
        assert await undo_serial(txn.ttid, t2) == {x: [t4, t3, True]}
        assert await undo_serial(txn.ttid, t1) == {x: [t4, None, False]}
        assert await undo_serial(txn.ttid, t1, [x, add64(x, 40 * NP)]) == {x: [t4, None, False]}
        answer = await a.refused_everywhere(
            x, "AskObjectUndoSerial", txn.ttid, t2, t2, [x])
        assert (answer.code, answer.text) == (ErrorCodes.OID_NOT_FOUND, x.hex())
        await txn.abort()

        # Undo of a creation.
        y = self.oids[7]
        t5 = await a.commit((y, ZERO, b"y"))
        txn = await a.begin()
        answer, = await a.ask_everywhere(
            y, "AskObjectUndoSerial", txn.ttid, add64(t5, 1), t5, [y])
        assert answer == {y: [t5, None, True]}
        assert await txn.store(y, t5, None) is None
        t6 = await txn.commit()
        assert await a.load(y) == (None, t6, None, None)

        # The target of an undo has to exist.
        txn = await a.begin()
        for future in (await txn.start_store(x, t4, b"?", add64(t1, -1))).values():
            try:
                answer = await future
            except Refused as refusal:
                assert refusal.code == ErrorCodes.UNDO_PACK_ERROR
            else:
                raise AssertionError(f"answered {answer}")
        await txn.abort()

    async def test_listings(self):
        a = self.a
        tids = [await a.commit((oid, ZERO, b"listed")) for oid in self.oids[8:20]]
        deleted = await a.commit((self.oids[9], tids[1], None))
        for partition in range(NP):
            where = p64(partition)
            expected = [tid for tid in tids + [deleted] if u64(tid) % NP == partition]
            answer, = await a.ask_everywhere(
                where, "AskTIDsFrom", tids[0], deleted, 100, partition)
            assert answer == expected
            answer, = await a.ask_everywhere(
                where, "AskTIDsFrom", tids[0], MAX_TID, 1, partition)
            assert answer == expected[:1]
            answer, = await a.ask_everywhere(where, "AskTIDs", 0, len(expected) or 1, partition)
            assert answer[:len(expected)] == expected[::-1]
            alive = [oid for oid in self.oids[8:20] if u64(oid) % NP == partition]
            next_oid, found = await a.ask_everywhere(
                where, "AskOIDsFrom", partition, 1000, self.oids[8], tids[-1])
            assert next_oid is None and found[:len(alive)] == alive
            alive = [oid for oid in alive if oid != self.oids[9]]
            paged, start = [], self.oids[8]
            while start is not None and start < self.oids[20]:
                start, found = await a.ask_everywhere(
                    where, "AskOIDsFrom", partition, 2, start, deleted)
                assert len(found) <= 2 and (start is None or u64(start) % NP == partition)
                paged += [oid for oid in found if oid < self.oids[20]]
            assert paged == alive
        answer, = await (await a.storage(1)).ask("AskTIDs", 0, 5, ALL_PARTITIONS)
        assert answer == ([deleted] + tids[::-1])[:5]
        answer, = await (await a.storage(1)).ask("AskTIDs", 1, 4, ALL_PARTITIONS)
        assert answer == tids[:-4:-1]

    async def test_invalidations_in_order(self):
        a, b = self.a, self.b
        watcher = await Client.connect(self.where, self.cluster)
        mine = {a: self.oids[20:25], b: self.oids[25:30]}

        async def commits(client):
            return [(await client.commit((oid, ZERO, b"raced")), [oid]) for oid in mine[client]]
        expected = sorted(sum(await asyncio.gather(commits(a), commits(b)), []))
        await watcher.barrier()
        assert watcher.invalidations == expected
        assert watcher.master.history.count("InvalidateObjects") == 10
        watcher.close()

    async def test_many_requests_at_once(self):
        a = self.a
        storage = await a.storage(1)
        oids = self.oids[20:30]
        answers = await asyncio.gather(*(
            storage.ask("AskObject", oid, None, MAX_TID) for oid in oids * 20))
        assert [answer[0] for answer in answers] == oids * 20
        big = bytes(range(256)) * 4096
        t1 = await a.commit((self.oids[30], ZERO, b"x" + hashlib.sha512(big).digest() * 3000))
        assert len((await a.load(self.oids[30]))[0]) == 1 + 64 * 3000
        assert t1 == a.last_tid

    async def test_imposed_tid(self):
        a, x = self.a, self.oids[31]
        tid = p64(u64(a.last_tid) + (1 << 32))
        txn = await a.begin(tid)
        assert txn.ttid == tid
        # Nobody else may begin, and whoever tries is disconnected.
        other = await Client.connect(self.where, self.cluster)
        refusal = await other.master.refused("AskBeginTransaction", None)
        assert refusal.code == ErrorCodes.PROTOCOL_ERROR
        await other.master.closed()
        other.close()
        assert await txn.store(x, ZERO, b"imported") is None
        assert await txn.commit() == tid
        assert await a.load(x) == (b"imported", tid, None, None)
        other = await Client.connect(self.where, self.cluster)
        assert other.last_tid == tid
        refusal = await other.master.refused("AskBeginTransaction", tid)
        assert refusal.code == ErrorCodes.PROTOCOL_ERROR
        await other.master.closed()
        other.close()
        # Until the clock is there, each transaction follows the last one, aborted or not.
        txn = await a.begin()
        assert txn.ttid > tid
        assert await txn.store(x, tid, b"aborted") is None
        await txn.abort()
        again = await a.commit((x, tid, b"committed"))
        assert again > txn.ttid
        # An import that was interrupted goes on with the same tid.
        tid = p64(u64(again) + (1 << 30))
        other = await Client.connect(self.where, self.cluster)
        txn = await other.begin(tid)
        assert await txn.store(x, again, b"interrupted") is None
        other.close()
        other = await Client.connect(self.where, self.cluster)
        txn = await other.begin(tid)
        assert await txn.store(x, again, b"imported again") is None
        assert await txn.commit() == tid
        assert await other.load(x) == (b"imported again", tid, None, None)
        other.close()

    async def test_lost_finish(self):
        x = self.oids[32]
        client = await Client.connect(self.where, self.cluster)
        nid = client.view.nid
        txn = await client.begin()
        await txn.store(x, ZERO, b"did it commit?")
        await txn.vote()
        txn.finishing()
        client.close()

        again = await Client.connect(self.where, self.cluster, nid=nid)
        tid, = await again.master.ask("AskFinalTID", txn.ttid)
        if tid == MAX_TID:
            tid, = await again.ask_everywhere(txn.ttid, "AskFinalTID", txn.ttid)
        if tid is None:  # the connection was lost before the request was sent
            raise AssertionError("a request sent before the end of a connection was lost")
        assert await again.load(x) == (b"did it commit?", tid, None, None)

        aborted = await again.begin()
        await aborted.store(x, tid, b"no")
        await aborted.abort()
        await again.barrier()
        await again.commit((self.oids[37], ZERO, b"later"))
        assert await again.master.ask("AskFinalTID", aborted.ttid) == [MAX_TID]
        for nid in again.view.readable(aborted.ttid):
            storage = await again.storage(nid)
            assert await storage.ask("AskFinalTID", aborted.ttid) == [None]
        future = p64(u64(aborted.ttid) + (1 << 40))
        assert await again.master.ask("AskFinalTID", future) == [None]
        again.close()

    async def test_lost_client(self):
        """What a client that vanished had locked is free again, what it voted as well."""
        a, x, y = self.a, *self.oids[33:35]
        for vote in (False, True):
            client = await Client.connect(self.where, self.cluster)
            txn = await client.begin()
            base = a.last_tid if vote else ZERO
            assert await txn.store(x, base, b"locked") is None
            if vote:
                await txn.vote()
            waiting = await (await a.begin()).start_store(x, base, b"waits")
            await a.barrier()
            client.close()
            for future in waiting.values():
                assert await asyncio.wait_for(future, 20) == [None]
            txn = await a.begin()
            for nid in (1, 2):
                (await a.storage(nid)).send("AbortTransaction", p64(1), [])
            await txn.abort()
            if not vote:
                # The waiting transaction is still there; another client shows that it can end.
                self.a.close()
                self.a = a = await Client.connect(self.where, self.cluster)
                assert (await a.commit((x, ZERO, b"first"))) == a.last_tid

    async def test_failed_votes(self):
        a, x = self.a, self.oids[35]
        txn = await a.begin()
        await txn.store(x, ZERO, b"x")
        await txn.vote()
        assert isinstance(await a.master.ask("FailedVote", txn.ttid, [2]), str)
        refusal = await a.master.refused("FailedVote", txn.ttid, [1, 2])
        assert refusal.code == ErrorCodes.INCOMPLETE_TRANSACTION
        # The last accepted report is empty: nobody is disconnected.
        assert isinstance(await a.master.ask("FailedVote", txn.ttid, []), str)
        await txn.abort()
        await a.barrier()
        assert a.master.history.count("NotifyPartitionChanges") == 0

    async def test_identity(self):
        first = await Client.connect(self.where, self.cluster)
        # A temporary id that is taken is replaced; one that is free is granted.
        second = await Client.connect(self.where, self.cluster, nid=first.view.nid)
        assert second.view.nid != first.view.nid
        storage = await first.storage(1)
        assert await storage.ask("Ping") == []
        where = first.view.nodes[1][1]
        where = where[0].decode(), where[1]

        async def refused(where, node_type, nid, name, timestamp, text=None):
            connection = await Connection.open("refusing", where)
            refusal = await connection.refused(
                "RequestIdentification", node_type, nid, None, name, timestamp, {})
            await connection.closed()
            if text is not None:
                assert text in refusal.text, refusal
            return refusal.code
        name = self.cluster.encode()
        # The id of somebody else is worth nothing without the time it was given at.
        assert await refused(where, NodeTypes.CLIENT, second.view.nid, name,
                             first.view.id_timestamp) == ErrorCodes.NOT_READY
        for arguments in (
            (where, NodeTypes.CLIENT, first.view.nid, b"other", first.view.id_timestamp),
            (where, NodeTypes.CLIENT, None, name, first.view.id_timestamp),
            (where, NodeTypes.STORAGE, 1, name, first.view.id_timestamp),
            (self.where, NodeTypes.CLIENT, None, b"other", None),
        ):
            assert await refused(*arguments) == ErrorCodes.PROTOCOL_ERROR, arguments
        connection = await Connection.open("master", self.where)
        refusal = await connection.refused(
            "RequestIdentification", NodeTypes.STORAGE, 3,
            [self.where[0].encode(), self.where[1]], name, None, {b"devpath": [], b"new_nid": []})
        assert refusal.code == ErrorCodes.PROTOCOL_ERROR
        await connection.closed()
        assert await storage.ask("Ping") == [], "the rightful owner is still there"
        # A node that identifies later than a storage was told about it has to wait, not to fail.
        first.close()
        second.close()

    async def test_read_only_client(self):
        client = await Client.connect(self.where, self.cluster, read_only=True)
        for request in (("AskBeginTransaction", None), ("AskNewOIDs", 1),
                        ("AskFinishTransaction", MAX_TID, [], [], [], None),
                        ("AskFinalTID", MAX_TID)):
            refusal = await client.master.refused(*request)
            assert refusal.code == ErrorCodes.READ_ONLY_ACCESS, request
        assert await client.load(self.oids[0])
        client.close()

    async def test_violations(self):
        """Each costs the connection, after an error, and nothing else."""
        x = self.oids[36]
        compression, _, data = encode_data(b"data")
        for request in (
            ("AskStoreObject", x, ZERO, compression, hashlib.sha1(b"other").digest(), data, None),
            ("AskStoreObject", x, ZERO, 0, ZERO_HASH, b"data", None),
        ):
            client = await Client.connect(self.where, self.cluster)
            txn = await client.begin()
            storage = await client.storage(1)
            refusal = await storage.refused(*request, txn.ttid)
            assert refusal.code == ErrorCodes.PROTOCOL_ERROR
            await storage.closed()
            client.close()
        for request in (
            ("AskVoteTransaction", add64(MAX_TID, -8)), ("AskTIDs", 1, 1, 0),
            ("AskObjectHistory", x, 2, 1), ("AskRecovery",), ("AskBeginTransaction", None),
        ):
            client = await Client.connect(self.where, self.cluster)
            storage = await client.storage(1)
            refusal = await storage.refused(*request)
            assert refusal.code == ErrorCodes.PROTOCOL_ERROR, request
            await storage.closed()
            client.close()
        for request in (
            ("FailedVote", MAX_TID, [1]), ("AskFinishTransaction", MAX_TID, [], [], [], None),
            ("AskObject", x, None, None), ("SetNodeState", 1, wire.NodeStates.DOWN),
        ):
            client = await Client.connect(self.where, self.cluster)
            refusal = await client.master.refused(*request)
            assert refusal.code == ErrorCodes.PROTOCOL_ERROR, request
            await client.master.closed()
            client.close()
        # Not identified yet.
        connection = await Connection.open("master", self.where)
        assert await connection.ask("Ping") == []
        refusal = await connection.refused("AskLastTransaction")
        assert refusal.code == ErrorCodes.PROTOCOL_ERROR
        await connection.closed()

    async def test_strangers(self):
        """Who does not speak the protocol, or another version, is not answered."""
        for hello in (b"GET / HTTP/1.1\r\n\r\n", b"\x92\xa3NEO\x06", b"\x16\x03\x01\x02\x00\x01"):
            reader, writer = await asyncio.open_connection(*self.where)
            writer.write(hello)
            try:
                received = await asyncio.wait_for(reader.read(), 20)
            except ConnectionResetError:
                received = b""
            assert received in (b"", wire.HANDSHAKE), received
            writer.close()
        # A handshake and messages byte by byte are as good as others.
        reader, writer = await asyncio.open_connection(*self.where)
        for byte in wire.HANDSHAKE + wire.encode(0, "Ping", []):
            writer.write(bytes([byte]))
            await writer.drain()
        expected = wire.HANDSHAKE + wire.encode(0, "Pong", [])
        assert await asyncio.wait_for(reader.readexactly(len(expected)), 20) == expected
        writer.close()


async def main(master, cluster, *only):
    scenarios = Scenarios(address(master), cluster)
    await scenarios.start()
    failed = 0
    for name in only or [name for name in dir(Scenarios) if name.startswith("test_")]:
        try:
            await getattr(scenarios, name)()
            print(f"ok {name}")
        except Exception:
            traceback.print_exc()
            failed += 1
            print(f"FAILED {name}")
            scenarios.stop()
            scenarios.a = await Client.connect(scenarios.where, cluster)
            scenarios.b = await Client.connect(scenarios.where, cluster)
    scenarios.stop()
    sys.exit(failed > 0)


run(main, *sys.argv[1:])
