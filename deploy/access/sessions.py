"""Sessions of browsers. The id is random, kept as a digest, and another one after each sign-in."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from deploy.access.database import AccessDatabase, new_secret, secret_digest

PENDING_SECONDS = 600.0
"""How long a sign-in at a provider may take."""
_USED_SECONDS = 30.0
"""A use is noted at most this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSignIn:
    """What the answer of an OpenID provider is compared with."""

    state: str
    nonce: str
    verifier: str
    """PKCE's code verifier (RFC 7636)."""
    following: str
    """The page that was asked for."""


class Sessions:
    """The sessions of a database.

    Parameters
    ----------
    seconds, idle:
        Longest life of a session, and of one that is not used.
    """

    def __init__(self, database: AccessDatabase, *, seconds: float, idle: float) -> None:
        self._database = database
        self._seconds, self._idle = seconds, idle

    def begin(self, person: str, *, now: float, replaced: str | None = None) -> str:
        """Begin a session with a new id; `replaced`, which the browser sent, ends."""
        secret = new_secret()
        with self._database.transaction() as connection:
            if replaced is not None:
                _delete(connection, replaced)
            connection.execute(
                "DELETE FROM sessions WHERE expires <= ? OR used <= ?", (now, now - self._idle)
            )
            connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)",
                (secret_digest(secret), person, now, now, now + self._seconds),
            )
        return secret

    def person(self, secret: str, *, now: float) -> str | None:
        """Who has signed in with this session; None when it has ended or never began."""
        key = secret_digest(secret)
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT person, used, expires FROM sessions WHERE digest = ?", (key,)
            ).fetchone()
            if row is None or now >= row[2] or now - row[1] >= self._idle:
                return None
            if now - row[1] >= min(_USED_SECONDS, self._idle / 2):
                connection.execute("UPDATE sessions SET used = ? WHERE digest = ?", (now, key))
        return str(row[0])

    def end(self, secret: str) -> None:
        """End a session."""
        with self._database.transaction() as connection:
            _delete(connection, secret)

    def begin_pending(self, pending: PendingSignIn, *, now: float) -> str:
        """Keep what a sign-in at a provider needs; returns the id for the browser's cookie."""
        secret = new_secret()
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM pending_sign_ins WHERE expires <= ?", (now,))
            connection.execute(
                "INSERT INTO pending_sign_ins VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(secret_digest(secret), pending.state, pending.nonce, pending.verifier),
                    *(pending.following, now + PENDING_SECONDS),
                ),
            )
        return secret

    def take_pending(self, secret: str, *, now: float) -> PendingSignIn | None:
        """What was kept for this browser's sign-in, once; None when there is nothing."""
        key = secret_digest(secret)
        with self._database.transaction() as connection:
            row = connection.execute(
                "DELETE FROM pending_sign_ins WHERE digest = ? AND expires > ? "
                "RETURNING state, nonce, verifier, following",
                (key, now),
            ).fetchone()
        if row is None:
            return None
        return PendingSignIn(state=row[0], nonce=row[1], verifier=row[2], following=row[3])


def _delete(connection: sqlite3.Connection, secret: str) -> None:
    connection.execute("DELETE FROM sessions WHERE digest = ?", (secret_digest(secret),))
