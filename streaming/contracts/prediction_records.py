"""The record of served scores by version: what the canary's prediction gate compares."""

from __future__ import annotations

from streaming.contracts.base import OffsetRange, Record, Value


class VersionScores(Value, frozen=True, kw_only=True):
    """The scores that one version served in one slot of event time, as counts per bucket."""

    version: int
    """Version that answered."""
    slot: float
    """Start of the slot of event time, seconds since 1970. Versions are compared within a slot,
    where the same mixture of requests reached them."""
    buckets: tuple[int, ...]
    """Ids of the universal grid's buckets (`streaming.grid`) that hold the logit of a probability,
    ascending; those nearer to 0.5 than 0.001 are in bucket 0. Multiclass: of the predicted class's
    probability. Regression: the prediction itself, in buckets of eight bits."""
    counts: tuple[int, ...]
    """Predictions per bucket; parallel to `buckets`."""
    classes: tuple[int, ...] = ()
    """Numbers of the predicted classes, ascending; multiclass only."""
    class_counts: tuple[int, ...] = ()
    """Predictions per class; parallel to `classes`."""


class SliceScores(Value, frozen=True, kw_only=True):
    """The scores of one slice of the predictions."""

    name: str
    """Value of the field `rollout.slices.field` in the predictions."""
    scores: tuple[VersionScores, ...]
    """Scores by slot and version, in buckets eight times as wide (`streaming.quality.slices`)."""


class PredictionScores(Record, frozen=True, kw_only=True, tag="prediction-scores"):
    """The scores of all versions in a stretch of the predictions topic.

    Written every few seconds while predictions come. The stretches of one model do not overlap, so
    the records can be added: each prediction is counted once, also after a restart.
    """

    offsets: tuple[OffsetRange, ...]
    """The messages that it covers, by partition."""
    read: int
    """Messages read."""
    counted: int
    """Predictions in `scores`. The rest of `read` are dead letters, repeated predictions, and those
    of windows that were dropped."""
    slot_seconds: float
    """Length of a slot, in seconds."""
    scores: tuple[VersionScores, ...]
    """Scores by slot and version; empty where no message could be counted."""
    slices: tuple[SliceScores, ...] = ()
    """The scores of each slice, which are in `scores` too; empty where no field names slices."""
