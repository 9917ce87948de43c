"""Says to our nodes what clients said to those of the reference implementation.

    replay.py MASTER CLUSTER RECORDING [LAST STEP]

Each request of a recorded client is sent in the same order, with the ids that our master gave in the
place of those it was given. Answers and notifications have to be the recorded ones.
"""

import hashlib
import json
import os
import sys

import wire
from client import Client
from connection import Refused, address, patiently, run

# How a vote is worded for a node depends on the partition of the ttid, which is not ours to choose.
VOTES = {"AskStoreTransaction", "AskVoteTransaction"}
# What nodes tell about themselves and others is checked by ClusterView.
ABOUT_NODES = {"NotifyNodeInformation", "NotifyPartitionChanges"}
# Pack orders are recorded but not executed yet.
LATER = {"WaitForPack", "WaitedForPack"}


def read(path, last_step):
    """(sender, receiver, name, id, args) of the messages up to the end of a step."""
    ending = False
    with open(path) as lines:
        for line in map(json.loads, lines):
            if type(line) is dict:
                if ending:
                    return
                ending = line["step"] == last_step
                continue
            _, sender, receiver, name, msg_id, _, args, encoded = line
            if encoded.endswith("…"):
                args = [from_json(arg) for arg in args]
            else:
                decoder = wire.Decoder()
                decoder.feed(wire.HANDSHAKE + bytes.fromhex(encoded))
                (_, _, args), = decoder
            yield sender, receiver, name, msg_id, args


def from_json(value):
    """Only for big messages of stores, which have neither enumerations nor maps."""
    if type(value) is dict:
        return os.urandom(value["len"]) if "len" in value else bytes.fromhex(value["hex"])
    return [from_json(item) for item in value] if type(value) is list else value


