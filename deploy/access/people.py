"""People who sign in with a password."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.access.database import AccessDatabase
from deploy.access.passwords import hash_password, verify_password
from deploy.access.roles import same_person
from streaming.contracts.errors import ConfigurationError, Conflict, NotFoundError

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Person:
    """A person who can sign in with a password."""

    name: str
    added: float
    """Seconds since 1970."""


class People:
    """The people of a database; names count without regard to capitals."""

    def __init__(self, database: AccessDatabase) -> None:
        self._database = database

    def add(self, name: str, password: str, *, now: float) -> None:
        """Add a person.

        Raises
        ------
        ConfigurationError
            When name or password cannot be used.
        Conflict
            When there is such a person.
        """
        name = name.strip()
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise ConfigurationError(
                f"A name has 1 to {MAX_NAME} printable characters; {name!r} has not."
            )
        stored = hash_password(password)
        with self._database.transaction() as connection:
            added = connection.execute(
                "INSERT OR IGNORE INTO people VALUES (?, ?, ?, ?)",
                (same_person(name), name, stored, now),
            ).rowcount
        if not added:
            raise Conflict(
                f"{name} is known already; `driftline access user password {name}` sets another "
                "password."
            )

    def set_password(self, name: str, password: str) -> None:
        """Set another password and end the person's sessions; raises `NotFoundError`."""
        stored, key = hash_password(password), same_person(name)
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE people SET hash = ? WHERE name = ?", (stored, key)
            ).rowcount
            connection.execute("DELETE FROM sessions WHERE same_person(person) = ?", (key,))
        if not changed:
            raise _unknown(name)

    def remove(self, name: str) -> None:
        """Remove a person, with sessions and tokens; raises `NotFoundError`."""
        key = same_person(name)
        with self._database.transaction() as connection:
            removed = connection.execute("DELETE FROM people WHERE name = ?", (key,)).rowcount
            connection.execute("DELETE FROM sessions WHERE same_person(person) = ?", (key,))
            connection.execute("DELETE FROM tokens WHERE same_person(person) = ?", (key,))
        if not removed:
            raise _unknown(name)

    def listed(self) -> list[Person]:
        """Everybody, by name."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT shown, added FROM people ORDER BY name").fetchall()
        return [Person(*row) for row in rows]

    def sign_in(self, name: str, password: str) -> str | None:
        """The person's name, if the password is right; else None. Both take as long."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT shown, hash FROM people WHERE name = ?", (same_person(name),)
            ).fetchone()
        if verify_password(row[1] if row else None, password):
            return str(row[0])
        return None


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"There is no {name}; `driftline access user list` lists people.")
