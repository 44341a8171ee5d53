"""The settings of a rollout: one value, validated on creation, with the reason for each default.

These are the defaults that a user gets. Numbers that come from a simulation come from the one
behind the design of the sequential tests: a champion with 0.2 % errors and 0.2 % slow requests, and
a control arm with the same traffic as the canary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from streaming.contracts.errors import ConfigurationError

Approval = Literal["never", "before-canary", "before-promotion"]

LATENCY_EDGES_MS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 500, 1000, 2500, 10000)
"""Bucket edges of Envoy's latency histogram; a latency limit is exact only at an edge."""

LAMBDAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Bet sizes of the symmetry e-process, mixed with equal weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphas:
    """Probabilities of a wrong decision over a whole rollout, all looks and all steps together."""

    errors: float = 0.01
    """Of failing a canary that has no more errors than the control."""
    slow: float = 0.01
    """Of failing a canary that has no more slow responses than the control."""
    sample_ratio: float = 0.001
    """Of reporting an unequal split when requests are split equally."""
    passing: float = 0.05
    """Of passing, at one gate and step, a canary that is as bad as the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EjectionRules:
    """When a dead, hung or slow canary is ejected: within seconds, without a statistical verdict.

    A check pools scrapes until each arm has `min_requests`, for at most `max_seconds`.
    """

    min_requests: int = 5
    max_seconds: float = 5.0
    bad_share: float = 0.5
    """A check is bad if at least this share of the canary's requests failed or was slow."""
    max_control_share: float = 0.1
    """A check is never bad if more than this share of the control's requests failed or was slow."""
    bad_checks: int = 2
    """Consecutive bad checks that eject the canary."""
    bake_bad_checks: int = 5
    """Consecutive bad checks that roll back a promoted version. The number is larger because there
    is no control to compare it with."""
    recover_seconds: float = 15.0
    """Copies of the traffic must be answered well for this long before clients return."""
    mirror_weight: int = 25
    """Share of the traffic, in percent, copied to canary and control during an ejection."""
    max_ejections: int = 3
    """A canary that would be ejected more often than this is rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRules:
    """How one model is rolled out.

    Raises
    ------
    ConfigurationError
        When a value cannot work.
    """

    steps: tuple[int, ...] = (1, 5, 10, 25, 50, 100)
    """Canary weights in percent, ascending, at most 50 because the control gets as much. The
    closing 100 stands for the promotion and may be omitted."""
    hold_seconds: float = 60.0
    """Minimum duration of a step. A step also lasts until every gate passes."""
    errors_pp: float = 0.5
    """Tolerated excess of the canary's error share over the control's, in percentage points, at the
    last step."""
    latency_ms: int = 200
    """Latency limit in milliseconds; one of `LATENCY_EDGES_MS`."""
    slow_share: float = 0.01
    """Share of requests allowed above `latency_ms` at the last step: 0.01 means p99 < `latency_ms`.
    """
    slow_gate: Literal["absolute", "compare"] = "absolute"
    """compare: prove only that the canary is not slower than the control. Needed where the champion
    itself has 0.8 % slow requests or more, because the absolute limit cannot be proven there."""
    startup_seconds: float = 5.0
    """Limit on the time from the load request until the version is available."""
    approval: Approval = "before-canary"
    """When a person has to approve; before-canary protects clients from an unreviewed version."""
    deadline_seconds: float = 7200.0
    """Time in steps after which an unproven rollout is rolled back. Waiting for a person does not
    count."""
    prepare_seconds: float = 120.0
    """Time limit for the servers to load both versions; the rollout is given up after it."""
    bake_seconds: float = 600.0
    """The replaced version stays loaded for this long after a promotion."""
    block_seconds: float = 5.0
    """Length of a block. Shorter blocks take a burst of requests in one arm for harm."""
    warm_seconds: float = 3.0
    """Time at the beginning of each weight that is not counted, in both arms."""
    stale_seconds: float = 15.0
    """Without a scrape for this long the outcome is error: the canary could not be measured."""
    report_seconds: float = 15.0
    """Maximum time between two verdict records during a step."""
    lambdas: tuple[float, ...] = LAMBDAS
    """Bet sizes of the symmetry e-process."""
    alphas: Alphas = Alphas()
    ejection: EjectionRules = EjectionRules()

    def __post_init__(self) -> None:
        steps = self.weights
        if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 50:
            raise ConfigurationError(
                f"Rollout steps {list(self.steps)} must ascend from at least 1 to at most 50 "
                "(percent; the control arm gets as much as the canary); a final 100 is optional."
            )
        if self.latency_ms not in LATENCY_EDGES_MS:
            raise ConfigurationError(
                f"The latency limit of {self.latency_ms} ms is not a histogram edge; choose one "
                f"of {list(LATENCY_EDGES_MS)}."
            )
        for name in ("errors_pp", "slow_share", "startup_seconds", "block_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if self.approval not in get_args(Approval):
            known = ", ".join(get_args(Approval))
            raise ConfigurationError(f"Approval {self.approval!r} is not one of {known}.")

    @property
    def weights(self) -> tuple[int, ...]:
        """The steps before the promotion."""
        return self.steps[:-1] if self.steps[-1:] == (100,) else self.steps

    def next_weight(self, step: int) -> int:
        """The canary's weight after this step passes; 100 after the last step."""
        return self.weights[step + 1] if step + 1 < len(self.weights) else 100
