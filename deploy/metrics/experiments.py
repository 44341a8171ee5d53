"""Experiments as Prometheus series; arms are numbered, so that no label grows with the versions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from prometheus_client import Counter, Gauge

from streaming.contracts import metrics
from streaming.contracts.experiment_records import ExperimentPhase
from streaming.contracts.records import ExperimentLook, ExperimentStatus


@dataclass(frozen=True, slots=True)
class ExperimentSeries:
    """Keeps a model's experiment series equal to its newest records and state."""

    counter: Callable[..., Counter]
    gauge: Callable[..., Gauge]

    def status(self, record: ExperimentStatus, now: float) -> None:
        """Count the outcome of an experiment that has ended."""
        if record.phase == "ended":
            self.counter(metrics.EXPERIMENTS, record.model, record.outcome).inc()

    def look(self, record: ExperimentLook, now: float) -> None:
        """Show the interval of each arm."""
        for number, effect in enumerate(record.effects, start=1):
            if effect.low is None or effect.high is None:
                continue
            bounds = (("low", effect.low), ("mean", effect.difference), ("high", effect.high))
            for bound, value in bounds:
                series = (record.model, str(number), bound)
                self.gauge(metrics.EXPERIMENT_EFFECT, *series).set(value)

    def state(
        self, model: str, phase: ExperimentPhase, ends_at: float | None, version_waits: bool
    ) -> None:
        """The phase and its end, and whether a version waits; known also after a restart.

        Parameters
        ----------
        phase:
            Phase of the experiment; ended where there is none.
        ends_at:
            When the phase ends by itself, seconds since 1970.
        version_waits:
            Whether a new version waits for the experiment's end.
        """
        for known in get_args(ExperimentPhase):
            self.gauge(metrics.EXPERIMENT_PHASE, model, known).set(float(known == phase))
        self.gauge(metrics.EXPERIMENT_ENDS, model).set(ends_at or 0.0)
        self.gauge(metrics.EXPERIMENT_DELAYS, model).set(float(version_waits))
