"""State of one version between verdicts: its baseline and the results of its latest batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from streaming.contracts.quality_records import QualityCause
from streaming.contracts.records import ALARMED
from streaming.quality.counts import Counts, add
from streaming.quality.settings import QualityRules

InputState = Literal["stable", "moved", "unknown"]
"""State of a batch's inputs by their drift verdicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBatch:
    """The result of one judged batch of windows."""

    start: float
    end: float
    hits: frozenset[str]
    """Metrics that were beyond their limit."""
    inputs: InputState


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VersionBaseline:
    """Baseline, pending batch and latest results of one version."""

    version: int
    counts: Counts = field(default_factory=Counts)
    """Counts of the baseline batches."""
    baseline_batches: int = 0
    """Number of batches in `counts`."""
    pending: Counts = field(default_factory=Counts)
    """Counts of the windows that wait for enough labels to be judged together."""
    pending_since: float | None = None
    """Start of the first pending window; None when there is none."""
    pending_inputs: tuple[str, ...] = ()
    """Drift outcomes of the pending windows."""
    batches: tuple[JudgedBatch, ...] = ()
    """The latest judged batches, at most `rules.of`."""

    def with_window(self, start: float, counts: Counts, inputs: str) -> VersionBaseline:
        """Adds a window to the pending batch."""
        return replace(
            self,
            pending=add((self.pending, counts)),
            pending_since=start if self.pending_since is None else self.pending_since,
            pending_inputs=(*self.pending_inputs, inputs),
        )

    def without_pending(self) -> VersionBaseline:
        """Clears the pending batch."""
        return replace(self, pending=Counts(), pending_since=None, pending_inputs=())

    def with_baseline_batch(self) -> VersionBaseline:
        """Adds the pending batch to the baseline."""
        return replace(
            self,
            counts=add((self.counts, self.pending)),
            baseline_batches=self.baseline_batches + 1,
        )

    def with_batch(self, batch: JudgedBatch, of: int) -> VersionBaseline:
        """Adds the result of a batch and keeps the latest `of`."""
        return replace(self, batches=(*self.batches, batch)[-of:])

    def hits(self, metric: str) -> tuple[JudgedBatch, ...]:
        """The remembered batches in which a metric was beyond its limit."""
        return tuple(batch for batch in self.batches if metric in batch.hits)

    @property
    def contradicted(self) -> bool:
        """Whether the two latest batches were both beyond a limit."""
        return len(self.batches) >= 2 and all(batch.hits for batch in self.batches[-2:])


def inputs_of(drift: tuple[str, ...]) -> InputState:
    """The state of a batch's inputs from the drift outcomes of its windows.

    >>> inputs_of(("stable", "stable")), inputs_of(("stable", "suspected")), inputs_of(("",))
    ('stable', 'moved', 'unknown')
    """
    if any(outcome in ALARMED for outcome in drift):
        return "moved"
    return "stable" if drift and all(outcome == "stable" for outcome in drift) else "unknown"


def cause_of(hits: tuple[JudgedBatch, ...], rules: QualityRules) -> QualityCause:
    """The cause of a fall in quality, from the inputs of the batches beyond the limit.

    It is concept drift only when the inputs do not explain it: at least `rules.sustained` of the
    batches must lie in windows whose inputs were judged stable.
    """
    if sum(batch.inputs == "stable" for batch in hits) >= rules.sustained:
        return "concept"
    return "inputs" if any(batch.inputs == "moved" for batch in hits) else "unknown"
