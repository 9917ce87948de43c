"""A connection that trusts nothing: whatever is not exactly right on it fails the test."""

import asyncio
import collections
import re

import wire
from wire import Violation

# Nothing here takes that long; a peer that waits for ever would hide what it waited for.
PATIENCE = 20

ANYWHERE = {"NotifyNodeInformation", "FlushLog"}

# What a node of the reference implementation has handlers for: (receiver, sender) -> messages that
# are not answers. Anything else costs the sender its connection, or the receiver its life.
ACCEPTS = {
    ("CLIENT", "MASTER"): {
        "StopOperation", "NotifyClusterInformation", "SendPartitionTable",
        "NotifyPartitionChanges", "InvalidateObjects"},
    ("CLIENT", "STORAGE"): {"NotifyDeadlock"},
    ("ADMIN", "MASTER"): {
        "SendPartitionTable", "NotifyPartitionChanges", "NotifyClusterInformation",
        "NotifyUpstreamAdmin"},
    ("CONTROL", "ADMIN"): set(),
    ("STORAGE", "CLIENT"): {
        "AskObject", "AskStoreObject", "AskRelockObject", "AskCheckCurrentSerial",
        "AskStoreTransaction", "AskVoteTransaction", "AbortTransaction", "AskFinalTID", "AskTIDs",
        "AskTIDsFrom", "AskOIDsFrom", "AskTransactionInformation", "AskObjectHistory",
        "AskObjectUndoSerial"},
    ("STORAGE", "MASTER"): {
        "StopOperation", "NotifyClusterInformation", "NotifyPartitionChanges", "NotifyPackSigned",
        "NotifyTransactionFinished", "AbortTransaction", "AskFinalTID", "AskPackOrders",
        "NotifyRepair"},
    ("STORAGE starting", "MASTER"): {
        "SendPartitionTable", "Truncate", "AskRecovery", "AskLastIDs", "AskPartitionTable",
        "AskLockedTransactions", "ValidateTransaction", "StartOperation"},
    ("STORAGE operational", "MASTER"): {
        "AskLockInformation", "NotifyUnlockInformation", "Replicate", "CheckPartition"},
    ("MASTER recovering", "STORAGE"): set(),
    ("MASTER verifying", "STORAGE"): {"NotifyPackCompleted"},
    ("MASTER running", "STORAGE"): {
        "NotifyReady", "AskUnfinishedTransactions", "NotifyReplicationDone",
        "NotifyPartitionCorrupted", "NotifyPackCompleted", "AskPackOrders"},
}


class Refused(Exception):
    """An `Error` came as answer."""

    def __init__(self, request, code, text):
        super().__init__(f"{request}: {wire.ErrorCodes(code).name} {text.decode()}")
        self.code = wire.ErrorCodes(code)
        self.text = text.decode()


class Closed(Exception):
    """The connection was lost."""


