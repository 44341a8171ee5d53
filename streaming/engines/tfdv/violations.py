"""Counts the rows of a window that an anomaly of TFDV is about.

TFDV says that a value lies outside its domain, or that a column is present in too few rows, and not
in how many. The window's own counts have the answer: exactly for values that are counted one by one
and for missing values, and to a grid bucket (1 % of the value) for bounds inside a bucket. Values
that were too rare to be counted one by one count as far as they cannot lie in the domain: each
integer in it has at most `FeaturePart.error` of their rows.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

from streaming.contracts.model import FeatureSpec
from streaming.contracts.tolerance import ABOVE, BELOW, PRESENCE
from streaming.engines.tfdv.statistics_proto import masses, rows_below
from streaming.grid import Floats
from streaming.summary.columns import FeaturePart
from streaming.summary.partial import Partial


def bounds(feature: Any) -> tuple[float | None, float | None]:
    """Smallest and largest value in a feature's domain; None where there is no bound."""
    kind = feature.WhichOneof("domain_info")
    if kind not in ("float_domain", "int_domain"):
        return None, None
    domain = getattr(feature, kind)
    low = domain.min if domain.HasField("min") else None
    return low, domain.max if domain.HasField("max") else None


def count_rows(code: str, feature: Any, counted: Partial) -> int | None:
    """Number of rows that an anomaly is about; None where the counts do not say.

    Parameters
    ----------
    code:
        TFDV's name of the anomaly.
    feature:
        The feature in the schema.
    counted:
        The window's counts.
    """
    specs = {spec.name: at for at, spec in enumerate(counted.features)}
    if feature.name not in specs:
        return None
    at = specs[feature.name]
    spec, part = counted.features[at], counted.parts[at]
    if code in PRESENCE:
        return part.missing + part.non_finite
    low, high = bounds(feature)
    if spec.kind == "text":
        return None
    if code in BELOW and low is not None:
        tail = _tail_outside(spec, part, low, high)
        return max(1, round(_outside(spec, part, low, above=False)) + tail)
    if code in ABOVE and high is not None:
        tail = _tail_outside(spec, part, low, high)
        return max(1, round(_outside(spec, part, high, above=True)) + tail)
    return None


def _tail_outside(
    spec: FeatureSpec, part: FeaturePart, low: float | None, high: float | None
) -> int:
    """The least number of tail rows outside the domain; half of it where both sides have some."""
    if not part.tail_rows or spec.kind != "integer" or not part.moments.n:
        return 0
    smallest, largest = part.moments.low, part.moments.high
    first = smallest if low is None else max(low, smallest)
    last = largest if high is None else min(high, largest)
    legal = max(0, floor(last) - ceil(first) + 1)
    outside = part.tail_rows - min(part.tail_rows, part.error * legal)
    both = low is not None and high is not None and smallest < low and largest > high
    return outside // 2 if both else outside


def _outside(spec: FeatureSpec, part: FeaturePart, bound: float, *, above: bool) -> float:
    """Rows on the other side of `bound`, which itself belongs to the domain."""
    lows, highs, counts, _ = masses(spec, part)
    point = lows == highs
    whole: Floats = counts[(lows > bound) if above else (highs < bound)]
    cut = ~point & (lows < bound) & (highs > bound)
    below = rows_below(lows[cut], highs[cut], counts[cut], bound)
    edge = counts[~point & (highs == bound)].sum() if not above else 0.0
    inside_cut = float(counts[cut].sum()) - below if above else below
    return float(whole.sum()) + float(edge) + inside_cut
