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
    """What becomes of one feature."""

    name: str
    kind: str = "normal"
    shift: float = 0.0
    """In standard deviations, at once."""
    ramp: float = 0.0
    """The same, added with every window."""
    missing: float = MISSING
    """Share of missing values afterwards."""
    new_value: float = 0.0
    """Share of a category that was never seen."""
    horizon: int = 60
    """So many windows are drawn after the change."""
    streams: int = 1
    """So many times the usual number of streams and references: where delays scatter by more than
    detectors differ, or a median lies between two windows."""

    def of_kind(self) -> Kind:
        """The feature, with room for the new value."""
        kind = KINDS[self.kind]
        if not kind.values:
            return kind
        buckets = np.arange(len(kind.values) + 1)
        return Kind(kind.name, buckets, kind.edges, (*kind.values, NEW_VALUE))

    def shares(self, window: int) -> Floats:
        """Probabilities of the buckets in window 0, 1, … after the change; before it, -1."""
        kind = KINDS[self.kind]
        moved = self.shift + self.ramp * (window + 1) if window >= 0 else 0.0
        shares = kind.shares(moved)
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
    before: int
    """So many windows come first."""
    counts: Integers
    """Windows x buckets."""
    missing: Integers


def draw(change: Change, rng: np.random.Generator, rows: int, before: int, after: int) -> Trial:
    """One stream."""
    lost = np.where(np.arange(before + after) < before, MISSING, change.missing)
    missing = rng.binomial(rows, lost)
    there = rows - missing
    parts = [rng.multinomial(there[:before], change.shares(-1))]
    if change.ramp:
        each = [rng.multinomial(n, change.shares(at)) for at, n in enumerate(there[before:])]
        parts.append(np.array(each).reshape(after, parts[0].shape[1]))
    else:
        parts.append(rng.multinomial(there[before:], change.shares(0)))
    return Trial(rows, before, np.concatenate(parts), missing)
