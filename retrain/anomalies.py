"""Decides which of TFDV's schema anomalies stop a retrain. Pure.

A retrain starts because the data has changed, so change must not stop it: new values of a category
are what the new version has to learn. Broken data does stop it: a missing column, another type, a
physically impossible value, rows without a required field.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TOLERATED = frozenset(
    {
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        "SCHEMA_NEW_COLUMN",
        "COMPARATOR_L_INFTY_HIGH",
        "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
        "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH",
    }
)
"""TFDV's names of the anomalies that are change or addition, not breakage."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Anomaly:
    """One finding of TFDV's schema validation in one split of the examples."""

    split: str
    """Split of the examples, for example ``train``."""
    feature: str
    """Name of the feature; empty when the finding concerns the whole split."""
    code: str
    """TFDV's name, for example ``SCHEMA_MISSING_COLUMN``."""
    detail: str
    """TFDV's description."""


def blocking_anomalies(anomalies: Iterable[Anomaly]) -> tuple[Anomaly, ...]:
    """The anomalies that stop a retrain, in a fixed order; empty when it may continue.

    >>> new = Anomaly(split="train", feature="company", code="SCHEMA_NEW_COLUMN", detail="")
    >>> gone = Anomaly(split="train", feature="fare", code="SCHEMA_MISSING_COLUMN", detail="")
    >>> [anomaly.feature for anomaly in blocking_anomalies([new, gone])]
    ['fare']
    """
    return tuple(sorted(anomaly for anomaly in anomalies if anomaly.code not in TOLERATED))


def describe(anomalies: Iterable[Anomaly], *, max_items: int = 3) -> str:
    """The anomalies in words: the first `max_items` in full, then how many more there are.

    >>> gone = Anomaly(split="eval", feature="fare", code="X", detail="Column is missing.")
    >>> describe([gone])
    'fare in eval: Column is missing (X)'
    """
    listed = list(anomalies)
    words = [
        f"{item.feature or 'examples'} in {item.split}: {item.detail.rstrip('. ')} ({item.code})"
        for item in listed[:max_items]
    ]
    more = f"; and {len(listed) - max_items} more" if len(listed) > max_items else ""
    return "; ".join(words) + more
