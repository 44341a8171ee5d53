"""Flags of the model server that come from the settings."""

from __future__ import annotations

from collections.abc import Sequence


def allow_operations(names: Sequence[str]) -> tuple[str, ...]:
    """The flags for ``artifacts.allowed_operations``.

    >>> allow_operations(["PrintV2"])
    ('--allow-op', 'PrintV2')
    """
    return tuple(word for name in names for word in ("--allow-op", name))
