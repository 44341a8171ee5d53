"""Decides which of TFDV's schema anomalies stop a retrain. Pure.

The rule is `streaming.contracts.tolerance`, which the schema verdicts and the trigger use as well:
change (new values, new columns) stops nothing, a few bad rows do not either, and broken data does.
The examples have no windows, so they are judged at once, all splits together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streaming.contracts.tolerance import CHANGES, DEFAULT, Breach, Tolerance, judge


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
    rows: int | None = None
    """Rows of the split that the finding is about; None = it is not known which."""
    allowed: float = 0.0
    """Share of the rows for which the schema allows it."""


def blocking_anomalies(
    anomalies: Iterable[Anomaly], rows: dict[str, int], tolerance: Tolerance = DEFAULT
) -> tuple[Anomaly, ...]:
    """The anomalies that stop a retrain, in a fixed order; empty when it may continue.

    Parameters
    ----------
    anomalies:
        Those of all splits.
    rows:
        Number of rows of each split.
    tolerance:
        The rule for broken data.

    >>> new = Anomaly(split="train", feature="company", code="SCHEMA_NEW_COLUMN", detail="")
    >>> gone = Anomaly(split="train", feature="fare", code="SCHEMA_MISSING_COLUMN", detail="")
    >>> odd = Anomaly(split="eval", feature="fare", code="INT_TYPE_BIG_INT", detail="", rows=1)
    >>> found = blocking_anomalies([new, gone, odd], {"train": 4_000, "eval": 1_000})
    >>> [anomaly.code for anomaly in found]
    ['SCHEMA_MISSING_COLUMN']
    """
    listed = sorted(anomalies, key=lambda a: (a.split, a.feature, a.code, a.detail))
    breaches = _breaches(listed, rows)
    judgement = judge([breaches], tolerance.at_once())
    if judgement.effect != "broken":
        return ()
    keys = {breach.key for breach in judgement.breaches}
    return tuple(anomaly for anomaly in listed if (anomaly.feature, anomaly.code) in keys)


def _breaches(anomalies: Iterable[Anomaly], rows: dict[str, int]) -> tuple[Breach, ...]:
    """The anomalies of all splits as breaches of one set of rows."""
    total = max(1, sum(rows.values()))
    by_key: dict[tuple[str, str], Breach] = {}
    for anomaly in anomalies:
        if anomaly.code in CHANGES:
            continue
        of_split = max(1, rows.get(anomaly.split, total))
        known = by_key.get((anomaly.feature, anomaly.code))
        bad = min(of_split if anomaly.rows is None else anomaly.rows, of_split)
        by_key[anomaly.feature, anomaly.code] = Breach(
            feature=anomaly.feature,
            code=anomaly.code,
            rows=min(total, bad + (known.rows if known else 0)),
            of_rows=total,
            allowed=anomaly.allowed,
            counted=anomaly.rows is not None and (known is None or known.counted),
        )
    return tuple(by_key.values())


def describe(anomalies: Iterable[Anomaly], *, max_items: int = 3) -> str:
    """The anomalies in words: the first `max_items` in full, then how many more there are.

    >>> gone = Anomaly(split="eval", feature="fare", code="X", detail="Column is missing.", rows=7)
    >>> describe([gone])
    'fare in eval: Column is missing (X, 7 rows)'
    """
    listed = list(anomalies)
    words = [
        f"{item.feature or 'examples'} in {item.split}: {item.detail.rstrip('. ')} ({_code(item)})"
        for item in listed[:max_items]
    ]
    more = f"; and {len(listed) - max_items} more" if len(listed) > max_items else ""
    return "; ".join(words) + more


def _code(anomaly: Anomaly) -> str:
    return anomaly.code if anomaly.rows is None else f"{anomaly.code}, {anomaly.rows} rows"
