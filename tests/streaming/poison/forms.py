"""The three records that applications write, and how one of each is made with a field changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streaming.contracts.model import FeatureSpec, ModelContract

CONTRACT = ModelContract(
    model="poison",
    module="",
    events_topic="poison.events",
    labels_topic="poison.labels",
    key="id",
    time="at",
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="seats", kind="integer"),
        FeatureSpec(name="company", kind="text", categorical=True),
    ),
)
LABEL_COLUMNS = (
    FeatureSpec(name="tips", kind="number"),
    FeatureSpec(name="stars", kind="integer"),
    FeatureSpec(name="note", kind="text"),
)


KEY = "k00000"
"""The key of every record whose key is not what is odd about it."""


def outcome(fields: Mapping[str, Any]) -> bool | None:
    """Whether a label is positive, written without any care for what a field may hold."""
    return bool(fields["tips"] > 2)


@dataclass(frozen=True, kw_only=True)
class Form:
    """A kind of record: a good one, and which of its fields has which role."""

    name: str
    values: Mapping[str, str]
    """Field -> JSON of a good value, without the time."""
    number: str
    integer: str
    text: str = ""
    """A field that holds text; empty where the record has none."""
    time: str = ""
    """The field with the time; empty where the record has none."""
    required: frozenset[str]
    number_range: tuple[float, float] = (-math.inf, math.inf)
    integer_low: int = -(2**63) + 1
    first_missing: tuple[str, str]
    """Reason and field of a record without any field."""
    contract: ModelContract = field(default=CONTRACT)

    def record(self, now: float, changes: Mapping[str, str | None] | None = None) -> bytes:
        """A record made at `now`; `changes` gives other JSON for a field, None leaves it out."""
        values: dict[str, str | None] = dict(self.values)
        if self.time:
            values[self.time] = f"{now:.3f}"
        values |= changes or {}
        parts = (f'"{name}":{value}' for name, value in values.items() if value is not None)
        return ("{" + ",".join(parts) + "}").encode("utf-8", "surrogateescape")


EVENTS = Form(
    name="events",
    values={"id": f'"{KEY}"', "fare": "2.5", "seats": "1", "company": '"x"'},
    number="fare",
    integer="seats",
    text="company",
    time="at",
    required=frozenset({"id", "fare"}),
    first_missing=("no_time", "at"),
)
LABELS = Form(
    name="labels",
    values={"id": f'"{KEY}"', "tips": "2.5", "stars": "1", "note": '"x"'},
    number="tips",
    integer="stars",
    text="note",
    required=frozenset({"id", "tips", "stars", "note"}),
    first_missing=("missing_field", "id"),
)
PREDICTIONS = Form(
    name="predictions",
    values={"id": f'"{KEY}"', "prediction": "0.5", "version": "1"},
    number="prediction",
    integer="version",
    time="at",
    required=frozenset({"id", "prediction", "version"}),
    number_range=(0.0, 1.0),
    integer_low=1,
    first_missing=("missing_field", "id"),
)
FORMS = (EVENTS, LABELS, PREDICTIONS)
