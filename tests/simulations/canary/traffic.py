"""Traffic with errors and slow responses of three arms, second by second.

A family says how the share of errors varies in an identical version; a harm says what a canary (and
a sick control) has besides. Every arm serves Poisson requests; the shares of one second are the
probabilities of its requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

BASE = 0.002
"""Share of errors, and of slow responses, of a healthy version."""

Floats = NDArray[np.float64]
Kind = Literal["errors", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How the errors of identical versions come."""

    name: str
    seconds: float = 0.0
    """Correlation time of wandering, AR(1) on the logarithm; 0 = none."""
    log_sd: float = 0.0
    shared: bool = False
    """Whether the arms wander together."""
    gamma: float = 0.0
    """Shape of the gamma distribution of each second's share (negative binomial); 0 = none."""
    clumps: float = 0.0
    """Share of the seconds in which 20–100 % of one arm's requests fail."""
    daily: bool = False
    """Traffic and errors rise and fall threefold within an hour."""
    lost: float = 0.0
    """Share of the scrapes that are lost."""
    lacking: float = 0.0
    """Share of the scrapes that lack the counters of one arm."""
    reset_seconds: int = 0
    """Envoy restarts this often; 0 = never."""


FAMILIES = (
    Family(name="independent"),
    Family(name="negative binomial", gamma=0.5),
    Family(name="AR(1) shared, 30 s", seconds=30.0, log_sd=1.5, shared=True),
    Family(name="AR(1) per arm, 20 s", seconds=20.0, log_sd=1.5),
    Family(name="AR(1) per arm, 50 s", seconds=50.0, log_sd=1.5),
    Family(name="clumps in one arm", clumps=1 / 60),
    Family(name="daily cycle in an hour", daily=True),
    Family(name="lost scrapes", lost=0.2, lacking=0.05),
    Family(name="resets", reset_seconds=120),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """Additional shares of bad requests."""

    name: str
    errors: float = 0.0
    slow: float = 0.0
    control_errors: float = 0.0
    control_slow: float = 0.0
    from_weight: int = 0
    """Weight of the canary from which the harm is there."""
    slice_name: str = ""
    """The harm is in this slice only, of `SLICES`."""


NONE = Harm(name="identical")
HARMS = (
    Harm(name="errors +1 pp", errors=0.01),
    Harm(name="p99 250 ms", slow=0.028),
    Harm(name="10 % slow", slow=0.1),
    Harm(name="errors +1 pp only at 50 %", errors=0.01, from_weight=50),
    Harm(name="sick control: 5 % and 3 % errors", errors=0.028, control_errors=0.048),
    Harm(name="sick control: 2 % and 2 % errors", errors=0.018, control_errors=0.018),
    Harm(name="sick control: 5 % and 5 % slow", slow=0.05, control_slow=0.05),
)

SLICES = {
    "s30": 0.30,
    "s20": 0.20,
    "s10": 0.10,
    "s5": 0.05,
    "s3": 0.03,
    "s1": 0.01,
    "t1": 0.01,
    "s05": 0.005,
    "s03": 0.003,
    "s01": 0.001,
}
"""Shares of ten slices in the requests; the others are of no slice."""
SLICE_HARMS = (
    Harm(name="1 % of the requests fail wholly", errors=1.0, slice_name="s1"),
    Harm(name="0.3 % of the requests fail wholly", errors=1.0, slice_name="s03"),
    Harm(name="1 % of the requests are slow", slow=1.0, slice_name="s1"),
    Harm(name="1 % of the requests fail by half", errors=0.5, slice_name="s1"),
    Harm(
        name="sick control: 1 % fail wholly in both",
        errors=1.0,
        control_errors=1.0,
        slice_name="s1",
    ),
)

Drawn = tuple[int, int, int]
"""Requests, errors and slow responses."""


@dataclass(slots=True)
class Traffic:
    """The shares of every second, drawn once; requests are drawn by the split of the second."""

    rate: Floats
    """Requests per second."""
    shares: dict[str, Floats]
    """Share of errors of stable, control and canary."""
    harm: Harm
    family: Family
    random: np.random.Generator
    by_slice: dict[str, dict[str, Drawn]] = field(default_factory=dict)
    """What `second` drew for each slice, by arm; empty without slices."""
    sliced: bool = False
    """Whether the requests are of slices."""
    before: int = 0
    """Seconds before the rollout, in which the stable arm gets all requests."""

    @classmethod
    def draw(
        cls,
        family: Family,
        harm: Harm,
        *,
        rate: float,
        seconds: int,
        seed: int,
        sliced: bool = False,
        before: int = 0,
    ) -> Traffic:
        """Draw the shares of `seconds` seconds, and of those before the rollout."""
        seconds += before
        random = np.random.default_rng(seed)
        wave = _wave(seconds) if family.daily else np.ones(seconds)
        together = wandering(random, family, seconds) if family.shared else None
        shares = {}
        for arm in ("stable", "control", "canary"):
            level = together if together is not None else wandering(random, family, seconds)
            share = BASE * wave * level
            if family.gamma:
                share = share * random.gamma(family.gamma, 1 / family.gamma, seconds)
            if family.clumps:
                hit = random.random(seconds) < family.clumps
                share = np.where(hit, random.uniform(0.2, 1.0, seconds), share)
            shares[arm] = np.minimum(1.0, share)
        return cls(rate * wave, shares, harm, family, random, sliced=sliced, before=before)

    def second(self, at: int, weight: int) -> dict[str, Drawn]:
        """Requests, errors and slow responses of each arm in one second."""
        split = {"canary": weight, "control": weight, "stable": 100 - 2 * weight}
        harmed = weight >= self.harm.from_weight
        more = {
            "stable": (0.0, 0.0),
            "control": (self.harm.control_errors * harmed, self.harm.control_slow * harmed),
            "canary": (self.harm.errors * harmed, self.harm.slow * harmed),
        }
        drawn = {}
        for arm, share in split.items():
            n = int(self.random.poisson(self.rate[at] * share / 100))
            if self.sliced:
                drawn[arm] = self._slices(arm, n, self.shares[arm][at], more[arm])
                continue
            errors = min(1.0, self.shares[arm][at] + more[arm][0])
            slow = min(1.0, BASE + more[arm][1])
            drawn[arm] = (
                n,
                int(self.random.binomial(n, errors)),
                int(self.random.binomial(n, slow)),
            )
        return drawn

    def _slices(self, arm: str, n: int, base: float, more: tuple[float, float]) -> Drawn:
        """The requests of one arm in one second, drawn by slice; returns their sum."""
        shares = [*SLICES.values(), 1.0 - sum(SLICES.values())]
        harmed = np.asarray([name == self.harm.slice_name for name in (*SLICES, "")])
        counts = self.random.multinomial(n, shares)
        errors = self.random.binomial(counts, np.minimum(1.0, base + more[0] * harmed))
        slow = self.random.binomial(counts, np.minimum(1.0, BASE + more[1] * harmed))
        self.by_slice[arm] = {
            name: (int(counts[index]), int(errors[index]), int(slow[index]))
            for index, name in enumerate(SLICES)
        }
        return n, int(errors.sum()), int(slow.sum())


def wandering(random: np.random.Generator, family: Family, seconds: int) -> Floats:
    """exp of an AR(1) series, with mean 1."""
    if not family.seconds:
        return np.ones(seconds)
    rho = float(np.exp(-1 / family.seconds))
    steps = random.standard_normal(seconds) * np.sqrt(1 - rho * rho)
    level = float(random.standard_normal())
    series = np.empty(seconds)
    for second in range(seconds):
        level = rho * level + steps[second]
        series[second] = level
    return np.asarray(np.exp(family.log_sd * series - family.log_sd**2 / 2))


def _wave(seconds: int) -> Floats:
    return np.asarray(np.exp(np.log(3.0) * np.sin(2 * np.pi * np.arange(seconds) / 3600)))
