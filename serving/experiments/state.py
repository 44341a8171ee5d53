"""The state of a model's experiment: one immutable value, serialisable to JSON."""

from __future__ import annotations

from serving.ports import Scrape
from streaming.contracts.base import Value
from streaming.contracts.experiment_records import (
    ExperimentCounts,
    ExperimentDefinition,
    ExperimentEffect,
    ExperimentOutcome,
    ExperimentPhase,
)


class BadRequests(Value, frozen=True, kw_only=True):
    """Bad requests of an arm and of the champion over some time, and the bets on them."""

    n1: int = 0
    bad1: int = 0
    n0: int = 0
    bad0: int = 0
    bets: tuple[float, ...] = ()
    """Log pay-out of each bet (`evalues.share_bets`); empty before the first block."""

    @property
    def excess(self) -> float:
        """The arm's share of bad requests less the champion's."""
        return self.bad1 / max(1, self.n1) - self.bad0 / max(1, self.n0)


class ArmGuard(Value, frozen=True, kw_only=True):
    """The guardrails of one arm."""

    arm: str
    errors: BadRequests = BadRequests()
    errors_of_epoch: BadRequests = BadRequests()
    slow: BadRequests = BadRequests()
    slow_of_epoch: BadRequests = BadRequests()
    bad_checks: int = 0
    """Consecutive blocks in which half of the requests failed or were slow."""


class Experiment(Value, frozen=True, kw_only=True):
    """The experiment of a model; there is at most one."""

    definition: ExperimentDefinition
    phase: ExperimentPhase
    reason: str
    phase_seconds: float = 0.0
    """Time in the phase during which the daemon was watching."""
    started_at: float | None = None
    """When Envoy confirmed the routes, seconds since 1970."""
    stopped_at: float | None = None
    """When users no longer met their arms, seconds since 1970."""
    dropped: tuple[str, ...] = ()
    """Arms that were taken out."""
    outcome: ExperimentOutcome = ""
    winner: int = 0
    effects: tuple[ExperimentEffect, ...] = ()
    """Each arm against the champion; that of a decided arm stays as it was decided."""
    counts: ExperimentCounts | None = None
    looked_at: float = 0.0
    """When the latest look was recorded, seconds since 1970."""
    guards: tuple[ArmGuard, ...] = ()
    epoch: int = 1
    """Number of the present epoch of the guardrails, from 1."""
    epoch_since: float = 0.0
    last_scrape: Scrape | None = None
    left_out: int = 0
    """Consecutive scrapes that lacked a counter."""
    silent_seconds: float = 0.0
    """Watched time since the latest scrape."""
    uncounted_seconds: float = 0.0
    """Watched time since the latest record of the label service."""
    caused_by: tuple[str, ...] = ()

    @property
    def experiment_id(self) -> str:
        """Id of the experiment."""
        return self.definition.experiment_id
