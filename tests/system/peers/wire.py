"""What travels between NEO nodes, written down a second time.

The table is typed from the protocol's description and shares nothing with the TypeScript code, so
that a misreading there is not repeated here. Everything that a peer of another make could choke on
is refused: a `str`, a float32, an integer for a boolean, a missing argument, an unknown number.
"""

import enum
import re

import msgpack

HANDSHAKE = bytes.fromhex("92a34e454f05")

ZERO = bytes(8)
MAX_TID = b"\x7f" + b"\xff" * 7
ZERO_HASH = bytes(20)
ALL_PARTITIONS = 0xFFFFFFFF


class Violation(Exception):
    """The other side broke the protocol."""


class CellStates(enum.Enum):
    OUT_OF_DATE, UP_TO_DATE, FEEDING, CORRUPTED, DISCARDED = range(5)


class ClusterStates(enum.Enum):
    (RECOVERING, VERIFYING, RUNNING, STOPPING,
     STARTING_BACKUP, BACKINGUP, STOPPING_BACKUP) = range(7)


class NodeStates(enum.Enum):
    UNKNOWN, DOWN, RUNNING, PENDING = range(4)


class NodeTypes(enum.Enum):
    MASTER, STORAGE, CLIENT, ADMIN = range(4)


class ErrorCodes(enum.IntEnum):
    (ACK, DENIED, NOT_READY, OID_NOT_FOUND, TID_NOT_FOUND, OID_DOES_NOT_EXIST, PROTOCOL_ERROR,
     REPLICATION_ERROR, CHECKING_ERROR, BACKEND_NOT_IMPLEMENTED, NON_READABLE_CELL,
     READ_ONLY_ACCESS, INCOMPLETE_TRANSACTION, UNDO_PACK_ERROR) = range(14)


# Ext type 2 is that of the error codes, which only ever travel as plain integers.
EXTENSIONS = {0: CellStates, 1: ClusterStates, 3: NodeStates, 4: NodeTypes}
EXTENSION_OF = {members: number for number, members in EXTENSIONS.items()}

# code, name, kind (R: own answer, E: answered by Error, N: notification), arguments, answer
TABLE = """
0001 RequestIdentification R NodeTypes,?nid,?addr,bin,?float,{bin:any} AcceptIdentification NodeTypes,?nid,?nid
0002 Ping R - Pong -
0003 CloseClient N -
0004 AskPrimary R - AnswerPrimary nid
0005 NotPrimaryMaster N ?count,[addr]
0006 NotifyNodeInformation N float,[node]
0007 AskRecovery R - AnswerRecovery ?ptid,?tid,?tid
0008 AskLastIDs R - AnswerLastIDs ?tid,?oid,tid
0009 AskPartitionTable R - AnswerPartitionTable ptid,count,rows
000a SendPartitionTable N ?ptid,count,rows
000b NotifyPartitionChanges N ptid,count,[(part,nid,CellStates)]
000c StartOperation N bool
000d StopOperation N -
000e AskUnfinishedTransactions R [part] AnswerUnfinishedTransactions tid,[tid]
000f AskLockedTransactions R - AnswerLockedTransactions {tid:?tid}
0010 AskFinalTID R tid AnswerFinalTID ?tid
0011 ValidateTransaction N tid,tid
0012 AskBeginTransaction R ?tid AnswerBeginTransaction tid
0013 FailedVote E tid,[nid]
0014 AskFinishTransaction R tid,[oid],[part],[part],?pack AnswerTransactionFinished tid,tid
0015 AskLockInformation R tid,tid,bool AnswerInformationLocked tid
0016 InvalidateObjects N tid,[oid]
0017 InvalidatePartitions N tid,[part]
0018 NotifyUnlockInformation N tid
0019 AskNewOIDs R count AnswerNewOIDs [oid]
001a NotifyDeadlock N tid,oid
001b AskRelockObject R tid,oid AnswerRelockObject ?(tid,tid,?(compression,sha1,bin))
001c AskStoreObject R oid,tid,compression,sha1,bin,?tid,tid AnswerStoreObject ?tid
001d AbortTransaction N tid,[nid]
001e AskStoreTransaction R tid,bin,bin,bin,[oid],?pack AnswerStoreTransaction -
001f AskVoteTransaction R tid AnswerVoteTransaction -
0020 AskObject R oid,?tid,?tid AnswerObject oid,tid,?tid,?compression,sha1,bin,?tid
0021 AskTIDs R count,count,part AnswerTIDs [tid]
0022 AskTransactionInformation R tid AnswerTransactionInformation tid,bin,bin,bin,bool,[oid]
0023 AskObjectHistory R oid,count,count AnswerObjectHistory oid,[(tid,count)]
0024 AskPartitionList R count,count,?nid AnswerPartitionList ?ptid,count,rows
0025 AskNodeList R ?NodeTypes AnswerNodeList [node]
0026 SetNodeState E nid,NodeStates
0027 AddPendingNodes E [nid]
0028 TweakPartitionTable R bool,[nid] AnswerTweakPartitionTable bool,rows
0029 SetNumReplicas E count
002a SetClusterState E ClusterStates
002b Repair E [nid],bool
002c NotifyRepair N bool
002d NotifyClusterInformation N ClusterStates
002e AskClusterState R - AnswerClusterState ?ClusterStates
002f AskObjectUndoSerial R tid,tid,tid,[oid] AnswerObjectUndoSerial {oid:(tid,?tid,bool)}
0030 AskTIDsFrom R tid,tid,count,part AnswerTIDsFrom [tid]
0031 AskOIDsFrom R part,count,oid,tid AnswerOIDsFrom ?oid,[oid]
0032 WaitForPack R tid WaitedForPack -
0033 AskPackOrders R tid AnswerPackOrders [(tid,?bool,bool,?[oid],tid)]
0034 NotifyPackSigned N [tid],[tid]
0035 NotifyPackCompleted N tid
0036 CheckReplicas E {part:?nid},tid,?tid
0037 CheckPartition N part,(bin,?addr),tid,tid
0038 AskCheckTIDRange R part,count,tid,tid AnswerCheckTIDRange count,sha1,tid
0039 AskCheckSerialRange R part,count,tid,tid,oid AnswerCheckSerialRange count,sha1,tid,sha1,oid
003a NotifyPartitionCorrupted N part,[nid]
003b NotifyReady N -
003c AskLastTransaction R - AnswerLastTransaction tid
003d AskCheckCurrentSerial R tid,oid,tid AnswerCheckCurrentSerial ?tid
003e NotifyTransactionFinished N tid,tid
003f Replicate N tid,bin,{part:?addr}
0040 NotifyReplicationDone N part,tid
0041 AskFetchTransactions R part,count,tid,tid,[tid],bool AnswerFetchTransactions ?tid,[tid],?tid
0042 AskFetchObjects R part,count,tid,tid,oid,{tid:[oid]} AnswerFetchObjects ?tid,?oid,{tid:[oid]}
0043 AddTransaction N tid,bin,bin,bin,bool,tid,[oid],?(?bool,bool,?[oid],tid)
0044 AddObject N oid,tid,compression,sha1,bin,?tid
0045 Truncate E tid
0046 FlushLog N -
0047 AskMonitorInformation R - AnswerMonitorInformation [?bin],[?bin],bin
0048 NotifyMonitorInformation N {bin:any}
0049 NotifyUpstreamAdmin N addr
"""

