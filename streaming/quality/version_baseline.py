"""What the judgement remembers of one version: its baseline, and how its latest looks went."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from streaming.contracts.quality import QualityCause
from streaming.contracts.records import ALARMED
from streaming.quality.counts import Counts, add
from streaming.quality.settings import QualityRules

Inputs = Literal["stable", "moved", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One judged stretch of windows."""

    start: float
    end: float
    hits: frozenset[str]
    """Metrics that were beyond their limit."""
    inputs: Inputs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """One version. `open` are windows that wait for enough labels to be judged together."""

    version: int
    baseline: Counts = field(default_factory=Counts)
    baseline_looks: int = 0
    open: Counts = field(default_factory=Counts)
    open_since: float | None = None
    open_inputs: tuple[str, ...] = ()
    looks: tuple[Look, ...] = ()
    """The latest ones, at most `rules.of`."""

    def with_window(self, start: float, counts: Counts, inputs: str) -> Track:
        """One more window in the open stretch."""
        return replace(
            self,
            open=add((self.open, counts)),
            open_since=start if self.open_since is None else self.open_since,
            open_inputs=(*self.open_inputs, inputs),
        )

    def closed(self) -> Track:
        """The open stretch is done with."""
        return replace(self, open=Counts(), open_since=None, open_inputs=())

    def with_baseline(self) -> Track:
        """The open stretch joins the baseline."""
        return replace(
            self, baseline=add((self.baseline, self.open)), baseline_looks=self.baseline_looks + 1
        )

    def with_look(self, look: Look, of: int) -> Track:
        """Remember how a stretch went."""
        return replace(self, looks=(*self.looks, look)[-of:])

    def hits(self, metric: str) -> tuple[Look, ...]:
        """The remembered looks in which a metric was beyond its limit."""
        return tuple(look for look in self.looks if metric in look.hits)

    @property
    def contradicted(self) -> bool:
        """Whether the two latest looks were both beyond a limit."""
        return len(self.looks) >= 2 and all(look.hits for look in self.looks[-2:])


def inputs_of(drift: tuple[str, ...]) -> Inputs:
    """What the drift verdicts of a stretch say of its inputs.

    >>> inputs_of(("stable", "stable")), inputs_of(("stable", "suspected")), inputs_of(("",))
    ('stable', 'moved', 'unknown')
    """
    if any(one in ALARMED for one in drift):
        return "moved"
    return "stable" if drift and all(one == "stable" for one in drift) else "unknown"


def cause_of(hits: tuple[Look, ...], rules: QualityRules) -> QualityCause:
    """Why quality has fallen, from the inputs of the looks that were beyond the limit.

    Concept drift is only what the inputs do not explain: as many of the hits as make it sustained
    must lie in windows whose inputs were judged stable.
    """
    if sum(look.inputs == "stable" for look in hits) >= rules.sustained:
        return "concept"
    return "inputs" if any(look.inputs == "moved" for look in hits) else "unknown"
