"""Changes of one feature that a detector should find, and streams in which they happen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.grid import Floats, Integers
from tests.simulations.kinds import KINDS, Kind

MISSING = 0.01
"""Share of missing values before any change."""
NEW_VALUE = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one feature."""

    name: str
    kind: str = "normal"
    shift: float = 0.0
    """Shift at once, in standard deviations."""
    ramp: float = 0.0
    """Shift added with every window, in standard deviations."""
    missing: float = MISSING
    """Share of missing values after the change."""
    new_value: float = 0.0
    """Share of a category that was never seen before."""
    horizon: int = 60
    """Number of windows drawn after the change."""
    streams: int = 1
    """Factor of the usual number of streams and references, for changes where delays vary by more
    than detectors differ, or a median lies between two windows."""

    def of_kind(self) -> Kind:
        """The kind of the feature, with a bucket for the new value."""
        kind = KINDS[self.kind]
        if not kind.values:
            return kind
        buckets = np.arange(len(kind.values) + 1)
        return Kind(kind.name, buckets, kind.edges, (*kind.values, NEW_VALUE))

    def shares(self, window: int) -> Floats:
        """Probabilities of the buckets in window 0, 1, … after the change; before it, -1."""
        kind = KINDS[self.kind]
        shift = self.shift + self.ramp * (window + 1) if window >= 0 else 0.0
        shares = kind.shares(shift)
        if not kind.values:
            return shares
        new = self.new_value if window >= 0 else 0.0
        return np.append(shares * (1.0 - new), new)


CHANGES = (
    Change(name="0.1 sd", shift=0.1),
    Change(name="0.25 sd", shift=0.25),
    Change(name="0.5 sd", shift=0.5),
    Change(name="1 sd", shift=1.0),
    Change(name="missing 1 -> 3 %", missing=0.03),
    Change(name="new category, 1 %", kind="few values", new_value=0.01),
    Change(name="ramp 0.02 sd a window", ramp=0.02, horizon=80, streams=4),
    Change(name="ramp 0.002 sd a window", ramp=0.002, horizon=200, streams=4),
)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Windows before and after a change of one feature."""

    rows: int
    """Rows of each window."""
    before: int
    """Number of windows before the change."""
    counts: Integers
    """Windows x buckets."""
    missing: Integers
    """Rows without a value, for each window."""


def draw(change: Change, rng: np.random.Generator, rows: int, before: int, after: int) -> Trial:
    """One stream."""
    missing_share = np.where(np.arange(before + after) < before, MISSING, change.missing)
    missing = rng.binomial(rows, missing_share)
    present = rows - missing
    parts = [rng.multinomial(present[:before], change.shares(-1))]
    if change.ramp:
        windows = [
            rng.multinomial(n, change.shares(window)) for window, n in enumerate(present[before:])
        ]
        parts.append(np.array(windows).reshape(after, parts[0].shape[1]))
    else:
        parts.append(rng.multinomial(present[before:], change.shares(0)))
    return Trial(rows, before, np.concatenate(parts), missing)