class Replay:
    def __init__(self, master, cluster, messages):
        self.where = master
        self.cluster = cluster
        self.messages = list(messages)
        self.clients = {}
        self.tids = {}
        self.requests = {}
        self.early = {}
        self.compared = 0
        self.recorded_order = {}
        self.aborted = set()
        self.nids = {}
        self.metadata = {args[0]: args for _, _, name, _, args in self.messages
                         if name == "AskStoreTransaction"}

    def ours(self, value):
        """A recorded value with our tids in the place of the recorded ones."""
        if type(value) is bytes and len(value) == 8:
            if value in self.tids:
                return self.tids[value]
            before = wire.p64(max(wire.u64(value) - 1, 0))
            return wire.add64(self.tids[before], 1) if before in self.tids else value
        if type(value) is list:
            return [self.ours(item) for item in value]
        if type(value) is dict:
            return {self.ours(key): self.ours(item) for key, item in value.items()}
        return value

    async def run(self):
        for sender, receiver, name, msg_id, args in self.messages:
            if name in LATER:
                continue
            if sender[0] == "C" and receiver[0] in "MS" and len(receiver) > 1:
                await self.replay_request(sender, receiver, name, msg_id, args)
            elif receiver[0] == "C" and sender[0] in "MS":
                await self.replay_reaction(sender, receiver, name, msg_id, args)
        assert not self.early, self.early
        for link, names in self.recorded_order.items():
            history = [name for name in (await self.connection(*link)).history
                       if name not in ABOUT_NODES and name != "AcceptIdentification"]
            if link[1] != "M1":
                # Any order is good for the answers of storages; that of the master has a meaning.
                history.sort()
                names.sort()
            assert history == names, f"{link}: {history} instead of {names}"
        return self.compared

    async def connection(self, client, node):
        client = self.clients[client]
        return client.master if node == "M1" else await client.storage(self.nids[node])

    async def replay_request(self, sender, receiver, name, msg_id, args):
        if name in ("RequestIdentification", "AskLastTransaction"):
            return  # done by the client
        connection = await self.connection(sender, receiver)
        args = self.ours(args)
        if name in VOTES:
            name, args = self.vote(self.clients[sender], self.nids[receiver], args[0])
        elif name == "AskStoreObject" and args[4]:
            args[3] = hashlib.sha1(args[4]).digest()
        if not wire.BY_NAME[name].request:
            if name == "AbortTransaction":
                self.aborted.add(args[0])
            connection.send(name, *args)
            return
        answer = connection.request(name, *args)
        if (early := self.early.pop((sender, receiver, msg_id), None)) is not None:
            await self.compare(name, args, answer, *early)
        else:
            self.requests[sender, receiver, msg_id] = name, args, answer

    def vote(self, client, nid, ttid):
        recorded = next(key for key, value in self.tids.items() if value == ttid)
        if nid in client.view.cells(ttid):
            return "AskStoreTransaction", self.ours(self.metadata[recorded])
        return "AskVoteTransaction", [ttid]

    async def replay_reaction(self, sender, receiver, name, msg_id, args):
        order = self.recorded_order.setdefault((receiver, sender), [])
        if name == "AcceptIdentification":
            if sender == "M1":
                await self.connect(receiver)
            return
        if name in ABOUT_NODES:
            return
        link = receiver, sender
        if name in ("SendPartitionTable", "AnswerLastTransaction"):
            order.append(name)
        elif wire.BY_NAME[name].code & 0x8000:
            if (request := self.requests.pop((*link, msg_id), None)) is not None:
                order.append(await self.compare(*request, name, args))
            else:
                self.early[receiver, sender, msg_id] = name, args
                order.append(name)
        else:
            order.append(name)
            await self.compare_notification(await self.connection(*link), name, args)

    async def connect(self, name):
        client = await Client.connect(self.where, self.cluster)
        self.clients[name] = client
        # Who has which cells is our master's choice: the recorded S1 has the first partition.
        if not self.nids:
            for recorded, row in zip(("S1", "S2"), client.view.rows):
                self.nids[recorded] = next(
                    nid for nid, _ in row if nid not in self.nids.values())

    async def compare(self, request, sent, future, name, args):
        try:
            answer = await patiently(future, f"{request}{sent} is answered")
            received = wire.BY_NAME[request].answer.name
        except Refused as refusal:
            received, answer = "Error", [int(refusal.code), refusal.text.encode()]
        what = f"{request}{sent} was answered by {received}{answer} instead of {name}{args}"
        if request in VOTES:
            assert answer == [], what
            return received
        assert received == name, what
        if name in ("AnswerBeginTransaction", "AnswerTransactionFinished"):
            self.tids.update(zip(args, answer))
        elif name == "AnswerTIDsFrom":
            low, high, length, partition = sent
            np = len(next(iter(self.clients.values())).view.rows)
            tids = sorted(tid for tid in self.committed() if wire.u64(tid) % np == partition)
            assert answer == [[tid for tid in tids if low <= tid <= high][:length]], what
            self.compared += 1
            return received
        elif request == "AskStoreObject" and sent[-1] in self.aborted:
            # Nobody waits for it any more: the transaction may have been forgotten meanwhile.
            assert answer in ([None], [wire.ZERO]), what
            return received
        assert answer == self.ours(args), what
        self.compared += 1
        return received

    def committed(self):
        return {self.tids[args[1]] for _, _, name, _, args in self.messages
                if name == "AnswerTransactionFinished" and args[1] in self.tids}

    async def compare_notification(self, connection, name, args):
        while True:
            received, _, got = await connection.next(name, *ABOUT_NODES)
            if received not in ABOUT_NODES:
                break
        assert got == self.ours(args), f"{name}{got} instead of {self.ours(args)}"
        self.compared += 1


async def main(master, cluster, recording, last_step=None):
    replay = Replay(address(master), cluster, read(recording, last_step))
    try:
        compared = await replay.run()
    finally:
        for client in replay.clients.values():
            client.close()
    assert compared > 20
    print(f"{compared} answers and notifications are the recorded ones")


run(main, *sys.argv[1:])
