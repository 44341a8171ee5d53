"""What the life of a schema shows in Prometheus: bounded by kinds, never by column names.

Anybody who writes events can invent column names, so a column is no label: the verdict on the log
and `driftline schema check` name it.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from prometheus_client import Counter, Gauge

from streaming.contracts import metrics
from streaming.contracts.records import SchemaKind, SchemaVerdict

OUTCOMES = ("suspected", "broken")
"""Of the findings that are shown: those that last."""


@dataclass(frozen=True, slots=True)
class SchemaSeries:
    """Keeps a model's schema series at what its newest records say."""

    counter: Callable[..., Counter]
    gauge: Callable[..., Gauge]

    def verdict(self, record: SchemaVerdict, now: float) -> None:
        """Every kind has a series from the first verdict on, so that silence reads 0."""
        self.counter(metrics.SCHEMA_WINDOWS, record.model, record.outcome).inc()
        self.gauge(metrics.SCHEMA_VERSION, record.model).set(record.schema_version)
        found = Tally[tuple[str, str]]((one.kind, one.outcome) for one in record.findings)
        for kind in get_args(SchemaKind):
            for outcome in OUTCOMES:
                labels = (record.model, kind, outcome)
                self.gauge(metrics.SCHEMA_FINDINGS, *labels).set(found[kind, outcome])

    def proposal(self, model: str, waits: bool) -> None:
        """Whether a proposal awaits a decision, as the daemon's state says: a restart forgets no
        proposal, and would forget the record."""
        self.gauge(metrics.SCHEMA_PROPOSAL_OPEN, model).set(float(waits))
