"""What was delivered, what waits, and which thread tells which cause: one SQLite file.

Everything is written before it is sent, so the notifier can be killed at any moment: it then sends
what it does not know to be delivered again, under the same id.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEPT_SECONDS = 90 * 86400.0
"""How long the history is kept."""
_TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    id TEXT PRIMARY KEY, at REAL NOT NULL, channel TEXT NOT NULL, cause TEXT NOT NULL,
    body BLOB NOT NULL, attempts INTEGER NOT NULL, due REAL NOT NULL,
    outcome TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS pending ON deliveries (channel, at) WHERE outcome = 'waiting';
CREATE INDEX IF NOT EXISTS by_time ON deliveries (at);
CREATE TABLE IF NOT EXISTS threads (
    cause TEXT PRIMARY KEY, message TEXT NOT NULL, place TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS asked (
    message TEXT PRIMARY KEY, request TEXT NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS presses (signature TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS local_messages (
    message TEXT PRIMARY KEY, thread TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL
);
"""


def history_file(home: Path) -> Path:
    """Where the history of a deployment's notifications lies."""
    return home / "notify" / "history.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notification to one channel."""

    id: str
    at: float
    channel: str
    cause: str
    body: bytes
    attempts: int
    outcome: str
    """``waiting``, ``delivered``, ``failed`` (given up) or ``refused`` (may not be sent)."""
    detail: str


@dataclass(frozen=True, slots=True)
class Thread:
    """The message that opened a cause."""

    message: str
    place: str
    """Slack's channel."""


class History:
    """The file; its methods may be called from any thread."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # ---------------------------------------------------------------- deliveries

    def enqueue(self, channel: str, cause: str, body: bytes, now: float) -> str:
        """Add a notification; returns its id."""
        delivery_id = uuid.uuid4().hex
        self._run(
            "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, 0, ?, 'waiting', '')",
            (delivery_id, now, channel, cause, body, now),
        )
        self._run("DELETE FROM deliveries WHERE at < ?", (now - KEPT_SECONDS,))
        return delivery_id

    def due(self, channel: str, now: float) -> Delivery | None:
        """The oldest waiting notification of a channel, if its time has come.

        Those behind it wait for it, so that a thread tells things in their order.
        """
        rows = self._run(
            "SELECT id, at, channel, cause, body, attempts, outcome, detail, due FROM deliveries "
            "WHERE channel = ? AND outcome = 'waiting' ORDER BY at, rowid LIMIT 1",
            (channel,),
        )
        if not rows or rows[0][-1] > now:
            return None
        return _delivery(rows[0])

    def tried(self, delivery: Delivery, outcome: str, detail: str, due: float = 0.0) -> None:
        """Note an attempt; with outcome ``waiting`` it is tried again at `due`."""
        self._run(
            "UPDATE deliveries SET attempts = attempts + 1, outcome = ?, detail = ?, due = ? "
            "WHERE id = ?",
            (outcome, detail[:500], due, delivery.id),
        )

    def newest(self, count: int) -> list[Delivery]:
        """The newest notifications, newest first."""
        rows = self._run(
            "SELECT id, at, channel, cause, body, attempts, outcome, detail FROM deliveries "
            "ORDER BY at DESC, rowid DESC LIMIT ?",
            (count,),
        )
        return [_delivery(row) for row in rows]

    # ------------------------------------------------------------------- threads

    def thread(self, cause: str) -> Thread | None:
        """The open thread of a cause."""
        rows = self._run("SELECT message, place FROM threads WHERE cause = ?", (cause,))
        return Thread(*rows[0]) if rows else None

    def open_thread(self, cause: str, thread: Thread) -> None:
        """Later messages on the cause go there."""
        self._run(
            "INSERT OR REPLACE INTO threads VALUES (?, ?, ?)",
            (cause, thread.message, thread.place),
        )

    def close_thread(self, cause: str) -> None:
        """The cause is resolved; when it comes back it opens another thread."""
        self._run("DELETE FROM threads WHERE cause = ?", (cause,))

    # ------------------------------------------------------------------- buttons

    def asked(self, message: str, request: str, digest: str) -> None:
        """A message with buttons shows this request, with what it was bound to."""
        self._run(
            "INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)",
            (message, request, digest, time.time()),
        )

    def shown(self, message: str) -> tuple[str, str] | None:
        """Request and digest that a message showed."""
        rows = self._run("SELECT request, digest FROM asked WHERE message = ?", (message,))
        return rows[0] if rows else None

    def first_press(self, signature: str, now: float) -> bool:
        """Note a signed press; false when the same was there before."""
        self._run("DELETE FROM presses WHERE at < ?", (now - 3600.0,))
        return bool(
            self._run(
                "INSERT OR IGNORE INTO presses VALUES (?, ?) RETURNING signature", (signature, now)
            )
        )

    # ----------------------------------------------------------- local receiver

    def keep_message(self, message: str, thread: str, at: float, body: str) -> None:
        """Keep a message of the local receiver."""
        self._run(
            "INSERT OR REPLACE INTO local_messages VALUES (?, ?, ?, ?)", (message, thread, at, body)
        )
        self._run("DELETE FROM local_messages WHERE at < ?", (at - KEPT_SECONDS,))

    def messages(self, count: int) -> list[tuple[str, str, float, str]]:
        """The newest messages of the local receiver: id, thread, time, JSON; newest first."""
        return self._run(
            "SELECT message, thread, at, body FROM local_messages ORDER BY at DESC LIMIT ?",
            (count,),
        )

    def _run(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()


def _delivery(row: tuple[Any, ...]) -> Delivery:
    names = ("id", "at", "channel", "cause", "body", "attempts", "outcome", "detail")
    return Delivery(**dict(zip(names, row[:8], strict=True)))
