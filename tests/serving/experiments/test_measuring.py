"""What an experiment measures: intervals at every look, sample ratio, guardrails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from serving.experiment_rules import ExperimentRules
from serving.experiments.checks import refusal
from serving.experiments.endings import ending
from serving.experiments.guardrails import add_scrapes, judge
from serving.experiments.interval import effect, half_width
from serving.experiments.sample_ratio import log_ratio_evidence
from serving.experiments.state import Experiment
from serving.ports import ArmCounters, Scrape
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.experiment_records import ExperimentEffect, ExperimentOutcome
from streaming.contracts.task import Task
from tests.serving.experiments.experiment_world import NOW, RULES, arm, arm_counts, definition

Values = NDArray[np.float64]
LOOKS = np.unique(np.geomspace(200, 10_000, 30).astype(int))


def outcomes(
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator, float], Values],
    gain: float,
    *,
    minimum: float,
    metric: str = "accuracy",
) -> set[ExperimentOutcome]:
    """Every outcome that any look of one experiment had."""
    planned = definition(metric=metric, minimum_effect=minimum)
    champion, treated = draw(rng, 0.0), draw(rng, gain)
    shown_outcomes = set()
    for n in LOOKS:
        arms = (arm_counts("v2", treated[:n]), arm_counts("champion", champion[:n]))
        shown_outcomes.add(effect(*arms, planned).outcome)
    return shown_outcomes


def correct_answers(rng: np.random.Generator, gain: float) -> Values:
    """Users with 1 to 50 predictions each, who differ: the mean per user."""
    users = int(LOOKS[-1])
    chance = np.clip(rng.beta(7, 3, users) + gain, 0, 1)
    answers = rng.geometric(0.2, users).clip(1, 50)
    means: Values = rng.binomial(answers, chance) / answers
    return means


def heavy_losses(rng: np.random.Generator, gain: float) -> Values:
    """Log losses with a heavy tail."""
    losses: Values = np.minimum(rng.lognormal(-1.2, 1.0, int(LOOKS[-1])), 13.0) - gain
    return losses


def bounded_losses(rng: np.random.Generator, gain: float) -> Values:
    """Bounded losses of a regression with log-normal errors, 1 to 5 a user."""
    users = int(LOOKS[-1])
    errors = np.exp(1.2 * rng.normal(size=(users, 5))) * rng.normal(size=(users, 5))
    losses = errors**2 / (errors**2 + 6.0)
    used = np.arange(5) < rng.integers(1, 6, (users, 1))
    means: Values = (losses * used).sum(axis=1) / used.sum(axis=1) - gain
    return means


@pytest.mark.parametrize(
    ("draw", "metric"),
    [(correct_answers, "accuracy"), (heavy_losses, "brier"), (bounded_losses, "loss")],
)
def test_identical_arms_give_a_false_winner_or_loser_in_at_most_alpha(
    draw: Callable[[np.random.Generator, float], Values], metric: str
) -> None:
    rng = np.random.default_rng(11)
    wrong = sum(
        bool(outcomes(rng, draw, 0.0, minimum=0.02, metric=metric) & {"better", "worse"})
        for _ in range(100)
    )
    # 5 % of 100; of 300 experiments of 60 looks, 2 (accuracy) and 3 (heavy tail) were wrong
    assert wrong <= 5


def test_a_test_at_every_look_without_correction_would_be_wrong_often() -> None:
    rng = np.random.default_rng(12)
    wrong = 0
    for _ in range(60):
        a, b = correct_answers(rng, 0.0), correct_answers(rng, 0.0)
        scores = [
            (a[:n].mean() - b[:n].mean()) / np.sqrt((a[:n].var() + b[:n].var()) / n) for n in LOOKS
        ]
        wrong += max(map(abs, scores)) > 1.96
    assert wrong > 10


def test_the_smallest_effect_that_matters_is_found() -> None:
    rng = np.random.default_rng(13)
    wins = sum("better" in outcomes(rng, correct_answers, 0.02, minimum=0.02) for _ in range(50))
    assert wins >= 48


def test_a_smaller_bounded_loss_is_found() -> None:
    rng = np.random.default_rng(16)
    wins = sum(
        "better" in outcomes(rng, bounded_losses, 0.02, minimum=0.02, metric="loss")
        for _ in range(30)
    )
    assert wins >= 28


def test_a_metric_of_another_task_and_a_loss_without_scale_are_refused() -> None:
    numbers = RULES.for_task(Task(kind="regression"))

    def why(metric: str, rules: ExperimentRules, scale: float = 0.0) -> str:
        planned = definition(metric=metric, loss_scale=scale)
        return refusal(planned, model="m", live_version=1, rules=rules, now=NOW)

    assert why("accuracy", RULES) == ""
    assert why("accuracy", numbers) == "A model of this task is compared by loss."
    assert "needs the champion's mean loss" in why("loss", numbers)
    assert why("loss", numbers, scale=4.0) == ""
    assert "compared by log_loss, brier" in why("loss", RULES, scale=4.0)
    with pytest.raises(ConfigurationError, match="of a regression model it can be loss"):
        replace(RULES, metric="brier").for_task(Task(kind="regression"))


def test_an_arm_whose_first_users_all_agree_has_an_interval_with_a_width() -> None:
    planned = definition(minimum_effect=0.01)
    ones = np.ones(200)
    compared = effect(arm_counts("v2", ones), arm_counts("champion", ones), planned)
    assert compared.outcome == ""
    assert compared.high is not None
    assert compared.high > 0.01


def test_fewer_users_than_needed_decide_nothing() -> None:
    planned = definition()
    compared = effect(
        arm_counts("v2", np.ones(150)), arm_counts("champion", np.zeros(500)), planned
    )
    assert (compared.outcome, compared.low, compared.high) == ("", None, None)
    assert "200 per arm are needed" in compared.reason


def test_less_loss_is_better() -> None:
    rng = np.random.default_rng(14)
    planned = definition(metric="log_loss", minimum_effect=0.05)
    low, high = heavy_losses(rng, 0.2)[:3000], heavy_losses(rng, 0.0)[:3000]
    assert effect(arm_counts("v2", low), arm_counts("champion", high), planned).outcome == "better"
    assert effect(arm_counts("v2", high), arm_counts("champion", low), planned).outcome == "worse"


@given(st.floats(1e-8, 1.0), st.floats(1e-3, 1.0), st.floats(0.001, 0.2))
def test_the_interval_is_wider_than_one_for_a_single_look(
    variance: float, minimum: float, alpha: float
) -> None:
    half = half_width(variance, minimum_effect=minimum, alpha=alpha)
    assert half > 1.96 * np.sqrt(variance) if alpha <= 0.05 else half > 1.28 * np.sqrt(variance)
    assert half_width(variance * 1.5, minimum_effect=minimum, alpha=alpha) > half


def test_the_sample_ratio_raises_a_false_alarm_in_at_most_one_of_a_thousand() -> None:
    rng = np.random.default_rng(15)
    shares = np.array([5000, 3000, 1000])
    alarms = 0
    for _ in range(300):
        steps = rng.multinomial(200, shares / shares.sum(), size=100).cumsum(axis=0)
        alarms += any(
            log_ratio_evidence(row.tolist(), shares.tolist()) >= log(1000) for row in steps
        )
    assert alarms <= 1


@pytest.mark.parametrize(("lost", "users"), [(0.1, 20_000), (0.2, 5_000), (0.5, 1_000)])
def test_lost_users_are_found(lost: float, users: int) -> None:
    rng = np.random.default_rng(16)
    caught = 0
    for _ in range(40):
        first = rng.binomial(users, 0.5)
        kept = rng.binomial(users - first, 1 - lost)
        caught += log_ratio_evidence([first, kept], [1, 1]) >= log(1000)
    assert caught >= 38


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=3))
@settings(max_examples=50)
def test_the_order_of_the_arms_does_not_matter(users: list[int]) -> None:
    shares = [5000, 3000, 2000][: len(users)]
    forward = log_ratio_evidence(users, shares)
    assert forward == pytest.approx(log_ratio_evidence(users[::-1], shares[::-1]), abs=1e-6)


def running(errors: Sequence[tuple[int, ...]]) -> Experiment:
    """An experiment after blocks of (requests, bad) of the arm and of the champion."""
    experiment = Experiment(
        definition=definition(), phase="running", reason="", started_at=NOW - 10.0
    )
    totals = np.zeros(4, dtype=int)
    scrapes = []
    for number, block in enumerate([(0, 0, 0, 0), *errors]):
        totals += block
        n1, bad1, n0, bad0 = totals.tolist()
        at = NOW + 5.0 * number
        scrapes.append(
            Scrape(
                at=at, uptime_seconds=at - NOW + 100.0,
                arms=(
                    ArmCounters(arm="canary", requests=n1, errors=bad1, timed=n1, slow=0),
                    ArmCounters(arm="stable", requests=n0, errors=bad0, timed=n0, slow=0),
                ),
            )
        )  # fmt: skip
    return add_scrapes(experiment, scrapes, RULES)


def failed(experiment: Experiment) -> bool:
    (guard,) = experiment.guards
    return any(gate.outcome == "fail" for gate in judge(experiment, guard, RULES))


def sticky_errors(
    rng: np.random.Generator, users: int, share: float, blocks: int
) -> list[tuple[int, ...]]:
    """Blocks of requests of users who are busy to very different degrees, and whose requests fail
    to different degrees: the same for both versions."""
    rates = rng.lognormal(0.0, 1.0, users) / users * 400
    chance = rng.beta(share, 1.0 - share, users) if share else np.zeros(users)
    treated = rng.random(users) < 0.5
    planned = []
    for _ in range(blocks):
        requests = rng.poisson(rates)
        bad = rng.binomial(requests, chance)
        arms = (treated, ~treated)
        planned.append(tuple(int(counts[arm].sum()) for arm in arms for counts in (requests, bad)))
    return planned


def test_guardrails_hardly_ever_take_users_whose_requests_always_fail_for_harm() -> None:
    rng = np.random.default_rng(17)
    wrong = evident = 0
    for _ in range(25):
        experiment = running(sticky_errors(rng, 1000, 0.005, 60))
        wrong += failed(experiment)
        (guard,) = experiment.guards
        evident += any(
            sample.name == "log_evidence" and sample.value > log(200)
            for gate in judge(experiment, guard, RULES)
            for sample in gate.samples
        )
    # the evidence alone would be wrong far more often: the tolerated excess is what holds
    assert wrong <= 2
    assert evident > 2 * wrong


def test_guardrails_find_an_excess_above_the_tolerated_one() -> None:
    rng = np.random.default_rng(18)
    caught = 0
    for _ in range(20):
        blocks = [
            (n1, rng.binomial(n1, 0.03), n0, rng.binomial(n0, 0.005))
            for n1, n0 in rng.poisson(200, (60, 2))
        ]
        caught += failed(running(blocks))
    assert caught >= 19


def test_quiet_hours_hide_no_later_harm() -> None:
    quiet = [(200, 0, 200, 0)] * 1000
    harm = [(200, 10, 200, 0)] * 60
    assert not failed(running(quiet))
    assert failed(running([*quiet, *harm]))


def test_a_lost_counter_is_no_harm() -> None:
    experiment = running([(200, 0, 200, 0)] * 5)
    last = experiment.last_scrape
    assert last is not None
    at = last.at + 5.0
    half = Scrape(
        at=at, uptime_seconds=at - NOW + 100.0,
        arms=(ArmCounters(arm="stable", requests=1200, errors=0, timed=1200, slow=0),),
    )  # fmt: skip
    after = add_scrapes(experiment, [half], RULES)
    assert after.guards == experiment.guards
    assert after.last_scrape == last


def shown(name: str, outcome: ExperimentOutcome, difference: float = 0.0) -> ExperimentEffect:
    return ExperimentEffect(
        arm=name, difference=difference, low=0.0, high=0.0, users=1, champion_users=1,
        outcome=outcome, reason=f"{name} {outcome}",
    )  # fmt: skip


@given(
    st.lists(
        st.sampled_from(["", "better", "worse", "no-gain", "no-difference"]), min_size=1, max_size=2
    ),
    st.booleans(),
    st.booleans(),
)
def test_only_a_proven_arm_ever_wins(
    outcomes_of_arms: list[ExperimentOutcome], final: bool, drop: bool
) -> None:
    arms = [arm(f"v{number + 2}", number + 2) for number in range(len(outcomes_of_arms))]
    effects = [shown(a.name, outcome) for a, outcome in zip(arms, outcomes_of_arms, strict=True)]
    dropped = ("v2",) if drop else ()
    end = ending(arms, effects, dropped, final=final)
    if final:
        assert end is not None
    if end is not None:
        proven = {
            a.version
            for a, outcome in zip(arms, outcomes_of_arms, strict=True)
            if outcome == "better" and a.name not in dropped
        }
        assert (end.outcome == "better") == bool(proven)
        assert end.winner in (proven or {0})
