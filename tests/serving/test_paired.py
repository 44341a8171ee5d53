"""The paired comparison: what no correct retrain does fails, and what a correct one does passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.demo.shift import big_tip_chance, shift
from deploy.demo.trips import generate, ordinary_chance
from serving.paired import PairedAnswers, RecentRequests, ServerAnswers, compare
from serving.shadow_rules import ShadowRules
from streaming.contracts.answer_records import PairedComparison
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import Cause

Numbers = NDArray[np.float64]
RULES = ShadowRules()
ROWS = 1000


def probabilities(seed: int = 1, rows: int = ROWS) -> Numbers:
    return np.random.default_rng(seed).beta(1.2, 2.5, rows)


def retrained(champion: Numbers, noise: float = 0.4, offset: float = 0.0) -> Numbers:
    """The champion's answers after a retrain: another logit by noise and a base-rate shift."""
    logit = np.log(champion / (1.0 - champion))
    moved = logit + offset + np.random.default_rng(2).normal(0.0, noise, len(champion))
    return np.asarray(1.0 / (1.0 + np.exp(-moved)), np.float64)


def server(values: Numbers, **changes: Any) -> ServerAnswers:
    usual: dict[str, Any] = {
        "answered": np.ones(len(values), bool),
        "outputs": ("probabilities DT_FLOAT [-1, 1]",),
        "shapes": ("[1]",),
    }
    return ServerAnswers(values=values, **{**usual, **changes})


def compared(
    champion: Numbers | ServerAnswers,
    canary: Numbers | ServerAnswers,
    rules: ShadowRules = RULES,
    *,
    labels: Numbers | None = None,
    cause: Cause = "manual",
    slices: dict[str, list[str]] | None = None,
) -> PairedComparison:
    first = champion if isinstance(champion, ServerAnswers) else server(champion)
    second = canary if isinstance(canary, ServerAnswers) else server(canary)
    rows = [f"trip-{number}" for number in range(len(first.values))]
    requests = RecentRequests(
        rows=rows, instances=[{}] * len(rows), slices=slices or {}, labels=labels
    )
    answers = PairedAnswers(requests=requests, champion=first, canary=second, retrained_for=cause)
    comparison = compare(answers, rules)
    encoded = msgspec.json.encode(comparison)  # every number has a form in JSON
    assert msgspec.json.decode(encoded, type=PairedComparison) == comparison
    return comparison


def failed(comparison: PairedComparison) -> set[str]:
    return {check.name for check in comparison.checks if check.outcome == "fail"}


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("offset", [-2.0, 0.0, 1.5])
def test_a_retrain_of_the_same_data_passes(noise: float, offset: float) -> None:
    champion = probabilities()
    comparison = compared(champion, retrained(champion, noise, offset))
    assert comparison.outcome == "pass", comparison.reason


BROKEN: dict[str, tuple[Callable[[Numbers], Numbers], str]] = {
    "flipped head": (lambda p: 1.0 - p, "order"),
    "flipped head of another retrain": (lambda p: 1.0 - retrained(p), "order"),
    "flipped logit": (lambda p: -np.log(p / (1.0 - p)), "scale"),
    "shuffled inputs": (lambda p: np.random.default_rng(3).permutation(p), "order"),
    "rows answered backwards": (lambda p: p[::-1].copy(), "order"),
    "rows answered one late": (lambda p: np.roll(p, 1), "order"),
    "constant": (lambda p: np.full_like(p, 0.5), "constant"),
    "constant zero": (np.zeros_like, "constant"),
    "constant but for noise": (lambda p: 0.5 + 1e-4 * (p - 0.5), "scale"),
    "percent": (lambda p: 100.0 * p, "scale"),
    "logits": (lambda p: np.log(p / (1.0 - p)), "scale"),
    "a hundredth": (lambda p: 0.01 * p, "scale"),
    "decisions only": (lambda p: (p > 0.5).astype(float), "scale"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_no_correct_retrain_does_fails(name: str) -> None:
    breaking, check = BROKEN[name]
    for seed in range(5):
        champion = probabilities(seed)
        comparison = compared(champion, breaking(champion))
        assert comparison.outcome == "fail"
        assert check in failed(comparison)
        assert comparison.reason


def test_the_reverse_change_of_scale_fails_as_well() -> None:
    champion = probabilities()
    logits = np.log(champion / (1.0 - champion))
    assert "scale" in failed(compared(logits, champion))
    assert "scale" in failed(compared(logits, 100.0 * logits))
    assert compared(logits, 1.3 * logits).outcome == "pass"


@pytest.mark.parametrize("value", [np.nan])
@pytest.mark.parametrize("count", [1, 300, ROWS])
def test_answers_that_are_no_numbers_fail(value: float, count: int) -> None:
    champion = probabilities()
    canary = champion.copy()
    canary[:count] = value
    comparison = compared(champion, canary)
    assert "finite" in failed(comparison)
    assert comparison.canary_not_finite == count
    assert comparison.rows == ROWS - count


def test_a_row_that_neither_version_can_answer_says_nothing() -> None:
    champion = probabilities()
    champion[:3] = np.nan
    assert compared(champion, champion.copy()).outcome == "pass"


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": ("scores DT_FLOAT [-1, 1]",)},
        {"outputs": ("probabilities DT_FLOAT [-1, 2]",), "shapes": ("[2]",)},
        {"outputs": ("probabilities DT_STRING [-1, 1]",)},
        {"outputs": (), "shapes": ("[]",)},
        {"outputs": (), "shapes": ("[1]", "[2]")},
        {"outputs": ("classes DT_STRING [-1]", "probabilities DT_FLOAT [-1, 1]")},
    ],
)
def test_other_outputs_fail(changes: dict[str, Any]) -> None:
    champion = probabilities()
    comparison = compared(champion, server(champion.copy(), **changes))
    assert "outputs" in failed(comparison)


