"""A store as an older version would have left it: the schema up to that version, filled with what a store of today holds."""
import sqlite3
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPLICATION_ID = 0x526C4272
SCHEMAS = sorted((ROOT / "schemas/sql").glob("*.sql"))
# Functions that migrations ask; nothing is in the store yet when they do.
FUNCTIONS = ("user_of", "user_mention")


def version_of(path):
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return store.execute("PRAGMA user_version").fetchone()[0]
    finally:
        store.close()


def _columns(store, schema, table):
    # Without those that are generated.
    return [row[1] for row in store.execute(f"PRAGMA {schema}.table_xinfo({table})") if row[6] == 0]


def _fill(store):
    tables = [name for name, in store.execute(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
    for table in tables:
        there = _columns(store, "today", table)
        both = ", ".join(name for name in _columns(store, "main", table) if name in there)
        if both:
            store.execute(f"DELETE FROM main.{table}")
            store.execute(f"INSERT INTO main.{table} ({both}) SELECT {both} FROM today.{table}")


def make_older(path):
    """Puts one of the version before in the place of the store at path, which nobody has open. Returns that version."""
    version = version_of(path) - 1
    today = path.with_name(path.name + ".today")
    path.rename(today)
    store = sqlite3.connect(path, isolation_level=None)
    try:
        for name in FUNCTIONS:
            store.create_function(name, -1, lambda *_: None, deterministic=True)
        store.execute("PRAGMA foreign_keys = OFF")
        for text in SCHEMAS[:version]:
            store.executescript(text.read_text())
        triggers = store.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            store.execute(f"DROP TRIGGER {name}")
        store.execute("ATTACH ? AS today", (str(today),))
        _fill(store)
        for _, sql in triggers:
            store.execute(sql)
        store.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        store.execute(f"PRAGMA user_version = {version}")
    finally:
        store.close()
    path.chmod(0o600)
    for left in (today, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        left.unlink(missing_ok=True)
    return version
