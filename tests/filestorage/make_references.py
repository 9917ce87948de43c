"""Prints records of objects of many kinds, and the oids that ZODB finds in each."""
import datetime
import decimal
import uuid

import transaction
from BTrees.IOBTree import IOBTree
from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from ZODB import DB
from ZODB.MappingStorage import MappingStorage
from ZODB.serialize import referencesf
from ZODB.utils import u64

storage = MappingStorage()
root = DB(storage).open().root()
shared = root['shared'] = PersistentMapping()
root['list'] = PersistentList([shared, PersistentList([shared]), (shared, [shared, {1: shared}])])
root['tree'] = OOBTree({str(i): PersistentMapping(i=i) for i in range(200)})
root['integers'] = IOBTree({i: PersistentMapping(parent=shared) for i in range(200)})
root['set'] = OOTreeSet(str(i) for i in range(200))
root['values'] = PersistentMapping(
    date=datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    delta=datetime.timedelta(1), decimal=decimal.Decimal('1.5'), uuid=uuid.UUID(int=5),
    set={1, 'a'}, frozen=frozenset([2, b'b']), complex=1j, big=10 ** 400, small=-1,
    float=1.5, bytes=b'\x00' * 300, text='\u65e5' * 300, none=None, flags=[True, False],
    bytearray=bytearray(b'x'), slice=range(5), type=PersistentList, same=[shared, shared])
transaction.commit()
root['weak'] = PersistentList([WeakRef(shared), shared])
transaction.commit()

for state in storage.iterator():
    for record in state:
        print(record.data.hex(), ','.join(str(u64(oid)) for oid in referencesf(record.data)))
