"""The projection's SQLite file: its tables, its format version, and how it is opened.

There are two kinds of tables. The *derived* ones (`records`, `causes`, …) can be made again from
the log at any time and are dropped when `FORMAT` changes. `bodies` is the *archive*: full records,
also of those that Kafka has compacted or deleted since. A rebuild keeps it, and reads it before it
reads the log.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

FORMAT = 2
"""Version of the derived tables; another version in the file makes them anew."""
FILE = "projection.sqlite"
ARCHIVE = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bodies (
    record_id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    packed BLOB NOT NULL
);
"""
DERIVED = """
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY,
    record_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    at REAL NOT NULL,
    version INTEGER NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    headline TEXT NOT NULL,
    reason TEXT NOT NULL,
    window_start REAL NOT NULL,
    window_end REAL NOT NULL,
    measure REAL,
    person TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_model_kind ON records (model, kind, at);
CREATE INDEX IF NOT EXISTS by_kind ON records (kind, at);
CREATE INDEX IF NOT EXISTS by_model ON records (model, at);
CREATE INDEX IF NOT EXISTS by_subject ON records (subject, kind, at) WHERE subject <> '';
CREATE INDEX IF NOT EXISTS by_version ON records (version, kind, model, at) WHERE version > 0;
CREATE INDEX IF NOT EXISTS by_position ON records (topic, partition, position);
CREATE TABLE IF NOT EXISTS causes (
    effect TEXT NOT NULL,
    place INTEGER NOT NULL,
    cause TEXT NOT NULL,
    PRIMARY KEY (effect, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_cause ON causes (cause, effect);
CREATE TABLE IF NOT EXISTS unreadable (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (topic, partition, position)
) WITHOUT ROWID;
"""
_DERIVED_TABLES = ("positions", "records", "causes", "unreadable")


def open_to_write(file: Path) -> sqlite3.Connection:
    """Open the file for its single writer; create or renew its tables where needed.

    After a change of `FORMAT` the derived tables are empty, so the next feeding begins with the
    archive and the start of every topic.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # a power failure may undo the last transactions, never tear one; their offsets go with them
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("BEGIN IMMEDIATE")
    _run(connection, ARCHIVE)
    if format_of(connection) != FORMAT:
        reset(connection)
    _run(connection, DERIVED)
    connection.execute("COMMIT")
    return connection


def reset(connection: sqlite3.Connection) -> None:
    """Drop and create the derived tables inside the caller's transaction; the archive stays."""
    for table in _DERIVED_TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    _run(connection, DERIVED)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('format', ?)", (str(FORMAT),))
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('archive', 'unread')")


def format_of(connection: sqlite3.Connection) -> int:
    """Format version of the derived tables; 0 for a new file."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    return int(row[0]) if row else 0


def open_to_read(file: Path) -> sqlite3.Connection:
    """Open the file for queries only; a reader never waits for the writer.

    Raises
    ------
    sqlite3.OperationalError
        When there is no such file.
    """
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA busy_timeout = 1000")
    return connection


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Each statement on its own: `executescript` would end the transaction."""
    for statement in filter(str.strip, script.split(";")):
        connection.execute(statement)
