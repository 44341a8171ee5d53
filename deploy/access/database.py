"""The tables of people, tokens, sessions and repeated requests; one SQLite file, for its user only.

No secret is in it: passwords as argon2id, tokens and session ids as SHA-256 of 256 random bits.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.access.private_files import private_folder
from deploy.access.roles import same_person
from streaming.contracts.errors import ConfigurationError

FILE = "access.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS people (
    name TEXT PRIMARY KEY, shown TEXT NOT NULL, hash TEXT NOT NULL, added REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, person TEXT NOT NULL, label TEXT NOT NULL,
    role TEXT NOT NULL, created REAL NOT NULL, expires REAL NOT NULL, revoked REAL);
CREATE TABLE IF NOT EXISTS sessions (
    digest TEXT PRIMARY KEY, person TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
    expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pending_sign_ins (
    digest TEXT PRIMARY KEY, state TEXT NOT NULL, nonce TEXT NOT NULL, verifier TEXT NOT NULL,
    following TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    person TEXT NOT NULL, key TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (person, key));
"""


class AccessDatabase:
    """Transactions on the file; each has a connection of its own, so any thread may use it.

    Parameters
    ----------
    folder:
        Its folder; it is made, readable by its user only.

    Raises
    ------
    ConfigurationError
        When the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        private_folder(folder)
        self._file = folder / FILE
        try:
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            self._file.chmod(0o600)
            with self.transaction() as connection:
                connection.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"The file of people and tokens cannot be used: {error}: {self._file}."
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: kept at the end of the `with`, undone by an error."""
        connection = sqlite3.connect(self._file, timeout=10.0)
        connection.create_function("same_person", 1, same_person, deterministic=True)
        try:
            with connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        finally:
            connection.close()


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def secret_digest(secret: str) -> str:
    """What is kept of a secret of `new_secret`; it has too many bits to be guessed from this."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
