"""Where the controllers' states are kept: a value for each model, durable once it is put."""

from __future__ import annotations

from typing import Any, Protocol


class StateStore(Protocol):
    """One snapshot for each model."""

    def get(self, key: bytes) -> bytes | None:
        """The newest snapshot of a model; None if there is none."""

    async def put(self, key: bytes, value: bytes) -> None:
        """Replace the snapshot; when it returns, a restart finds it."""


class ChangelogStore:
    """A Faust table with one partition; `put` waits until Kafka has the change.

    Setting a key of the table itself would only queue the change, and a crash could lose a state
    whose records are sent already.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        """See `StateStore.get`."""
        value: bytes | None = self._table.data.get(key)
        return value

    async def put(self, key: bytes, value: bytes) -> None:
        """See `StateStore.put`."""
        await self._table.send_changelog(0, key, value)
        self._table.data[key] = value
