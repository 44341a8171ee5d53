"""What a challenger must reach, and the outcome on one slice."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["pass", "fail", "missing", "insufficient", "skipped"]


class BlessingRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger must reach."""

    metric: str = "auc"
    """Name of the judged metric; higher is better."""
    difference: str = ""
    """Name of the metric that compares challenger and champion on the same rows, above 0 where the
    challenger is better; empty = ``<metric>_diff``, challenger minus champion."""
    floor: float = 0.6
    """Smallest acceptable lower end of the overall interval."""
    owners_floor: bool = False
    """Whether the model's owner has set the floor; otherwise it is that of the task."""
    tolerance: float = 0.02
    """How far below zero the lower end of the overall difference may lie."""
    slice_tolerance: float = 0.02
    """A slice fails when the upper end of its difference lies further below zero than this."""
    slice_errors: float = 0.05
    """Probability that slices refuse a challenger that is in none of them worse by more than
    `slice_tolerance`; all slices together."""
    win_margin: float = 0.0
    """What the lower end of the difference must exceed on the slice that the challenger must win.
    """
    smallest_gain: float = 0.01
    """A gain on that slice that is shown to be smaller than this is not worth more rows: the
    challenger is refused instead of waiting for them."""
    min_slice_rows: int = 100
    """Smallest number of rows at which a slice is judged."""
    max_evaluated_rows: int = 20_000
    """Rows that an evaluation has at most; a decision that needs more is not waited for."""


class SliceFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome on one slice."""

    slice: str
    """Name of the slice; empty = overall."""
    outcome: Outcome
    reason: str
    """One sentence with the values that decided."""
    growth: float = 0.0
    """By which factor the rows must grow for a decision; 0 unless it is insufficient."""
    detectable: float | None = None
    """The loss of a slice that would have been found in 80 % of all evaluations; None where the
    slice is not judged."""
