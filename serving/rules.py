"""The settings of a rollout: one value, checked when made, with the reason for each default.

Where a number comes from a simulation, the simulation is the one behind the design of the judge:
champion with 0.2 % errors and 0.2 % slow requests, control arm with the canary's traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming.contracts.errors import ConfigurationError

Approval = Literal["never", "before-canary", "before-promotion"]

LATENCY_EDGES_MS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 500, 1000, 2500, 10000)
"""Edges of Envoy's latency histogram; a latency limit must be one of them to be counted exactly."""

LAMBDAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Bets of the symmetry e-process, mixed with equal weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphas:
    """Chance of a false alarm over one whole rollout, all looks and all steps."""

    errors: float = 0.01
    slow: float = 0.01
    sample_ratio: float = 0.001
    passing: float = 0.05
    """Chance that a gate and step passes a canary as bad as its margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The protective pause: takes a dead, hung or slow canary out within seconds, judges nothing.

    A look pools scrapes until each arm has `requests`, for at most `seconds`.
    """

    requests: int = 5
    seconds: float = 5.0
    bad_share: float = 0.5
    """A look is bad when at least this share of the canary's requests failed or was slow …"""
    control_share: float = 0.1
    """… and at most this share of the control's."""
    looks: int = 2
    """So many bad looks running take the canary out."""
    bake_looks: int = 5
    """So many take a promoted version back; more, since there is no twin to compare it with."""
    recover_seconds: float = 15.0
    """So long copies of the traffic must be answered well before clients come back."""
    mirror_weight: int = 25
    """Share of the traffic that is copied to canary and control while it is out."""
    most: int = 3
    """A canary that has to be taken out more often than this is rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRules:
    """How one model is rolled out.

    Raises
    ------
    ConfigurationError
        When a value cannot work.
    """

    steps: tuple[int, ...] = (1, 5, 10, 25, 50)
    """Canary weights in percent, ascending, at most 50 (the control gets as much); a closing 100
    is the promotion itself and may be given or left out."""
    hold_seconds: float = 60.0
    """A step lasts at least this long, and until every gate passes."""
    errors_pp: float = 0.5
    """Tolerated excess of the error share over the control's, in percentage points, at the end."""
    latency_ms: int = 200
    slow_share: float = 0.01
    """Share of requests allowed above `latency_ms` at the end: 0.01 means p99 < `latency_ms`."""
    slow_gate: Literal["absolute", "compare"] = "absolute"
    """compare: prove only that the canary is not slower than the champion. For machines on which
    the champion itself has 0.8 % slow requests or more, where absolute cannot be proven."""
    startup_seconds: float = 5.0
    """Version seen → available."""
    approval: Approval = "never"
    deadline_seconds: float = 1800.0
    """Time in steps after which a rollout that has not passed is rolled back; waiting for a person
    does not count."""
    prepare_seconds: float = 120.0
    """How long the servers may take to have both versions before the rollout is given up."""
    bake_seconds: float = 600.0
    """The replaced version stays warm this long."""
    block_seconds: float = 5.0
    """Length of a block; shorter ones take one arm's bursts for harm."""
    warm_seconds: float = 3.0
    """Left out at the beginning of each weight, in both arms."""
    stale_seconds: float = 15.0
    """Without a scrape for so long the outcome is error: could not measure."""
    report_seconds: float = 15.0
    """A verdict record at least this often while a step goes on."""
    lambdas: tuple[float, ...] = LAMBDAS
    alphas: Alphas = Alphas()
    watch: Watch = Watch()

    def __post_init__(self) -> None:
        steps = self.weights
        if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 50:
            raise ConfigurationError(
                f"Rollout steps {list(self.steps)} must ascend from at least 1 to at most 50 "
                "(percent; the control arm gets as much as the canary), with 100 at the end if "
                "you like."
            )
        if self.latency_ms not in LATENCY_EDGES_MS:
            raise ConfigurationError(
                f"The latency limit of {self.latency_ms} ms is no edge of the histogram; choose "
                f"one of {list(LATENCY_EDGES_MS)}."
            )
        for name in ("errors_pp", "slow_share", "startup_seconds", "block_seconds"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; it must be above 0.")
        if self.approval not in ("never", "before-canary", "before-promotion"):
            raise ConfigurationError(
                f"Approval {self.approval!r} is not one of never, before-canary, before-promotion."
            )

    @property
    def weights(self) -> tuple[int, ...]:
        """The steps before the promotion."""
        return self.steps[:-1] if self.steps[-1:] == (100,) else self.steps

    def next_weight(self, step: int) -> int:
        """What the canary gets when this step passes; 100 after the last."""
        return self.weights[step + 1] if step + 1 < len(self.weights) else 100
