"""Hashes passwords with argon2id (RFC 9106, the library's recommended costs)."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from streaming.contracts.errors import ConfigurationError

MIN_LENGTH, MAX_LENGTH = 12, 200
"""Characters of a password. The longest bounds the work of one attempt."""
_HASHER = PasswordHasher()


def hash_password(password: str) -> str:
    """The argon2id hash with its salt and costs.

    Raises
    ------
    ConfigurationError
        When the password is too short or too long.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ConfigurationError(
            f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters; this one has {len(password)}."
        )
    return _HASHER.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether the password belongs to the hash; None, for an unknown person, takes as long."""
    if len(password) > MAX_LENGTH:
        return False
    try:
        return _HASHER.verify(stored or _unknown(), password) and stored is not None
    except (Argon2Error, InvalidHashError):
        return False


@cache
def _unknown() -> str:
    """A hash that no password has, so that an unknown name is not told by the time it takes."""
    return _HASHER.hash(secrets.token_urlsafe(32))
