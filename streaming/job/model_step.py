"""Closes the windows of one model: accumulators in, summary and verdicts out.

The Beam step (`close_windows`), the local job and the integration tests all close windows through
`ModelStep`. It knows neither Beam nor Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as replace_struct

from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DriftVerdict,
    Promotion,
    SchemaVerdict,
    SchemaVersion,
    WindowSummary,
)
from streaming.drift import DriftHistory, DriftRules, judge_drift
from streaming.drift.history import history_digest
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.references import PromotedReferences
from streaming.job.schema_step import SchemaStepState, SchemaValidator
from streaming.job.settings import ModelJob, window_rules
from streaming.job.summary import SummaryBuilder
from streaming.job.upcoming import Upcoming
from streaming.windowing.accumulator import WindowAccumulator


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """What the verdicts on a model's next window depend on, besides the window."""

    promotion: Promotion | None = None
    """The promotion whose reference is used; None before the first one."""
    history: DriftHistory = field(default_factory=DriftHistory)
    schema: SchemaStepState = field(default_factory=SchemaStepState)
    upcoming: Upcoming = field(default_factory=Upcoming)
    """Promotions and schema versions that hold for later windows."""

    def after_promotion(self, promotion: Promotion, appended: float = 0.0) -> ModelState:
        """The state after reading a promotion; it holds for windows that begin after it.

        `appended` is the time at which the log got it, seconds since 1970, if later than its own.
        """
        return replace(self, upcoming=self.upcoming.with_promotion(promotion, appended))

    def after_schema(self, version: SchemaVersion, appended: float = 0.0) -> ModelState:
        """The state after reading an accepted schema version, which holds likewise."""
        return replace(self, upcoming=self.upcoming.with_schema(version, appended))

    def at_window(self, start: float, end: float) -> ModelState:
        """The state that the verdicts on the window from `start` to `end` depend on.

        A promotion starts with an empty history. A window that is closed again after a crash meets
        the same promotion and schema version, in whatever order they are read then.
        """
        promotion, schema, upcoming = self.promotion, self.schema, self.upcoming
        if not upcoming:
            return self
        promotions, upcoming = upcoming.promotions_until(start, end, first=promotion is None)
        for candidate in promotions:
            promotion = candidate if replaces(candidate, promotion) else promotion
        versions, upcoming = upcoming.schemas_until(start, end)
        for version in versions:
            schema = schema.after(version)
        history = self.history if promotion is self.promotion else DriftHistory()
        return replace(self, promotion=promotion, history=history, schema=schema, upcoming=upcoming)


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
        self._rules_digest = window_rules(job).digest(job.code)
        self._summaries = SummaryBuilder(job.contract, store)
        self._references = PromotedReferences(store, job.contract, job.rules)
        self._validator = SchemaValidator(job.contract, job.rules, job.tolerance)

    def close(
        self, end_ms: int, accumulators: Iterable[WindowAccumulator], state: ModelState
    ) -> tuple[ClosedWindow, ModelState]:
        """Close the window that ends at `end_ms`, and return the state for the next one."""
        end = end_ms / 1000.0
        state = state.at_window(end - self._contract.window_seconds, end)
        summary = self.summarise(end_ms, accumulators, state)
        drift, history = self._judge_drift(summary, state)
        schema, schema_state = self._validator.judge(summary, drift, state.schema)
        if schema is not None:
            schema = replace_struct(schema, rules_digest=self._rules_digest)
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
        reference_id = promotion.record_id if promotion else ""
        history = state.history.for_reference(reference_id)
        verdict, next_history = judge_drift(
            summary,
            self._references.for_window(promotion, summary),
            reference_id,
            history,
            self._rules,
            self._contract,
        )
        verdict = replace_struct(
            verdict, rules_digest=self._rules_digest, history_digest=history_digest(history)
        )
        return verdict, next_history


def replaces(promotion: Promotion, current: Promotion | None) -> bool:
    """Whether `promotion` differs from the current one and is not older."""
    return current is None or (
        promotion.record_id != current.record_id and promotion.at >= current.at
    )
