"""The stream job without Flink: the same parts in one process, in a plain loop.

For tests, for walking the whole loop in one process, and as the ceiling that the bench compares
the real job with. Nothing is checkpointed: when it stops, it starts again from the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DeadLetter,
    DriftVerdict,
    Promotion,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift import DriftHistory, DriftRules, judge_drift
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.close_windows import replaces
from streaming.job.references import References
from streaming.job.schema_step import SchemaDesk, SchemaKept
from streaming.job.summary import Summaries
from streaming.windowing.accumulator import WindowPartial
from streaming.windowing.assignment import NEVER_MS
from streaming.windowing.event_reader import Fetch, Reading, Step

Out = WindowSummary | DriftVerdict | SchemaVerdict | DeadLetter


@dataclass(slots=True)
class DirectJob:
    """One model's stream job, fed by hand.

    Parameters
    ----------
    contract, rules:
        Of the model.
    store:
        Where statistics go and references come from.
    """

    contract: ModelContract
    rules: DriftRules
    store: ArtifactStore
    _watermarks: dict[int, int] = field(default_factory=dict)
    _open: dict[int, list[WindowPartial]] = field(default_factory=dict)
    _promotion: Promotion | None = None
    _history: DriftHistory = field(default_factory=DriftHistory)
    _reading: Reading = field(init=False)
    _summaries: Summaries = field(init=False)
    _references: References = field(init=False)
    _desk: SchemaDesk = field(init=False)
    _schema: SchemaKept = field(default_factory=SchemaKept)

    def __post_init__(self) -> None:
        self._reading = Reading(self.contract)
        self._summaries = Summaries(self.contract, self.store)
        self._references = References(self.store, self.contract, self.rules)
        self._desk = SchemaDesk(self.contract, self.rules)
        self._watermarks = dict.fromkeys(range(self.contract.partitions), NEVER_MS)

    def feed(self, fetch: Fetch, *, now: float) -> list[Out]:
        """Read a fetch; the letters it made and the windows it closed, each with its verdict."""
        step = Step(watermark_ms=self._watermarks[fetch.partition])
        self._reading.take(step, fetch, now=now)
        for end, part in step.windows.items():
            self._open.setdefault(end, []).append(part)
        self._watermarks[fetch.partition] = step.watermark_ms
        return [*step.dead, *step.late, *self._close()]

    def idle(self, partition: int, *, now: float) -> list[Out]:
        """Tell that a partition has nothing to read at `now`."""
        waited = self._reading.windows.idle(now, self._watermarks[partition])
        self._watermarks[partition] = waited
        return list(self._close())

    def finish(self) -> list[Out]:
        """Close whatever is open."""
        last = max(self._open, default=NEVER_MS)
        self._watermarks = dict.fromkeys(self._watermarks, last)
        return list(self._close())

    def promote(self, promotion: Promotion) -> None:
        """Judge against this promotion's reference from now on."""
        if replaces(promotion, self._promotion):
            self._promotion, self._history = promotion, DriftHistory()

    def take_schema(self, version: SchemaVersion) -> None:
        """Hold windows against this version of the schema from now on, unless a newer one is."""
        self._schema = self._schema.after(version)

    def _close(self) -> Iterator[Out]:
        watermark = min(self._watermarks.values())
        for end in sorted(end for end in self._open if end <= watermark):
            schema = self._desk.of(self._schema.version)
            summary = self._summaries.of(self._open.pop(end), end, schema)
            yield summary
            verdict = self._judge(summary)
            yield verdict
            on_schema, self._schema = self._desk.verdict(summary, verdict, self._schema)
            if on_schema is not None:
                yield on_schema

    def _judge(self, summary: WindowSummary) -> DriftVerdict:
        promotion = self._promotion
        verdict, self._history = judge_drift(
            summary,
            self._references.of(promotion, summary),
            promotion.record_id if promotion else "",
            self._history,
            self.rules,
            self.contract,
        )
        return verdict
