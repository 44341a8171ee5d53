"""The report on the newest events of a model."""

from __future__ import annotations

from typing import Any

import msgspec

from deploy.records.event_fields import FieldReport


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Events that would be dead letters for one reason, because of one field."""

    reason: str
    """Reason code."""
    field: str
    """The field that is wrong; empty where the reason is of no field."""
    count: int
    """Number of events."""
    detail: str
    """What is wrong with the first of them."""
    position: str
    """Where the first of them is: ``TOPIC/PARTITION@OFFSET``."""


class EventCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of the newest events."""

    model: str
    """Name of the model."""
    topic: str
    """Topic of the events."""
    read: int
    """Number of events that were looked at."""
    accepted: int
    """Events that would count, late ones left out."""
    late: int
    """Usable events whose window would have closed, as far as these events tell."""
    waiting: int
    """Events whose schema the registry does not give; their partition waits."""
    waiting_for: str
    """Why it does not; empty where none waits."""
    refused: tuple[Refusal, ...]
    """Events that would be dead letters, by reason."""
    fields: tuple[FieldReport, ...]
    """The fields of the events."""
    example: dict[str, Any] | None
    """The newest usable event as the model reads it: key, time and features."""
    next_steps: tuple[str, ...] = ()
    """What to do."""

    def fields_with_values(self) -> tuple[FieldReport, ...]:
        """The fields that some event has."""
        return tuple(field for field in self.fields if field.present)
