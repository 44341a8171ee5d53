"""Remembers answered requests by their Idempotency-Key, so that a repeated one acts once.

See the IETF draft "The Idempotency-Key HTTP Header Field": the same key with another content is
refused, and while the first request runs the second is told so.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from deploy.access.database import AccessDatabase
from deploy.access.roles import same_person
from streaming.contracts.errors import Conflict

KEPT_SECONDS = 86_400.0
RUNNING = 0
"""The status of a request that has no answer yet."""
ABANDONED_SECONDS = 120.0
"""A request without an answer after this time was interrupted, and may be sent again."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer that a request had."""

    status: int
    body: str


class RepeatedRequests:
    """The requests of a database; each person has keys of their own."""

    def __init__(self, database: AccessDatabase) -> None:
        self._database = database

    def begin(self, person: str, key: str, content: str, *, now: float) -> Answered | None:
        """Begin a request; its answer, when it has been answered before.

        Parameters
        ----------
        content:
            Digest of what is requested.

        Raises
        ------
        Conflict
            When the key was used for something else, or the same request is running.
        """
        with self._database.transaction() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM requests WHERE at <= ?", (now - KEPT_SECONDS,))
            row = connection.execute(
                "SELECT content, at, status, body FROM requests WHERE person = ? AND key = ?",
                (same_person(person), key),
            ).fetchone()
            if row is None or (row[2] == RUNNING and now - row[1] > ABANDONED_SECONDS):
                _put(connection, (same_person(person), key, content, now, RUNNING, ""))
                return None
        if row[0] != content:
            raise Conflict("This Idempotency-Key was used for another request.")
        if row[2] == RUNNING:
            raise Conflict("The same request is still running; send it again in a moment.")
        return Answered(row[2], row[3])

    def end(self, person: str, key: str, content: str, answer: Answered, *, now: float) -> None:
        """Keep the answer."""
        values = (same_person(person), key, content, now, answer.status, answer.body)
        with self._database.transaction() as connection:
            _put(connection, values)

    def forget(self, person: str, key: str) -> None:
        """Forget a request that came to nothing, so that it can be sent again."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM requests WHERE person = ? AND key = ?", (same_person(person), key)
            )


def _put(connection: sqlite3.Connection, values: tuple[object, ...]) -> None:
    connection.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?)", values)