ADDRESS = re.compile(rb"[0-9]+(\.[0-9]+){3}|[0-9a-f:]*:[0-9a-f:]*")


def _is_int(value, low, high):
    return type(value) is int and low <= value <= high


def _is_enum(members):
    return lambda value: isinstance(value, members)


def _any(value):
    """What an open map may hold: anything but a `str`."""
    if isinstance(value, str):
        return False
    if isinstance(value, list):
        return all(map(_any, value))
    if isinstance(value, dict):
        return all(_any(k) and _any(v) for k, v in value.items())
    return True


ATOMS = {
    "any": _any,
    "bin": lambda v: type(v) is bytes,
    "bool": lambda v: type(v) is bool,
    "compression": lambda v: _is_int(v, 0, 1),
    "count": lambda v: _is_int(v, 0, 2**63 - 1),
    "code": lambda v: _is_int(v, 0, 13),
    "float": lambda v: type(v) is float,
    "host": lambda v: type(v) is bytes and ADDRESS.fullmatch(v) is not None,
    "nid": lambda v: _is_int(v, -0x2FFFFFFF, 0x0FFFFFFF) and v != 0,
    "oid": lambda v: type(v) is bytes and len(v) == 8,
    "part": lambda v: _is_int(v, 0, 0xFFFFFFFF),
    "port": lambda v: _is_int(v, 1, 0xFFFF),
    "ptid": lambda v: _is_int(v, 1, 2**63 - 1),
    "sha1": lambda v: type(v) is bytes and len(v) == 20,
    "tid": lambda v: type(v) is bytes and len(v) == 8,
    **{members.__name__: _is_enum(members) for members in EXTENSION_OF},
}
ALIASES = {
    "addr": "(host,port)",
    "node": "(NodeTypes,?addr,?nid,NodeStates,?float)",
    "pack": "(?[oid],tid)",
    "rows": "[[(nid,CellStates)]]",
}