def unanswered(values: Numbers, count: int, **changes: Any) -> ServerAnswers:
    values = values.copy()
    values[:count] = np.nan
    answered = np.ones(len(values), bool)
    answered[:count] = False
    return server(values, answered=answered, problems=("status 500: broken",), **changes)


def test_errors_of_the_canary_fail_and_say_what_came() -> None:
    champion = probabilities()
    comparison = compared(champion, unanswered(champion, 100))
    assert failed(comparison) == {"answered"}
    assert "status 500: broken" in comparison.reason
    assert comparison.canary_unanswered == 100


def test_rows_that_both_refuse_are_tolerated_within_the_share() -> None:
    champion = probabilities()
    both = unanswered(champion, 8)
    assert compared(both, both).outcome == "pass"


@pytest.mark.parametrize("side", ["champion", "canary"])
def test_a_server_that_is_away_is_an_error_and_no_fail(side: str) -> None:
    champion = probabilities()
    away = unanswered(champion, ROWS, unreached=ROWS, shapes=())
    pair = (away, server(champion)) if side == "champion" else (server(champion), away)
    assert compared(*pair).outcome == "error"


def test_few_rows_are_insufficient_but_broken_outputs_still_fail() -> None:
    champion = probabilities(rows=60)
    assert compared(champion, champion.copy()).outcome == "insufficient"
    canary = champion.copy()
    canary[5] = np.nan
    assert compared(champion, canary).outcome == "fail"


def test_no_rows_at_all_are_insufficient() -> None:
    nothing = server(np.array([], np.float64), shapes=())
    assert compared(nothing, nothing).outcome == "insufficient"


def test_two_constant_versions_have_no_order_to_compare() -> None:
    constant = np.full(ROWS, 0.3)
    assert compared(constant, constant + 0.1).outcome == "insufficient"


# ------------------------------------------------------------------------- after a shift


def shifted(*, flipped: bool = False) -> tuple[Numbers, Numbers, Numbers]:
    """Answers of the right model before and after the demonstration's shift, and labels after."""
    rng = np.random.default_rng(7)
    trips = shift(generate(rng, ROWS), rng)
    cards = np.asarray(trips.columns["payment_type"]) == "Credit Card"
    canary = big_tip_chance(trips.number("trip_miles"), trips.number("trip_start_hour"), cards)
    labels = trips.big.astype(float)
    return ordinary_chance(trips.columns), 1.0 - canary if flipped else canary, labels


def test_labels_confirm_a_correct_retrain_that_orders_the_requests_anew() -> None:
    champion, canary, labels = shifted()
    comparison = compared(champion, canary, labels=labels, cause="drift")
    assert comparison.statistics is not None
    assert comparison.statistics.spearman is not None
    assert abs(comparison.statistics.spearman) < 0.15  # it is a correct version all the same
    assert comparison.outcome == "pass", comparison.reason


