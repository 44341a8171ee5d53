"""Quiet days: nothing ever changes, so every alarm is false. Their number is compared with the
budget.

The production judge judges real counts, window after window, against a reference that was sampled
too. The effect floors are off (with them there is nothing to count) unless an arm has them on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from msgspec.structs import replace as replace_struct

from streaming.baseline import estimate_day_variance
from streaming.baseline.merge import build_reference
from streaming.contracts.model import ModelContract
from streaming.contracts.records import ALARMED, FeatureVerdict, ReferenceSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.backtest.alarm_count import AlarmCounter, AlarmRate, alarm_rate
from streaming.drift.day_variance import BetweenDaySd
from tests.simulations.arms import Arm
from tests.simulations.draws import DayOffsets, Stream
from tests.simulations.records import contract_of, features_of, reference_of, summaries, window_of

DAY = 86_400.0
REFERENCE_DAYS = 10
"""Number of days of a reference with an estimated day variance."""


@dataclass(slots=True)
class QuietCounts:
    """The counts of an arm's simulation."""

    days: int = 0
    by_reference: list[int] = field(default_factory=list)
    """Number of alarms under each reference."""
    by_rule: Counter[str] = field(default_factory=Counter)
    """Number of features that started an alarm, by alarm rule."""
    by_test: Counter[str] = field(default_factory=Counter)
    """The same number by alarm rule, leading test and kind of feature."""


def rules_of(arm: Arm) -> DriftRules:
    """The rules that an arm is judged by."""
    rules = DriftRules(false_alarms=arm.budget)
    if not arm.estimation_days:
        rules = replace(rules, between_day_sd=arm.day_sd, estimated_day_sd=simulated_sd(arm.day_sd))
    return rules if arm.floors else replace(rules, suspected_sd=0.0, drifted_sd=0.0)


def simulated_sd(sd: float) -> BetweenDaySd:
    """The day variation of the simulation: numbers vary in location and dispersion only."""
    return replace(BetweenDaySd.uniform(sd), shape=0.0, values=0.0)


def simulate(arm: Arm, *, days: int, seed: int) -> QuietCounts:
    """Count false alarms, with each reference in use for some days."""
    rng, counts = np.random.default_rng(seed), QuietCounts()
    while counts.days < days:
        counts.by_reference.append(_under_one_reference(arm, rng, counts))
        counts.days += arm.days_of_a_reference
    return counts


def _under_one_reference(arm: Arm, rng: np.random.Generator, counts: QuietCounts) -> int:
    kinds = arm.chosen()
    stream, no_offsets = Stream(kinds, arm.rho), DayOffsets.none(len(kinds))
    seconds = DAY / arm.windows_a_day
    contract, rules = contract_of(features_of(kinds), seconds), rules_of(arm)
    prepared = prepare_reference(_reference(arm, rng, contract), contract)
    history, counter, number = DriftHistory(), AlarmCounter(rules.of), 0
    for _day in range(arm.days_of_a_reference):
        counter.new_day()
        offsets = DayOffsets.random(rng, arm.day_sd, kinds) if arm.day_sd else no_offsets
        windows = stream.draw(rng, arm.rows, arm.windows_a_day, offsets)
        for window in range(arm.windows_a_day):
            record = window_of(summaries(windows, window, kinds), number, seconds, arm.rows)
            verdict, history = judge_drift(record, prepared, "r", history, rules, contract)
            number += 1
            alarmed = {
                feature.feature: feature
                for feature in verdict.features
                if feature.outcome in ALARMED
            }
            for name in counter.window(alarmed):
                rule = alarmed[name].raised_by
                counts.by_rule[rule] += 1
                kind = arm.kinds[int(name[1:])]
                counts.by_test[f"{rule}, {_leading_test(alarmed[name])}, {kind}"] += 1
    return counter.alarms


def _reference(arm: Arm, rng: np.random.Generator, contract: ModelContract) -> ReferenceSummary:
    """The reference, sampled feature by feature, so that its error does not depend on correlation.

    An estimated day variance comes from days with random offsets; the reference holds the last of
    these days.
    """
    kinds = arm.chosen()
    stream, no_offsets = Stream(kinds), DayOffsets.none(len(kinds))
    if not arm.estimation_days:
        drawn = stream.draw(rng, arm.reference_rows, 1, no_offsets)
        return reference_of(summaries(drawn, 0, kinds), arm.reference_rows)
    rows, days = arm.reference_rows // REFERENCE_DAYS, []
    for day in range(arm.estimation_days):
        drawn = stream.draw(rng, rows, 1, DayOffsets.random(rng, arm.day_sd, kinds))
        days.append(window_of(summaries(drawn, 0, kinds), day, DAY, rows))
    reference = build_reference(
        days[-REFERENCE_DAYS:], model=contract.model, version=1, at=arm.estimation_days * DAY
    )
    return replace_struct(reference, day_variance=estimate_day_variance(days, reference, contract))


def _leading_test(verdict: FeatureVerdict) -> str:
    return min(verdict.tests, key=lambda test: test.p).name


def measure(arm: Arm, *, days: int, seed: int) -> tuple[AlarmRate, QuietCounts]:
    """Observed alarms over allowed ones, with its interval."""
    counts = simulate(arm, days=days, seed=seed)
    return alarm_rate(counts.by_reference, arm.budget * counts.days / 30.0), counts
