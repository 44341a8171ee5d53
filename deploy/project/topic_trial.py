"""Reads the newest records of a topic by a guessed contract, as the stream job would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deploy.project.topic_sample import Sample
from deploy.project.values import Value
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Event, decode_event
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import SchemaSource


@dataclass(slots=True)
class Trial:
    """What became of the records."""

    events: list[Event] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    """The record of each event."""
    labels: list[Any] = field(default_factory=list)
    """The label of each event, as its record has it."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → number of records that would be dead letters."""
    example: str = ""

    def column(self, name: str) -> list[Value]:
        """The values of a feature."""
        return [event.values[name] for event in self.events]

    def notes(self) -> Iterator[str]:
        """What the user should know of them."""
        if self.refused:
            total = len(self.events) + self.refused.total()
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.refused.most_common())
            yield (
                f"{self.refused.total()} of {total} events would be dead letters ({reasons}), for "
                f"example: {self.example}"
            )


def tried(
    sample: Sample, contract: ModelContract, schemas: SchemaSource | None, *, now: float
) -> Trial:
    """The trial of a sample; `now` in seconds since 1970."""
    trial = Trial()
    for row, message in enumerate(sample.messages):
        try:
            event = decode_event(message, contract, now=now, schemas=schemas)
        except DecodeError as error:
            trial.refused[error.reason] += 1
            trial.example = trial.example or str(error)
            continue
        trial.events.append(event)
        trial.rows.append(row)
    return trial
