"""The hash chain of the audit log, computed outside of the daemon; whoever may write the store is played here."""
import contextlib
import hashlib
import sqlite3
import struct
import uuid

ZERO = bytes(32)


def digest(*parts):
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def text(value):
    data, size = value.encode(), b""
    left = len(data)
    while left > 127:
        size += bytes([left & 127 | 128])
        left >>= 7
    return size + bytes([left]) + data


def seal(previous, seq, at, actor, action, object_, request, detail):
    return digest(previous, struct.pack("<qq", seq, at), text(actor), text(action), text(object_), text(request),
                  digest(detail.encode()))


@contextlib.contextmanager
def opened(bridge):
    """The store, without the triggers that guard the log; they are there again afterwards."""
    store = sqlite3.connect(bridge.folder / "store.db", isolation_level=None)
    triggers = store.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND (name LIKE 'audit%' "
                             "OR name LIKE 'name%')").fetchall()
    store.execute("BEGIN IMMEDIATE")
    for name, _ in triggers:
        store.execute(f"DROP TRIGGER {name}")
    yield store
    for _, sql in triggers:
        store.execute(sql)
    store.execute("COMMIT")
    store.close()


def rows(store):
    """As people see them."""
    for seq, at, actor, action, object_, request, request_uuid, detail, hash_ in store.execute(
            "SELECT seq, at_s, (SELECT text FROM name WHERE id = actor), (SELECT text FROM name WHERE id = action), "
            "object, (SELECT text FROM name WHERE id = request), request_uuid, detail, hash FROM audit ORDER BY seq"):
        if isinstance(object_, bytes):
            object_ = f"user:{uuid.UUID(bytes=object_)}"
        if request_uuid is not None:
            request = str(uuid.UUID(bytes=request_uuid))
        yield seq, at, actor or "", action or "", object_, request or "", detail, hash_


def seal_again(store, age=0, only=None):
    """The chain made anew, its rows older by so many seconds (only up to a row): what a forger would do."""
    anchor = store.execute("SELECT hash FROM audit_anchor").fetchone()[0]
    previous, changes = anchor, []
    for seq, at, *texts, _ in rows(store):
        if only is None or seq <= only:
            at -= age
        previous = seal(previous, seq, at, *texts)
        changes.append((at, previous, seq))
    store.executemany("UPDATE audit SET at_s = ?, hash = ? WHERE seq = ?", changes)


def make_old(bridge, days, only=None):
    """Stops, and starts it again with a log that is older."""
    bridge.stop()
    with opened(bridge) as store:
        seal_again(store, days * 86400, only)
    bridge.start()