def _compile(tokens):
    """Turns the notation of the table into a function that says whether a value is well-typed."""
    token = tokens.pop(0)
    if token == "?":
        inner = _compile(tokens)
        return lambda v: v is None or inner(v)
    if token == "[":
        inner = _compile(tokens)
        assert tokens.pop(0) == "]"
        return lambda v: type(v) is list and all(map(inner, v))
    if token == "{":
        key = _compile(tokens)
        assert tokens.pop(0) == ":"
        value = _compile(tokens)
        assert tokens.pop(0) == "}"
        return lambda v: type(v) is dict and all(key(k) and value(x) for k, x in v.items())
    if token == "(":
        items = []
        while True:
            items.append(_compile(tokens))
            if tokens.pop(0) == ")":
                break
        return lambda v: (type(v) is list and len(v) == len(items)
                          and all(check(x) for check, x in zip(items, v)))
    if token in ALIASES:
        return _compile(re.findall(r"\w+|[^\w]", ALIASES[token]))
    return ATOMS[token]


class Message:
    """One line of the table."""

    def __init__(self, code, name, arguments, answer=None, request=False):
        self.code = code
        self.name = name
        self.answer = answer
        self.request = request
        notation = "()" if arguments == "-" else f"({arguments})"
        self.notation = notation
        self.check = ((lambda v: v == []) if arguments == "-"
                      else _compile(re.findall(r"\w+|[^\w]", notation)))

    def __repr__(self):
        return self.name


def _read_table():
    error = Message(0x8000, "Error", "code,bin")
    yield error
    for line in TABLE.split("\n")[1:-1]:
        code, name, kind, *rest = line.split(" ")
        code = int(code, 16)
        answer = error if kind == "E" else None
        if kind == "R":
            answer = Message(code | 0x8000, rest[1], rest[2])
            yield answer
        yield Message(code, name, rest[0], answer, kind != "N")


BY_CODE = {message.code: message for message in _read_table()}
BY_NAME = {message.name: message for message in BY_CODE.values()}
assert len(BY_CODE) == len(BY_NAME) == 111


def _extension(value):
    if type(value) in EXTENSION_OF:
        return msgpack.ExtType(EXTENSION_OF[type(value)], bytes([value.value]))
    raise TypeError(f"{value!r} does not travel")


def _enum_member(number, payload):
    if number not in EXTENSIONS or len(payload) != 1:
        raise Violation(f"unknown ext type {number} {payload.hex()}")
    try:
        return EXTENSIONS[number](payload[0])
    except ValueError as e:
        raise Violation(str(e)) from None


def pack(value):
    return msgpack.packb(value, default=_extension, use_bin_type=True, strict_types=True)


def encode(msg_id, name, args):
    """A message as bytes; our own messages have to obey the table too."""
    message = BY_NAME[name]
    args = list(args)
    assert message.check(args), f"{name}{args!r} is not {message.notation}"
    return pack([msg_id, message.code, args])


class Decoder:
    """Cuts a stream into checked messages."""

    def __init__(self):
        self._handshake = b""
        self._raw = bytearray()
        self._start = 0
        self._unpacker = msgpack.Unpacker(
            ext_hook=_enum_member, raw=False, strict_map_key=False, max_buffer_size=1 << 28)

    def feed(self, data):
        missing = len(HANDSHAKE) - len(self._handshake)
        if missing:
            self._handshake += data[:missing]
            data = data[missing:]
            if not HANDSHAKE.startswith(self._handshake):
                raise Violation(f"bad handshake {self._handshake.hex()}")
        self._raw += data
        self._unpacker.feed(data)

    @property
    def incomplete(self):
        """Whether the bytes received so far end inside of something."""
        return len(self._handshake) < len(HANDSHAKE) or len(self._raw) > 0

    def __iter__(self):
        for value in self._unpacker:
            end = self._unpacker.tell()
            raw = bytes(self._raw[:end - self._start])
            del self._raw[:end - self._start]
            self._start = end
            yield check(value, raw)


def check(value, raw):
    """`(message, id, arguments)` of a decoded value that came as these bytes."""
    if type(value) is not list or len(value) != 3:
        raise Violation(f"not an array of 3: {raw[:100].hex()}")
    msg_id, code, args = value
    if not _is_int(msg_id, 0, 0xFFFFFFFF):
        raise Violation(f"message id {msg_id!r}")
    message = BY_CODE.get(code) if type(code) is int else None
    if message is None:
        raise Violation(f"unknown code {code!r}")
    if type(args) is not list or not message.check(args):
        raise Violation(f"{message}{args!r} is not {message.notation}")
    # Only the shortest form of each value, and float64 only: what encodes to the same bytes.
    if pack(value) != raw:
        raise Violation(f"{message} is not in canonical form: {raw[:200].hex()}")
    return message, msg_id, args


def u64(identifier):
    return int.from_bytes(identifier, "big")


def p64(number):
    return number.to_bytes(8, "big")


def add64(identifier, n):
    return p64(u64(identifier) + n)
