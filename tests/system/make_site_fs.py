"""Makes the Data.fs of a site with ZODB: 100 MB of records, one of them of 20 MB.

    make_site_fs.py FILE
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'filestorage'))

from make_data_fs import Maker, delete, put, record  # noqa: E402

TRANSACTIONS = 400
RECORDS = 25
LENGTH = 8000
OBJECTS = 3000


def site(path):
    m = Maker(path)
    m.commit(put(0, record({})), description=b'initial database creation')
    for n in range(TRANSACTIONS):
        # Half of it compresses.
        oids = sorted({1 + (n * RECORDS + i) * 7919 % OBJECTS for i in range(RECORDS)})
        m.commit(*[put(oid, os.urandom(LENGTH // 2).ljust(LENGTH, b' ')) for oid in oids],
                 user='Ren\u00e9 %d'.encode() % n, description=b'/edit/%d' % n)
        if n == TRANSACTIONS // 2:
            m.commit(put(9999, os.urandom(20_000_000)), description=b'a large record')
            m.undo(m.n - 1, description=b'undo')
            m.undo(m.n, description=b'undo of the undo')
            m.commit(delete(1))
    m.close()


if __name__ == '__main__':
    site(*sys.argv[1:])
