"""Which schema anomalies stop a retrain: a pure rule over what TFDV found.

A retrain exists because the data moved, so movement must not stop it: new values of a category
are what the new version has to learn. What stops it is data that is broken: a column that is
gone, another type, a value outside what is physically possible, rows without a required field.
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
"""TFDV's names of the anomalies that are movement or additions, not breakage."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Anomaly:
    """One finding of TFDV's schema validation in one split of the examples."""

    split: str
    feature: str
    """Empty when it is about the split as a whole."""
    code: str
    """TFDV's name, for example ``SCHEMA_MISSING_COLUMN``."""
    detail: str


def stopping(found: Iterable[Anomaly]) -> tuple[Anomaly, ...]:
    """The anomalies that stop the run, in a fixed order; none means go on.

    >>> new = Anomaly(split="train", feature="company", code="SCHEMA_NEW_COLUMN", detail="")
    >>> gone = Anomaly(split="train", feature="fare", code="SCHEMA_MISSING_COLUMN", detail="")
    >>> [anomaly.feature for anomaly in stopping([new, gone])]
    ['fare']
    """
    return tuple(sorted(anomaly for anomaly in found if anomaly.code not in TOLERATED))


def sentence(anomalies: Iterable[Anomaly], *, most: int = 3) -> str:
    """The anomalies in words, the first `most` of them in full.

    >>> gone = Anomaly(split="eval", feature="fare", code="X", detail="Column is missing.")
    >>> sentence([gone])
    'fare in eval: Column is missing (X)'
    """
    listed = list(anomalies)
    words = [
        f"{one.feature or 'examples'} in {one.split}: {one.detail.rstrip('. ')} ({one.code})"
        for one in listed[:most]
    ]
    more = f"; and {len(listed) - most} more" if len(listed) > most else ""
    return "; ".join(words) + more
