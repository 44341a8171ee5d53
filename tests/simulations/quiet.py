"""Quiet days: nothing ever changes, so every alarm is false. Are there as many as were allowed?

The judge that ships judges real counts, window after window, against a reference that was sampled
too. Floors are off (with them on there is nothing to count) unless an arm says otherwise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from msgspec.structs import replace as replace_struct

from streaming.baseline import learn_wobble
from streaming.baseline.merge import build_reference
from streaming.contracts.model import ModelContract
from streaming.contracts.records import ALARMED, FeatureVerdict, ReferenceSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.backtest.alarm_count import Rate, Tally, rate
from streaming.drift.day_variance import Strays, alike
from tests.simulations.arms import Arm
from tests.simulations.draws import Moves, Stream
from tests.simulations.records import contract_of, features_of, reference_of, summaries, window_of

DAY = 86_400.0
DAYS_OF_YARDSTICK = 10
"""Of which a reference is made whose wobble is learnt."""


@dataclass(slots=True)
class Found:
    """What an arm's simulation counted."""

    days: int = 0
    by_reference: list[int] = field(default_factory=list)
    """Alarms under each reference."""
    begun: Counter[str] = field(default_factory=Counter)
    """Features that began an alarm, by lane."""
    tests: Counter[str] = field(default_factory=Counter)
    """The same by lane, leading test and kind of feature."""


def rules_of(arm: Arm) -> DriftRules:
    """The rules that an arm is judged by."""
    rules = DriftRules(false_alarms=arm.alarms)
    if not arm.learnt:
        rules = replace(rules, wobble_sd=arm.wobble, strays=simulated(arm.wobble))
    return rules if arm.floors else replace(rules, suspected_sd=0.0, drifted_sd=0.0)


def simulated(sd: float) -> Strays:
    """What strays in a simulated wobble: a number beyond its place and spread does not."""
    return replace(alike(sd), shape=0.0, values=0.0)


def simulate(arm: Arm, *, days: int, seed: int) -> Found:
    """Count false alarms, each reference in use for some days."""
    rng, found = np.random.default_rng(seed), Found()
    while found.days < days:
        found.by_reference.append(_under_one_reference(arm, rng, found))
        found.days += arm.days_of_a_reference
    return found


def _under_one_reference(arm: Arm, rng: np.random.Generator, found: Found) -> int:
    kinds = arm.chosen()
    stream, still = Stream(kinds, arm.rho), Moves.none(len(kinds))
    seconds = DAY / arm.windows_a_day
    contract, rules = contract_of(features_of(kinds), seconds), rules_of(arm)
    prepared = prepare_reference(_reference(arm, rng, contract), contract)
    history, tally, at = DriftHistory(), Tally(rules.of), 0
    for _day in range(arm.days_of_a_reference):
        tally.new_day()
        moves = Moves.wobble(rng, arm.wobble, kinds) if arm.wobble else still
        windows = stream.draw(rng, arm.rows, arm.windows_a_day, moves)
        for window in range(arm.windows_a_day):
            record = window_of(summaries(windows, window, kinds), at, seconds, arm.rows)
            verdict, history = judge_drift(record, prepared, "r", history, rules, contract)
            at += 1
            alarmed = {one.feature: one for one in verdict.features if one.outcome in ALARMED}
            for name in tally.window(alarmed):
                lane = alarmed[name].lane
                found.begun[lane] += 1
                kind = arm.kinds[int(name[1:])]
                found.tests[f"{lane}, {_leading(alarmed[name])}, {kind}"] += 1
    return tally.alarms


def _reference(arm: Arm, rng: np.random.Generator, contract: ModelContract) -> ReferenceSummary:
    """The yardstick, sampled feature by feature: its own error does not depend on correlation.

    Where the wobble is learnt, it is of the last of those days, and they strayed as well.
    """
    kinds = arm.chosen()
    stream, still = Stream(kinds), Moves.none(len(kinds))
    if not arm.learnt:
        drawn = stream.draw(rng, arm.reference_rows, 1, still)
        return reference_of(summaries(drawn, 0, kinds), arm.reference_rows)
    rows, days = arm.reference_rows // DAYS_OF_YARDSTICK, []
    for day in range(arm.learnt):
        drawn = stream.draw(rng, rows, 1, Moves.wobble(rng, arm.wobble, kinds))
        days.append(window_of(summaries(drawn, 0, kinds), day, DAY, rows))
    reference = build_reference(
        days[-DAYS_OF_YARDSTICK:], model=contract.model, version=1, at=arm.learnt * DAY
    )
    return replace_struct(reference, wobble=learn_wobble(days, reference, contract))


def _leading(verdict: FeatureVerdict) -> str:
    return min(verdict.tests, key=lambda test: test.p).name


def measure(arm: Arm, *, days: int, seed: int) -> tuple[Rate, Found]:
    """Observed alarms over allowed ones, with its interval."""
    found = simulate(arm, days=days, seed=seed)
    return rate(found.by_reference, arm.alarms * found.days / 30.0), found
