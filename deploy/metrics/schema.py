"""Schema verdicts and proposals as Prometheus series, labelled by kind, never by column name.

Whoever writes events can invent column names, so a column is not a label; the verdict in the log
and `driftline schema check` name it.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from prometheus_client import Counter, Gauge

from streaming.contracts import metrics
from streaming.contracts.records import SchemaKind, SchemaVerdict

OUTCOMES = ("suspected", "broken")
"""Outcomes of the exported findings: those of several windows, and broken columns."""


@dataclass(frozen=True, slots=True)
class SchemaSeries:
    """Keeps a model's schema series equal to its newest records."""

    counter: Callable[..., Counter]
    gauge: Callable[..., Gauge]

    def verdict(self, record: SchemaVerdict, now: float) -> None:
        """Every kind has a series from the first verdict on, so that no finding reads 0."""
        self.counter(metrics.SCHEMA_WINDOWS, record.model, record.outcome).inc()
        self.gauge(metrics.SCHEMA_VERSION, record.model).set(record.schema_version)
        counts = Counts[tuple[str, str]](
            (finding.kind, finding.outcome) for finding in record.findings
        )
        for kind in get_args(SchemaKind):
            for outcome in OUTCOMES:
                labels = (record.model, kind, outcome)
                self.gauge(metrics.SCHEMA_FINDINGS, *labels).set(counts[kind, outcome])

    def proposal(self, model: str, waits: bool) -> None:
        """Set whether a proposal awaits a decision, from the daemon's state.

        The state survives a restart; a count of records would not.
        """
        self.gauge(metrics.SCHEMA_PROPOSAL_OPEN, model).set(float(waits))
