"""Deterministic ids: the same cause gives the same id, so readers recognise and drop a replay."""

from __future__ import annotations

import hashlib


def record_id(kind: str, model: str, *key: object) -> str:
    """Digest of kind, model and natural key, 24 hex digits.

    >>> record_id("drift-verdict", "a", 60.0) == record_id("drift-verdict", "a", 60.0)
    True
    >>> record_id("drift-verdict", "a", 1) == record_id("drift-verdict", "a", 2)
    False
    """
    text = "\x1f".join((kind, model, *(repr(part) for part in key)))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def number_of(text: str, *, size: int) -> int:
    """A number of `size` bytes, the same for the same text in every process.

    >>> number_of("a", size=2) == number_of("a", size=2) != number_of("b", size=2)
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big")


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
