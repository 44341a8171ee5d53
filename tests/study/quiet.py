"""Quiet days: nothing ever changes, so every alarm is false. Are there as many as were allowed?

The judge that ships judges real counts, window after window, against a reference that was sampled
too. Floors are off (with them on there is nothing to count) unless an arm says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from tests.study.draws import Stream
from tests.study.kinds import KINDS, Kind
from tests.study.records import contract_of, numbers, reference_of, summaries, window_of
from tests.study.tally import Rate, Tally, rate

DAY = 86_400.0
DAYS_OF_A_REFERENCE = 10
NINE = tuple(KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One setting of the simulation."""

    name: str
    kinds: tuple[str, ...] = NINE
    rows: int = 1_000
    reference_rows: int = 200_000
    rho: float = 0.0
    wobble: float = 0.0
    floors: bool = False
    cost: float = 1.0
    """Of a day, against the first arm's: how much fewer days it gets."""
    windows_a_day: int = 24

    def chosen(self) -> tuple[Kind, ...]:
        """The features' kinds."""
        return tuple(KINDS[name] for name in self.kinds)


ARMS = (
    Arm(name="nine kinds"),
    Arm(name="200 rows, reference 20,000", rows=200, reference_rows=20_000, cost=0.5),
    Arm(name="10,000 rows", rows=10_000, cost=2.0),
    Arm(name="10,000 rows, reference 20,000", rows=10_000, reference_rows=20_000, cost=2.0),
    Arm(
        name="100,000 rows, 5 features",
        kinds=("normal", "lognormal", "t3", "poisson", "sparse"),
        rows=100_000,
        reference_rows=1_000_000,
        cost=2.0,
    ),
    Arm(name="50 features, 300 rows", kinds=(NINE * 6)[:50], rows=300, cost=4.0),
    Arm(name="correlated 0.3", rho=0.3, cost=1.5),
    Arm(name="correlated 0.6", rho=0.6, cost=1.5),
    Arm(name="correlated 0.9", rho=0.9, cost=1.5),
    Arm(name="wobble 0.02 sd", wobble=0.02),
    Arm(name="wobble 0.05 sd, 10,000 rows", rows=10_000, wobble=0.05, cost=2.0),
    Arm(name="floors on", floors=True),
    Arm(name="floors on, wobble 0.05 sd", wobble=0.05, floors=True),
)


def rules_of(arm: Arm, alarms: float) -> DriftRules:
    """The rules that an arm is judged by: `alarms` allowed in 30 days."""
    if arm.floors:
        return DriftRules(false_alarms=alarms, wobble_sd=arm.wobble)
    return DriftRules(false_alarms=alarms, wobble_sd=arm.wobble, suspected_sd=0.0, drifted_sd=0.0)


def simulate(arm: Arm, *, days: int, alarms: float, seed: int) -> Iterator[int]:
    """False alarms under each reference in turn, `DAYS_OF_A_REFERENCE` days each."""
    rng = np.random.default_rng(seed)
    kinds = arm.chosen()
    stream, still = Stream(kinds, arm.rho), [0.0] * len(kinds)
    seconds = DAY / arm.windows_a_day
    contract = contract_of(numbers(kinds), seconds)
    rules = rules_of(arm, alarms)
    for _ in range(0, days, DAYS_OF_A_REFERENCE):
        # sampled feature by feature: a yardstick's own error does not depend on correlation
        drawn = Stream(kinds).draw(rng, arm.reference_rows, 1, still)
        reference = reference_of(summaries(drawn, 0, kinds), arm.reference_rows)
        prepared = prepare_reference(reference, contract)
        history, tally, at = DriftHistory(), Tally(), 0
        for _day in range(DAYS_OF_A_REFERENCE):
            tally.new_day()
            shifts = rng.normal(0.0, arm.wobble, len(kinds)) if arm.wobble else still
            windows = stream.draw(rng, arm.rows, arm.windows_a_day, shifts)
            for window in range(arm.windows_a_day):
                record = window_of(summaries(windows, window, kinds), at, seconds, arm.rows)
                verdict, history = judge_drift(record, prepared, "r", history, rules, contract)
                alarmed = ("suspected", "drifted")
                tally.window(one.feature for one in verdict.features if one.outcome in alarmed)
                at += 1
        yield tally.alarms


def measure(arm: Arm, *, days: int, alarms: float, seed: int) -> Rate:
    """Observed alarms over allowed ones, with its interval."""
    whole = max(DAYS_OF_A_REFERENCE, round(days / arm.cost / DAYS_OF_A_REFERENCE) * 10)
    counts = list(simulate(arm, days=whole, alarms=alarms, seed=seed))
    return rate(counts, alarms * whole / 30.0)
