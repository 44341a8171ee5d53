"""The contract of a model: its features, topics and fields.

It is built once from `driftline.yaml` and the model's TFDV schema, then passed as a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from streaming.contracts.mapping import RecordMapping

FeatureKind = Literal["integer", "number", "text"]
MISSING: Mapping[FeatureKind, int | float | str] = {
    "integer": -(2**63),
    "number": float("nan"),
    "text": "",
}
"""The value that stands for a missing one in a prediction request, because tensors are dense. In an
event it is a missing value too."""
LARGEST_EVENT_BYTES = 64 * 1024
"""A larger event is a dead letter."""


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One field of an event."""

    name: str
    kind: FeatureKind
    """JSON integer, JSON number, or text."""
    categorical: bool = False
    """Whether values are counted individually, even if they are integers."""
    multivalent: bool = False
    """Whether a text holds several values, one a line: a list that the rule `categories` read."""
    required: bool = False
    """Whether a record without the field is a dead letter (``missing_field``)."""
    judged: bool = True
    """False for fields that change by themselves (ids, timestamps, the hour); they are summarised
    only."""
    sentinels: tuple[int | float | str, ...] = ()
    """Values that a producer sends in place of a missing one, for example -999; those of `MISSING`
    are known."""


class ModelContract(msgspec.Struct, frozen=True, kw_only=True):
    """One model: what the stream job, the retrain worker and the demo need to know about it."""

    model: str
    module: str
    """Import path of the TFX user code, for example ``retrain.models.big_tipper``."""
    events_topic: str
    labels_topic: str
    key: str
    """Name of what identifies an event, in events and labels alike."""
    time: str
    """Name of the event time."""
    partitions: int = 2
    features: tuple[FeatureSpec, ...] = ()
    schema_path: str = ""
    """Path of the TFDV schema (text proto) that windows are validated against; empty for none."""
    window_seconds: float = 60.0
    max_out_of_orderness_seconds: float = 10.0
    largest_event_bytes: int = LARGEST_EVENT_BYTES
    max_text_bytes: int = 256
    """A longer text value is cut before it is counted."""
    future_seconds: float = 300.0
    """An event stamped further ahead of the clock is a dead letter, so that it cannot push the
    watermark."""
    past_seconds: float = 10 * 365 * 86_400.0
    """An event stamped further back than this is a dead letter: clocks that were never set start in
    1970, 1980 or 2000, and ten years are more than any stream is late."""
    events: RecordMapping = RecordMapping()
    """How events are read; flat JSON objects with times in seconds without it."""
    labels: RecordMapping = RecordMapping()
    """How labels are read."""
    predictions: RecordMapping = RecordMapping()
    """How served predictions are read."""
