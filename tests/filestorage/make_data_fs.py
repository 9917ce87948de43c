"""Makes FileStorage files with ZODB, and says what ZODB reads in files.

    make_data_fs.py make FOLDER     one file per subject of a test; those of tests/fixtures/filestorage
                                    were made so, except the large one
    make_data_fs.py dump FILE...    one line of JSON per file: its transactions, as ZODB iterates them
    make_data_fs.py lock FILE       opens a file for writing, says "locked", waits for its stdin to end
"""
import base64
import hashlib
import json
import os
import pickle
import sys

from persistent.TimeStamp import TimeStamp
from ZODB.blob import Blob
from ZODB.Connection import TransactionMetaData
from ZODB.FileStorage import FileStorage
from ZODB.serialize import ObjectWriter, referencesf
from ZODB.utils import p64, u64

BASE = u64(TimeStamp(2020, 5, 17, 12, 0, 0).raw())


def tid_of(n):
    return p64(BASE + (n << 32))


class Maker:
    """Commits transactions numbered 1, 2..., one minute apart."""

    def __init__(self, path):
        self.storage = FileStorage(path, create=True)
        self.n = 0

    def commit(self, *actions, user=b'', description=b'', extension=b'', tid=None, status=' '):
        self.n += 1
        tid = tid or tid_of(self.n)
        meta = TransactionMetaData(user, description, extension)
        self.storage.tpc_begin(meta, tid, status)
        for action in actions:
            action(self.storage, tid, meta)
        self.storage.tpc_vote(meta)
        self.storage.tpc_finish(meta)
        return tid

    def undo(self, n, **kw):
        ident = base64.encodebytes(tid_of(n)).rstrip()
        return self.commit(lambda s, tid, meta: s.undo(ident, meta), **kw)

    def close(self):
        self.storage.close()


def put(oid, data, hint=None):
    return lambda s, tid, meta: s.restore(p64(oid), tid, data, '', hint, meta)


def delete(oid):
    def action(s, tid, meta):
        serial = s.load(p64(oid), '')[1]
        s.deleteObject(p64(oid), serial, meta)
    return action


def record(state):
    """An object record as ZODB writes it: class, then state."""
    return (b'\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00.'
            + pickle.dumps({'data': state}, 3))


def holder(*oids):
    """The record of an object that refers to others: a pack keeps them."""
    return (b'\x80\x03cpersistent.list\nPersistentList\nq\x00.\x80\x03]('
            + b''.join(b'C\x08' + p64(oid) + b'Q' for oid in oids) + b'e.')


def history(path):
    m = Maker(path)
    m.commit(put(0, record({})), description=b'initial database creation')        # 1
    m.commit(put(0, record({'x': 1})), put(1, record('one')), put(2, record('two')),
             user=b'bob', description=b'set x', extension=pickle.dumps({'n': 5}, 3))  # 2
    m.commit(put(0, record({'x': 2})))                                            # 3
    m.undo(3, description=b'undo 3')                                              # 4
    m.undo(4, description=b'undo of the undo')                                    # 5
    m.undo(5, description=b'pointer to a pointer')                                # 6
    m.commit(put(3, record('three')))                                             # 7
    m.undo(7, description=b'undone creation')                                     # 8
    m.undo(8, description=b'undone undone creation')                              # 9
    m.commit(delete(1))                                                           # 10
    m.commit(put(1, record('one again')))                                         # 11
    m.undo(11, description=b'pointer to a deletion')                              # 12
    m.commit(description=b'no record')                                            # 13
    m.commit(put(4, b'x'), user='Ren\u00e9 \u65e5'.encode(), description=b'\xff\xfe\x00binary')
    for protocol in 1, 2, 3:
        m.commit(put(4, b'x%d' % protocol), extension=pickle.dumps({'a': u'b'}, protocol))
    m.commit(put(4, b'y'), extension=b'not a pickle \x00\xff')                     # 18
    m.commit(put((1 << 32) + 7, b'high'), put((1 << 62) + 5, b'higher'), put(6, b'six'))  # 19
    for i in range(1, 4):
        m.commit(put(9, b'close %d' % i), tid=p64(BASE + (19 << 32) + i))         # 20-22
    m.close()


def large(path):
    m = Maker(path)
    m.commit(put(0, record({})))
    m.commit(put(5, b'z'), user=b'u' * 65535, description=b'd' * 65535)
    m.commit(put(7, b'L' * 3_000_000), put(8, os.urandom(700_000)))
    for n in range(400):
        m.commit(*[put(100 + (n * 7 + k) % 97, os.urandom(10 + n)) for k in range(n % 9)])
    m.undo(400)
    m.close()


def packed(path):
    m = Maker(path)
    m.commit(put(0, holder(1, 2)))               # 1
    m.commit(put(1, record('a')), put(2, record('p')))  # 2
    m.commit(put(1, record('b')))                # 3
    m.commit(put(1, record('c')), user=b'kept')  # 4
    m.commit(put(2, record('q')))                # 5
    m.undo(4)                                    # 6, after the pack: needs the record of 3
    m.undo(6)                                    # 7
    m.commit(put(1, record('d')))                # 8
    when = TimeStamp(tid_of(5)).timeTime() + 1
    m.storage.pack(when, referencesf)
    m.commit(put(2, record('r')))
    m.close()


def duplicates(path):
    m = Maker(path)
    m.commit(put(0, record({})), put(1, b'first'))
    m.commit(put(1, b'a'), put(2, b'between'), put(1, b'b'), put(3, b'after'), put(1, b'c'))
    m.commit(put(1, b'later'))
    m.undo(3)
    m.close()


def small(path):
    m = Maker(path)
    m.commit(put(0, record({})), put(1, b'one'))
    m.commit(put(1, b'two'), user=b'bob', description=b'second')
    m.commit(put(0, record({'a': 1})), put(1, b'three'), description=b'third')
    m.close()


def blob(path):
    m = Maker(path)
    m.commit(put(0, record({})))
    m.commit(put(1, ObjectWriter().serialize(Blob())))
    m.close()


def empty(path):
    FileStorage(path, create=True).close()


def make(folder):
    for maker in history, large, packed, duplicates, small, blob, empty:
        maker(os.path.join(folder, maker.__name__ + '.fs'))


def describe(path):
    storage = FileStorage(path, read_only=True)
    transactions = []
    for t in storage.iterator():
        transactions.append({
            'tid': t.tid.hex(),
            'status': t.status if isinstance(t.status, str) else t.status.decode('latin1'),
            'user': t.user.hex(),
            'description': t.description.hex(),
            'extension': t.extension_bytes.hex(),
            'records': [{
                'oid': r.oid.hex(),
                'size': None if r.data is None else len(r.data),
                'sha1': None if r.data is None else hashlib.sha1(r.data).hexdigest(),
                'dataTid': r.data_txn and r.data_txn.hex(),
            } for r in t],
        })
    storage.close()
    return transactions


def lock(path):
    storage = FileStorage(path)
    print('locked', flush=True)
    sys.stdin.read()
    storage.close()


if __name__ == '__main__':
    command, *args = sys.argv[1:]
    if command == 'make':
        make(*args)
    elif command == 'dump':
        for path in args:
            print(json.dumps(describe(path)))
    elif command == 'lock':
        lock(*args)
    else:
        sys.exit(__doc__)
