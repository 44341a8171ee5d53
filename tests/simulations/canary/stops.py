"""The protective stop on simulated traffic: how often it stops an identical canary, and how soon
one that suddenly fails or answers slowly.

Every second brings a scrape, as Prometheus does. Errors and slow responses of each arm wander as a
`Mixture` says. A canary that is stopped gets clients again after `AWAY_SECONDS`, the shortest time
that copies are judged; more than `EjectionRules.max_ejections` stops end a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.counts import add_scrapes, begin_run
from serving.ports import Arm, ArmCounters, Scrape
from serving.rules import RolloutRules
from serving.state import ArmCounts
from tests.simulations.canary.traffic import BASE, Family, Floats, wandering

AWAY_SECONDS = 15
STEP_SECONDS = 60
ARMS: tuple[Arm, ...] = ("stable", "control", "canary")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Shares of errors and of slow responses of identical versions, and how they wander."""

    name: str
    errors: float = BASE
    slow: float = BASE
    seconds: float = 0.0
    """Correlation time of wandering; 0 = none."""
    log_sd: float = 0.0
    shared: bool = False
    """Whether the arms wander together."""
    sick: tuple[Arm, ...] = ()
    """Arms with 40 points more slow responses."""

    def shares(self, random: np.random.Generator, seconds: int) -> dict[Arm, tuple[Floats, Floats]]:
        """Share of errors, and of slow responses, of every arm in every second."""
        family = Family(name=self.name, seconds=self.seconds, log_sd=self.log_sd)
        together = wandering(random, family, seconds) if self.shared else None
        drawn: dict[Arm, tuple[Floats, Floats]] = {}
        for arm in ARMS:
            level = together if together is not None else wandering(random, family, seconds)
            more = 0.4 * (arm in self.sick)
            drawn[arm] = (
                np.minimum(1.0, self.errors * level),
                np.minimum(1.0, self.slow * level + more),
            )
        return drawn


IDENTICAL = (
    Mixture(name="healthy"),
    Mixture(name="8 % errors and 8 % slow in all arms", errors=0.08, slow=0.08),
    Mixture(name="60 % slow in all arms", slow=0.6),
    Mixture(name="60 % slow, all in control and stable", slow=0.6, sick=("control", "stable")),
    Mixture(name="2 % slow, AR(1) shared, 30 s", slow=0.02, seconds=30, log_sd=1.5, shared=True),
    Mixture(name="1 % slow, AR(1) per arm, 20 s", slow=0.01, seconds=20, log_sd=1.5),
    Mixture(name="1 % both, AR(1) per arm, 50 s", errors=0.01, slow=0.01, seconds=50, log_sd=1.5),
)
FAULTS = {"all fail": (1.0, 0.0), "all slow": (0.0, 1.0), "half fail, half slow": (0.5, 0.5)}
"""Share of the canary's requests that fail, and that are slow."""


def stops(mixture: Mixture, rate: float, seed: int, rules: RolloutRules) -> int:
    """How often an identical canary is stopped in a rollout of a minute at each weight."""
    random = np.random.default_rng(seed)
    shares = mixture.shares(random, STEP_SECONDS * len(rules.weights))
    totals = {arm: [0, 0, 0] for arm in ARMS}
    counts, stopped = ArmCounts(), 0
    since = 0.0
    for step, weight in enumerate(rules.weights):
        counts, since = begin_run(counts, step=step), float(step * STEP_SECONDS)
        for at in range(step * STEP_SECONDS, (step + 1) * STEP_SECONDS):
            now = {arm: (float(a[at]), float(b[at])) for arm, (a, b) in shares.items()}
            _draw(random, totals, rate, weight, now)
            counts = add_scrapes(counts, (_scrape(at + 1, totals),), since=since, rules=rules)
            if counts.bad_checks >= rules.ejection.bad_checks:
                stopped += 1
                counts, since = begin_run(counts, step=step), float(at + 1 + AWAY_SECONDS)
    return stopped


def seconds_to_stop(fault: tuple[float, float], rate: float, seed: int, rules: RolloutRules) -> int:
    """Scrapes from a fault of the canary at the last weight until it is stopped."""
    random = np.random.default_rng(seed)
    healthy = dict.fromkeys(ARMS, (BASE, BASE))
    totals = {arm: [0, 0, 0] for arm in ARMS}
    counts = begin_run(ArmCounts(), step=0)
    for at in range(60):
        failing = {**healthy, "canary": fault} if at >= 10 else healthy
        _draw(random, totals, rate, rules.weights[-1], failing)
        counts = add_scrapes(counts, (_scrape(at + 1, totals),), since=0.0, rules=rules)
        if counts.bad_checks >= rules.ejection.bad_checks:
            return at + 1 - 10
    return 60


def _draw(
    random: np.random.Generator,
    totals: dict[Arm, list[int]],
    rate: float,
    weight: int,
    shares: dict[Arm, tuple[float, float]],
) -> None:
    """Add one second of requests. A request that failed at its server is answered by another one,
    in time."""
    split: dict[Arm, int] = {"canary": weight, "control": weight, "stable": 100 - 2 * weight}
    for arm, share in split.items():
        n = int(random.poisson(rate * share / 100))
        errors, late = shares[arm]
        failed = int(random.binomial(n, errors))
        slow = int(random.binomial(n - failed, min(1.0, late / max(1e-3, 1.0 - errors))))
        for index, more in enumerate((n, failed, slow)):
            totals[arm][index] += more


def _scrape(at: int, totals: dict[Arm, list[int]]) -> Scrape:
    return Scrape(
        at=float(at),
        uptime_seconds=float(at),
        arms=tuple(
            ArmCounters(arm=arm, requests=n, errors=errors, timed=n, slow=slow)
            for arm, (n, errors, slow) in totals.items()
        ),
    )
