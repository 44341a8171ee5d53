"""The tests of a numeric feature: location, dispersion, shape, and shares of its values."""

from __future__ import annotations

from math import sqrt

import numpy as np

from streaming.drift.day_variance import Strays
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.propagated_variance import (
    shape_variances,
    tail_variance,
    value_variance,
)
from streaming.drift.statistics.proportions import (
    expected_share,
    share_test,
    worst_of,
    worth_of_never_seen,
)
from streaming.drift.statistics.pvalues import mean_score_z, two_sided
from streaming.drift.statistics.quadratic_form import sum_of_squares_tail
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, SHAPE, NumberScores, Placed
from streaming.drift.statistics.statistic import Evidence
from streaming.grid import Floats

ENOUGH_OTHERS = 10
"""So many expected rows beside the most frequent value are needed for location and dispersion:
the saddlepoint of a near-constant feature is a lattice."""
ENOUGH_FOR_SHAPE = 50
"""The same for shape, whose chi-square is only a limit…"""
MAX_FOURTH = 0.1
"""… so that a component takes part only where its fourth moment is at most this share of n (few
and rare values make heavy tails) …"""
ENOUGH_FOR_SHAPE_ALONE = 1_000
"""… and this many before its far tail is trusted after a single window."""


def number_tests(
    scores: NumberScores, now: Placed, rules: DriftRules, worth: float = 1.0
) -> list[Evidence]:
    """All tests of a window's finite values, which are at least one.

    The reference's rows count for `worth` (at most 1) of themselves.
    """
    m = scores.m * worth
    n = now.n
    means = scores.scores[:, now.columns] @ (now.counts / n)
    strays = rules.wobble
    others = n * (1.0 - scores.heaviest)
    tests = []
    if others >= ENOUGH_OTHERS:
        for name, row, sd in (
            ("location", LOCATION, strays.place),
            ("dispersion", DISPERSION, strays.spread),
        ):
            if scores.usable[row]:
                persistence = n * (sd**2 + 1.0 / m)
                tests.append(_linear(name, scores, row, float(means[row]), n, persistence))
    if others >= ENOUGH_FOR_SHAPE:
        alone = others >= ENOUGH_FOR_SHAPE_ALONE
        tests += _shape(scores, means, n, m, strays, alone=alone)
    return tests + _value_tests(scores, now, rules, worth)


def _linear(
    name: str, scores: NumberScores, row: int, mean: float, n: int, persistence: float
) -> Evidence:
    known = scores.scores[row, : len(scores.buckets)]
    z = mean_score_z(known, scores.shares, mean, n)
    return Evidence(
        name=name,
        statistic=z,
        p=two_sided(z, persistence),
        effect=mean,
        n=n,
        persistence=persistence,
    )


def _shape(
    scores: NumberScores, means: Floats, n: int, m: float, strays: Strays, *, alone: bool
) -> list[Evidence]:
    """Neyman's smooth test with four components."""
    usable = np.array(scores.usable[SHAPE]) & (np.array(scores.fourth[SHAPE]) <= MAX_FOURTH * n)
    degrees = int(usable.sum())
    if not degrees:
        return []
    squares = float(np.sum(means[SHAPE][usable] ** 2))
    by_chance = degrees * (1.0 / n + 1.0 / scores.m)
    weights = tuple(
        1.0 + n * (variance + 1.0 / m) for variance in shape_variances(scores, usable, strays)
    )
    return [
        Evidence(
            name="shape",
            statistic=n * squares,
            p=sum_of_squares_tail(n * squares, weights),
            effect=sqrt(max(0.0, squares - by_chance)),
            n=n,
            persistence=weights[-1] - 1.0,
            alone=alone,
            degrees=degrees,
            by_chance=by_chance,
            weights=weights,
        )
    ]


def _value_tests(
    scores: NumberScores, window: Placed, rules: DriftRules, worth: float
) -> list[Evidence]:
    """Zero, the other heavy values, values beyond the reference's range, values never seen."""
    buckets, counts, places, n = window.buckets, window.counts, window.places, window.n
    m, unseen_worth = scores.m, worth * worth_of_never_seen(scores.once, scores.twice)

    def share(
        name: str,
        count: int,
        before: float,
        *,
        worth: float = worth,
        only_more: bool = False,
        wobble: float | None = None,
    ) -> Evidence:
        probit = tail_variance(expected_share(before, m), rules.wobble)
        return share_test(
            name,
            count,
            n,
            before=before,
            m=m,
            rules=rules,
            worth=worth,
            only_more=only_more,
            wobble=wobble,
            probit=probit,
        )

    def value(name: str, place: int) -> Evidence:
        wobble = value_variance(scores, place, rules.wobble)
        return share(name, int(now[place]), float(scores.counts[place]), wobble=wobble)

    now = np.zeros(len(scores.buckets), np.int64)
    now[places[places >= 0]] = counts[places >= 0]
    outside = (buckets < scores.buckets[0]) | (buckets > scores.buckets[-1])
    tests = [
        # Of a sample of m, a further value lies beyond either end once in m + 1 times.
        share("range", int(counts[outside].sum()), 1.5, only_more=True),
        share(
            "unseen",
            int(counts[places < 0].sum()),
            scores.once + 0.5,
            worth=unseen_worth,
            only_more=True,
        ),
    ]
    if scores.pivot == 0.0:
        zero = int(counts[buckets == 0].sum())
        at = np.flatnonzero(scores.buckets == 0)
        tests.append(value("zero", int(at[0])) if len(at) else share("zero", zero, 0.0))
    return tests + worst_of([value("value", at) for at in scores.heavy.tolist()])
