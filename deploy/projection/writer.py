"""Applies messages of the log to the projection: idempotent, and safe against a crash.

Rows and offsets change in one transaction. A message that was applied already is skipped by its
offset, and a record that comes again replaces its own row, so that any message may come any number
of times. One process writes at a time; a lock file makes sure of that.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from deploy.projection import database
from deploy.projection.rows import Row, kind_of, row_of
from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.errors import Conflict, DecodeError
from streaming.contracts.log import Message
from streaming.contracts.records import AnyRecord

NEWEST_BODIES = {
    kind_of(record): number
    for topic, number in (
        (topics.WINDOW_STATISTICS, 0),
        (topics.PREDICTION_SCORES, 0),
        (topics.ROLLOUT_INPUTS, 0),
        (topics.DRIFT_VERDICTS, 200),
        (topics.QUALITY_VERDICTS, 200),
        (topics.SCHEMA_VERDICTS, 50),
        (topics.RETRAIN_PROGRESS, 200),
        (topics.DEAD_LETTERS, 200),
    )
    if (record := topic.record) is not None
}
"""Full records that are kept of each model, by kind; older ones are in the log at their offset.
Kinds that are not named are few and are kept for ever."""
_UPSERT = """
INSERT INTO records (
    record_id, kind, model, at, version, subject, outcome, headline, reason, window_start,
    window_end, measure, person, topic, partition, position
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (record_id) DO UPDATE SET
    kind = excluded.kind, model = excluded.model, at = excluded.at, version = excluded.version,
    subject = excluded.subject, outcome = excluded.outcome, headline = excluded.headline,
    reason = excluded.reason, window_start = excluded.window_start,
    window_end = excluded.window_end, measure = excluded.measure,
    person = excluded.person, topic = excluded.topic, partition = excluded.partition,
    position = excluded.position
"""
TRIM = """
DELETE FROM bodies WHERE record_id IN (
    SELECT record_id FROM records WHERE model = ? AND kind = ? ORDER BY at DESC LIMIT ? OFFSET ?
)
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a transaction changed."""

    records: int
    """Messages that were new."""
    models: frozenset[str]
    """Models that they are about."""


class ProjectionWriter:
    """The projection's only writer.

    Parameters
    ----------
    folder:
        Folder of the projection; it is created.

    Raises
    ------
    Conflict
        When another process writes to it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / database.FILE
        self._lock = _locked(folder / "writer.lock")
        self._connection = database.open_to_write(self.file)

    def close(self) -> None:
        """Close the file and let another writer in."""
        self._connection.close()
        os.close(self._lock)

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset to read of each topic and partition."""
        rows = self._connection.execute("SELECT topic, partition, next FROM positions")
        return {(topic, partition): following for topic, partition, following in rows}

    def rebuild(self) -> None:
        """Forget all that was derived; the next feeding reads archive and log from their start."""
        with _Transaction(self._connection):
            database.reset(self._connection)

    def read_archive(self) -> int:
        """Make the rows of archived records after a rebuild; returns how many there are.

        The log is read afterwards, so where it still has a record its row is the log's.
        """
        state = self._connection.execute("SELECT value FROM meta WHERE name = 'archive'").fetchone()
        if state is None or state[0] == "read":
            return 0
        stored = self._connection.execute(
            "SELECT topic, partition, position, packed FROM bodies ORDER BY topic, position"
        ).fetchall()
        with _Transaction(self._connection):
            for topic, partition, position, packed in stored:
                value = zlib.decompress(packed)
                try:
                    self._put(decode(value), topic, partition, position)
                except DecodeError as error:
                    self._set_unreadable(topic, partition, position, str(error))
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('archive', 'read')")
        return len(stored)

    def set_position(self, topic: str, partition: int, following: int) -> None:
        """Go on at another offset: the last ones hold no message, or the topic is a new one."""
        with _Transaction(self._connection):
            self._advance(topic, partition, following)

    def apply(self, messages: Sequence[Message]) -> Applied:
        """Apply messages in their order, with their offsets, all or none."""
        positions = self.positions()
        ends: dict[tuple[str, int], int] = {}
        touched: Counter[tuple[str, str]] = Counter()
        fresh = 0
        with _Transaction(self._connection):
            for message in messages:
                place = (message.topic, message.partition)
                if message.offset < ends.get(place, positions.get(place, 0)):
                    continue
                ends[place] = message.offset + 1
                fresh += 1
                record = self._apply_one(message)
                if record is not None:
                    touched[record.model, kind_of(record)] += 1
            for (topic, partition), end in ends.items():
                self._advance(topic, partition, end)
            self._trim(touched)
        return Applied(fresh, frozenset(model for model, _ in touched))

    def _apply_one(self, message: Message) -> AnyRecord | None:
        if message.value is None:  # a deletion mark; the archive keeps what it deletes
            return None
        try:
            record = decode(message.value)
        except DecodeError as error:
            self._set_unreadable(message.topic, message.partition, message.offset, str(error))
            return None
        self._put(record, message.topic, message.partition, message.offset)
        if NEWEST_BODIES.get(kind_of(record)) != 0:
            packed = zlib.compress(message.value, 1)
            self._connection.execute(
                "INSERT OR REPLACE INTO bodies VALUES (?, ?, ?, ?, ?)",
                (record.record_id, message.topic, message.partition, message.offset, packed),
            )
        return record

    def _put(self, record: AnyRecord, topic: str, partition: int, position: int) -> None:
        row = row_of(record)
        self._connection.execute(_UPSERT, (*_slim(row), topic, partition, position))
        self._connection.execute("DELETE FROM causes WHERE effect = ?", (row.record_id,))
        self._connection.executemany(
            "INSERT INTO causes VALUES (?, ?, ?)",
            [(row.record_id, place, cause) for place, cause in enumerate(row.causes)],
        )

    def _set_unreadable(self, topic: str, partition: int, position: int, problem: str) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO unreadable VALUES (?, ?, ?, ?)",
            (topic, partition, position, problem),
        )

    def _advance(self, topic: str, partition: int, following: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", (topic, partition, following)
        )

    def _trim(self, touched: Mapping[tuple[str, str], int]) -> None:
        """Drop the bodies that became too many: no more than were added."""
        for (model, kind), added in touched.items():
            kept = NEWEST_BODIES.get(kind, 0)
            if kept:
                self._connection.execute(TRIM, (model, kind, added, kept))


BATCH = 1000
"""Most messages of one transaction."""


def _slim(row: Row) -> tuple[object, ...]:
    return astuple(row)[:-1]  # the causes have a table of their own


class _Transaction:
    """All statements in it take effect, or none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("ROLLBACK" if kind else "COMMIT")


def _locked(file: Path) -> int:
    """A descriptor that holds the lock until it is closed, also when the process is killed."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Conflict(
            f"Another process writes to the projection in {file.parent}: only one console of a "
            "deployment can run."
        ) from error
    return descriptor
