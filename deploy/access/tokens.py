"""Tokens for programs: shown once, kept as digests, expiring, never above their person's role."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from deploy.access.database import AccessDatabase, new_secret, secret_digest
from deploy.access.roles import same_person
from deploy.config.access_settings import RoleName
from streaming.contracts.errors import NotFoundError

PREFIX = "driftline_"
"""How each token begins, so that scanners of repositories can find lost ones."""
MAX_LABEL = 100


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; not the token."""

    id: str
    person: str
    label: str
    role: RoleName
    """Highest role that the token gives; the person's own roles limit it too."""
    created: float
    expires: float
    revoked: float | None
    """When it was revoked; None for a token that was not."""

    def valid(self, now: float) -> bool:
        """Whether it still counts."""
        return self.revoked is None and now < self.expires


class Tokens:
    """The tokens of a database."""

    def __init__(self, database: AccessDatabase) -> None:
        self._database = database

    def create(
        self, person: str, label: str, *, role: RoleName, seconds: float, now: float
    ) -> tuple[Token, str]:
        """Make a token; the text is returned here and nowhere else."""
        secret = PREFIX + new_secret()
        token = Token(
            secrets.token_hex(6), person, label[:MAX_LABEL], role, now, now + seconds, None
        )
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    *(token.id, secret_digest(secret), token.person, token.label),
                    *(token.role, token.created, token.expires),
                ),
            )
        return token, secret

    def find(self, secret: str, *, now: float) -> Token | None:
        """The token of a text, while it counts; None otherwise."""
        if not secret.startswith(PREFIX):
            return None
        rows = self._rows("WHERE digest = ?", secret_digest(secret))
        return rows[0] if rows and rows[0].valid(now) else None

    def listed(self, person: str | None = None) -> list[Token]:
        """The tokens of a person, or of everybody, newest first."""
        rows = self._rows("ORDER BY created DESC, id")
        if person is None:
            return rows
        return [token for token in rows if same_person(token.person) == same_person(person)]

    def revoke(self, token_id: str, *, now: float, person: str | None = None) -> Token:
        """Revoke a token, of this person only where one is named; revoking again changes nothing.

        Raises
        ------
        NotFoundError
            When there is no such token, or it is another person's.
        """
        rows = self._rows("WHERE id = ?", token_id)
        if not rows or (person is not None and same_person(rows[0].person) != same_person(person)):
            raise NotFoundError(
                f"There is no token {token_id}; `driftline access token list` lists them."
            )
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE id = ?", (now, token_id)
            )
        return self._rows("WHERE id = ?", token_id)[0]

    def _rows(self, clauses: str, *parameters: object) -> list[Token]:
        columns = "id, person, label, role, created, expires, revoked"
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT {columns} FROM tokens {clauses}",  # noqa: S608 - clauses are constants
                parameters,
            ).fetchall()
        return [Token(*row) for row in rows]
