"""Driftline's verdicts on the windows after a change: when it is found, and what it is called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from streaming.contracts.model import ModelContract
from streaming.contracts.records import ALARMED, FeatureVerdict, SchemaVerdict, WindowSummary
from streaming.drift import DriftHistory, DriftRules, PreparedReference, judge_drift
from streaming.drift.correlation.statistic import CORRELATION
from streaming.schema import Schema, SchemaHistory, SchemaThresholds, judge_schema

WINDOWS = 5
"""A change that is not found within this number of windows is missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamVerdicts:
    """What the verdicts said about one stream."""

    windows: float = inf
    """Number of windows until the first alarm of any verdict; infinite when there was none."""
    name: str = ""
    """The test that leads the drift verdict at the first alarm, or the schema's kind of finding."""
    by: tuple[str, ...] = ()
    """Which verdicts alarmed within the windows: drift, correlation, schema."""
    effect: float = 0.0
    """Effect of the leading test, and the effect that would have been a hit, in the last window."""
    limit: float = 0.0


@dataclass(frozen=True, eq=False)
class Judge:
    """The judges of one model, with everything that is prepared once."""

    contract: ModelContract
    reference: PreparedReference
    schema: Schema
    thresholds: SchemaThresholds
    features: tuple[str, ...]
    """The features that may have changed."""

    def judged(self, windows: Iterable[WindowSummary], rules: DriftRules) -> StreamVerdicts:
        """The verdicts on the windows after a change; the earlier ones were quiet."""
        history, schema_history = DriftHistory(), SchemaHistory()
        first, name, by = inf, "", list[str]()
        effect = limit = 0.0
        for number, window in enumerate(windows, start=1):
            verdict, history = judge_drift(
                window, self.reference, "r", history, rules, self.contract
            )
            schema, schema_history = judge_schema(
                window, self.schema, schema_history, self.thresholds, verdict
            )
            names = {
                "drift": _leading(verdict.features, self.features),
                "correlation": _leading(verdict.features, (CORRELATION,)),
                "schema": _finding(schema, self.features),
            }
            by += [source for source, given in names.items() if given and source not in by]
            own = next(f for f in verdict.features if f.feature in self.features)
            effect, limit = own.effect, own.limit_sd
            if by and first == inf:
                first, name = number, names[by[0]]
        return StreamVerdicts(windows=first, name=name, by=tuple(by), effect=effect, limit=limit)


def _leading(verdicts: Sequence[FeatureVerdict], features: Sequence[str]) -> str:
    """The leading test of the largest alarm among these features; empty without an alarm."""
    alarmed = [v for v in verdicts if v.feature in features and v.outcome in ALARMED]
    if not alarmed:
        return ""
    return max(alarmed, key=lambda verdict: verdict.effect).test or "no test"


def _finding(verdict: SchemaVerdict, features: Sequence[str]) -> str:
    """The worst finding of the schema about these features. Skew repeats the drift verdict."""
    kinds = [
        (finding.outcome == "broken", finding.kind)
        for finding in verdict.findings
        if finding.feature in features and finding.outcome != "noticed" and finding.kind != "skew"
    ]
    return max(kinds)[1] if kinds else ""
