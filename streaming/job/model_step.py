"""Closes the windows of one model: accumulators in, summary and verdicts out.

The Beam step (`close_windows`), the local job and the integration tests all close windows through
`ModelStep`. It knows neither Beam nor Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DriftVerdict,
    Promotion,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift import DriftHistory, DriftRules, judge_drift
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.references import PromotedReferences
from streaming.job.schema_step import SchemaStepState, SchemaValidator
from streaming.job.settings import ModelJob
from streaming.job.summary import SummaryBuilder
from streaming.windowing.accumulator import WindowAccumulator


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """What the verdicts on a model's next window depend on, besides the window."""

    promotion: Promotion | None = None
    """The promotion whose reference is used; None before the first one."""
    history: DriftHistory = field(default_factory=DriftHistory)
    schema: SchemaStepState = field(default_factory=SchemaStepState)

    def after_promotion(self, promotion: Promotion) -> ModelState:
        """The state from a promotion on; a new promotion starts with an empty history."""
        if not replaces(promotion, self.promotion):
            return self
        return replace(self, promotion=promotion, history=DriftHistory())

    def after_schema(self, version: SchemaVersion) -> ModelState:
        """The state from an accepted schema version on."""
        return replace(self, schema=self.schema.after(version))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedWindow:
    """The records of a closed window."""

    summary: WindowSummary
    drift: DriftVerdict
    schema: SchemaVerdict | None
    """None when the model has no schema."""

    @property
    def records(self) -> tuple[WindowSummary | DriftVerdict | SchemaVerdict, ...]:
        """All records, in the order in which they are written."""
        records = (self.summary, self.drift, self.schema)
        return tuple(record for record in records if record is not None)


class ModelStep:
    """Closes windows of one model.

    Parameters
    ----------
    job:
        The model's contract and rules.
    store:
        Statistics are written to it and references are read from it.
    """

    def __init__(self, job: ModelJob, store: ArtifactStore) -> None:
        self._contract: ModelContract = job.contract
        self._rules: DriftRules = job.rules
        self._summaries = SummaryBuilder(job.contract, store)
        self._references = PromotedReferences(store, job.contract, job.rules)
        self._validator = SchemaValidator(job.contract, job.rules, job.tolerance)

    def close(
        self, end_ms: int, accumulators: Iterable[WindowAccumulator], state: ModelState
    ) -> tuple[ClosedWindow, ModelState]:
        """Close the window that ends at `end_ms`, and return the state for the next one."""
        summary = self.summarise(end_ms, accumulators, state)
        drift, history = self._judge_drift(summary, state)
        schema, schema_state = self._validator.judge(summary, drift, state.schema)
        closed = ClosedWindow(summary=summary, drift=drift, schema=schema)
        return closed, replace(state, history=history, schema=schema_state)

    def summarise(
        self, end_ms: int, accumulators: Iterable[WindowAccumulator], state: ModelState
    ) -> WindowSummary:
        """The summary of the window that ends at `end_ms`."""
        schema = self._validator.active(state.schema.version)
        return self._summaries.build(accumulators, end_ms, schema)

    def _judge_drift(
        self, summary: WindowSummary, state: ModelState
    ) -> tuple[DriftVerdict, DriftHistory]:
        promotion = state.promotion
        return judge_drift(
            summary,
            self._references.for_window(promotion, summary),
            promotion.record_id if promotion else "",
            state.history,
            self._rules,
            self._contract,
        )


def replaces(promotion: Promotion, current: Promotion | None) -> bool:
    """Whether `promotion` differs from the current one and is not older."""
    return current is None or (
        promotion.record_id != current.record_id and promotion.at >= current.at
    )