def test_labels_find_the_flipped_head_of_a_retrain_after_a_shift() -> None:
    champion, canary, labels = shifted(flipped=True)
    assert "labels" in failed(compared(champion, canary, labels=labels, cause="drift"))


@pytest.mark.parametrize("flipped", [False, True])
def test_without_labels_a_person_decides_on_a_new_order_after_a_shift(flipped: bool) -> None:
    champion, canary, labels = shifted(flipped=flipped)
    labels[50:] = np.nan  # few have arrived
    comparison = compared(champion, canary, labels=labels, cause="drift")
    assert comparison.outcome == "insufficient"
    assert comparison.statistics is not None
    assert comparison.statistics.labelled == 50


@pytest.mark.parametrize("cause", ["drift", "concept"])
def test_a_mirrored_order_fails_after_a_shift_too(cause: Cause) -> None:
    champion = probabilities()
    assert "order" in failed(compared(champion, 1.0 - retrained(champion), cause=cause))


def test_a_version_that_corrects_a_flipped_champion_passes_by_its_labels() -> None:
    right = probabilities()
    labels = (np.random.default_rng(5).random(ROWS) < right).astype(float)
    assert compared(1.0 - right, right, labels=labels).outcome == "pass"


def test_partly_shuffled_inputs_are_found_by_the_labels() -> None:
    champion = np.random.default_rng(8).beta(0.4, 0.6, 4 * ROWS)
    labels = (np.random.default_rng(5).random(4 * ROWS) < champion).astype(float)
    canary = champion.copy()
    canary[: 2 * ROWS] = np.random.default_rng(6).permutation(canary[: 2 * ROWS])
    comparison = compared(champion, canary, labels=labels)
    assert failed(comparison) == {"labels"}  # the rank correlation of the whole is about 0.5


# ------------------------------------------------------------------- what is shown, and limits


def test_measures_slices_and_worst_examples_are_shown() -> None:
    champion = probabilities()
    canary = champion.copy()
    cash = np.arange(ROWS) % 5 == 0
    canary[cash] = 1.0 - canary[cash]  # flipped for one kind of payment only
    slices = {"payment_type": ["Cash" if is_cash else "Card" for is_cash in cash]}
    comparison = compared(champion, canary, slices=slices)
    first = comparison.slices[0]
    assert (first.feature, first.value, first.rows) == ("payment_type", "Cash", 200)
    assert first.rank_correlation == -1.0
    assert comparison.slices[1].agreement == 1.0
    statistics = comparison.statistics
    assert statistics is not None
    counts = statistics.decisions
    total = counts.both + counts.only_champion + counts.only_canary + counts.neither
    assert total == comparison.rows == ROWS
    assert statistics.agreement == (counts.both + counts.neither) / ROWS
    assert len(comparison.worst) == RULES.worst
    differences = [abs(pair.canary - pair.champion) for pair in comparison.worst]
    assert differences == sorted(differences, reverse=True)
    assert differences[0] == statistics.max_absolute_difference
    assert all(int(pair.row.removeprefix("trip-")) % 5 == 0 for pair in comparison.worst)
    assert len(comparison.sample) <= 200


@pytest.mark.parametrize(
    ("limits", "check"),
    [
        ({"agreement": 0.9}, "agreement"),
        ({"mean_difference": 0.05}, "mean_difference"),
        ({"ks": 0.1}, "ks"),
        ({"slice_agreement": 0.9}, "slice_agreement"),
    ],
)
def test_a_limit_makes_a_shown_measure_critical(limits: dict[str, Any], check: str) -> None:
    champion = probabilities()
    canary = retrained(champion, noise=0.3, offset=1.5)
    slices = {"zone": ["north"] * ROWS}
    assert compared(champion, canary, slices=slices).outcome == "pass"
    comparison = compared(champion, canary, replace(RULES, **limits), slices=slices)
    assert failed(comparison) == {check}


def test_the_interval_of_a_rank_correlation_of_zero_holds_its_level() -> None:
    false_fails = false_passes = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        comparison = compared(rng.random(ROWS), rng.random(ROWS))
        false_passes += comparison.outcome == "pass"
        false_fails += comparison.outcome != "fail"
    assert false_passes == 0
    assert false_fails <= 3


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 0},
        {"min_rows": 2000},
        {"rank_correlation": 1.0},
        {"confidence": 1.0},
        {"batch": 0},
        {"deadline_seconds": 0.0},
    ],
)
def test_rules_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"shadow.{next(iter(changes))}"):
        ShadowRules(**changes)