class Connection:
    """Messages of one connection, checked as they come.

    Notifications and requests of the other side wait in an inbox, in order of arrival. `observe` is
    called for each message at its place in that order, before anybody who waits for it wakes up.
    """

    def __init__(self, name, reader, writer, accepts=frozenset()):
        self.name = name
        self.accepts = accepts
        self.history = []
        self.observe = lambda name, args: None
        self.patience = PATIENCE
        self._reader = reader
        self._writer = writer
        self._sent = 0
        self._received = 0
        self._pending = {}
        self._requests = set()
        self._inbox = collections.deque()
        self._arrival = asyncio.Condition()
        self._end = None
        writer.write(wire.HANDSHAKE)
        self._task = asyncio.create_task(self._receive())

    @classmethod
    async def open(cls, name, address, accepts=frozenset()):
        reader, writer = await asyncio.open_connection(*address)
        return cls(name, reader, writer, accepts)

    # Sending

    def send(self, name, *args):
        """Sends a notification or a request; returns its id."""
        msg_id = self._sent
        self._sent += 1
        self._writer.write(wire.encode(msg_id, name, args))
        return msg_id

    def answer(self, msg_id, name, *args):
        self._requests.remove(msg_id)
        self._writer.write(wire.encode(msg_id, name, args))

    def request(self, name, *args):
        """Sends a request; returns the future of its answer."""
        future = asyncio.get_running_loop().create_future()
        # Who does not care about an answer is not to be told that nobody looked at it.
        future.add_done_callback(lambda f: f.cancelled() or f.exception())
        if self._end is not None:
            future.set_exception(self._end)
            return future
        self._pending[self.send(name, *args)] = wire.BY_NAME[name], future
        return future

    async def ask(self, name, *args):
        """The arguments of the answer."""
        return await patiently(self.request(name, *args), f"{self.name} answers {name}")

    async def refused(self, name, *args):
        """The error that a request is answered with."""
        try:
            answer = await self.ask(name, *args)
        except Refused as refusal:
            return refusal
        raise AssertionError(f"{name}{args} was answered by {answer}")

    # Receiving

    async def next(self, *names):
        """The next notification or request, which has to be one of these: (name, id, args)."""
        await self._wait_for(lambda: self._inbox, f"{self.name} sends {names}")
        name, msg_id, args = self._inbox.popleft()
        assert name in names, f"{self.name} sent {name}{args}, expected {names}"
        return name, msg_id, args

    async def expect(self, name):
        """The arguments of the next notification, which has to have this name."""
        return (await self.next(name))[2]

    async def serve(self, name, answer, *args):
        """Answers the next request, which has to have this name; returns its arguments."""
        _, msg_id, received = await self.next(name)
        self.answer(msg_id, answer, *args)
        return received

    def nothing_came(self):
        assert not self._inbox, f"{self.name} sent {list(self._inbox)}"

    async def until(self, what, condition):
        await self._wait_for(condition, f"{self.name}: {what}")

    async def closed(self):
        """Waits for the end of the connection."""
        async def end():
            async with self._arrival:
                await self._arrival.wait_for(lambda: self._end is not None)
        await patiently(end(), f"{self.name} closes")
        if isinstance(self._end, Violation):
            raise self._end

    def close(self):
        self._task.cancel()
        self._writer.close()

    async def _wait_for(self, condition, what):
        async def wait():
            async with self._arrival:
                await self._arrival.wait_for(lambda: condition() or self._end is not None)
        await patiently(wait(), what, self.patience)
        if not condition():
            raise self._end

    async def _receive(self):
        decoder = wire.Decoder()
        end = None
        try:
            while data := await self._reader.read(1 << 16):
                decoder.feed(data)
                for message, msg_id, args in decoder:
                    self._dispatch(message, msg_id, args)
                async with self._arrival:
                    self._arrival.notify_all()
            if decoder.incomplete:
                raise Violation("ended inside of a message")
            end = Closed(f"{self.name} closed the connection")
        except OSError as e:
            end = Closed(f"{self.name}: {e}")
        except Exception as e:
            end = Violation(f"{self.name}: {type(e).__name__}: {e}")
            end.__cause__ = e
        finally:
            self._end = end or Closed(f"connection to {self.name} is closed here")
            self._writer.close()
            for _, future in self._pending.values():
                if not future.done():
                    future.set_exception(self._end)
            async with self._arrival:
                self._arrival.notify_all()

    def _dispatch(self, message, msg_id, args):
        if message.code & 0x8000:
            self._dispatch_answer(message, msg_id, args)
            return
        if msg_id != self._received:
            raise Violation(f"{message} has id {msg_id}, expected {self._received}")
        self._received += 1
        if message.name == "Ping":
            # Anybody may ask anybody for a sign of life.
            self._writer.write(wire.encode(msg_id, "Pong", []))
            return
        if message.name not in self.accepts and message.name not in ANYWHERE:
            raise Violation(f"unexpected {message}{args!r}")
        if message.request:
            self._requests.add(msg_id)
        self.history.append(message.name)
        self.observe(message.name, args)
        self._inbox.append((message.name, msg_id, args))

    def _dispatch_answer(self, message, msg_id, args):
        if msg_id not in self._pending:
            raise Violation(f"{message}{args!r} answers nothing: id {msg_id}")
        request, future = self._pending.pop(msg_id)
        self.history.append(message.name)
        self.observe(message.name, args)
        if message is request.answer and message.name != "Error":
            result = args
        elif message.name != "Error":
            raise Violation(f"{request} was answered by {message}")
        elif request.answer.name == "Error" and args[0] == wire.ErrorCodes.ACK:
            result = args[1].decode()
        else:
            if args[0] == wire.ErrorCodes.ACK:
                raise Violation(f"{request} was answered by an acknowledgement")
            text = args[1].decode()
            if args[0] in (3, 5) and not re.fullmatch("[0-9a-f]{16}", text):
                raise Violation(f"{message}{args!r} does not name an oid")
            if not future.done():
                future.set_exception(Refused(request, *args))
            return
        if not future.done():
            future.set_result(result)


async def patiently(awaitable, what, patience=PATIENCE):
    try:
        return await asyncio.wait_for(awaitable, patience)
    except asyncio.TimeoutError:
        raise AssertionError(f"waited in vain until {what}") from None


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def on_wire(where):
    host, port = where
    return [host.encode(), port]


def run(main, *args):
    """Runs a scenario, as the body of a program."""
    asyncio.run(main(*args))
