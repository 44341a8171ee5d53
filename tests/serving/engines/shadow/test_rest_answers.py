"""Both servers are asked over REST: what they answer, refuse and lose becomes an outcome."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serving.engines.shadow.predict_client import PredictClient, row_answer
from serving.engines.shadow.questioner import RestAnswers, ask_both
from serving.paired import RecentRequests
from serving.shadow_rules import ShadowRules
from streaming.contracts.answer_records import PairedComparison
from tests.serving.engines.shadow.predict_server import Answer, PredictServer, serving
from tests.serving.rollout_simulation import version

RULES = ShadowRules(
    rows=300, min_rows=100, batches_per_second=1000.0, timeout_seconds=1.0, deadline_seconds=20.0
)


def requests(rows: int = 300) -> RecentRequests:
    values = np.random.default_rng(1).random(rows)
    return RecentRequests(
        rows=[f"trip-{number}" for number in range(rows)],
        instances=[{"fare": [float(value)], "area": [None]} for value in values],
        slices={"zone": ["north"] * rows},
    )


def probability(row: dict[str, Any]) -> list[float]:
    return [1.0 / (1.0 + math.exp(-6.0 * (row["fare"][0] - 0.5)))]


def compared(
    canary: Answer,
    *,
    prepare: Callable[[PredictServer], None] = lambda server: None,
    rules: ShadowRules = RULES,
    **options: Any,
) -> PairedComparison:
    with (
        serving(probability, version=1) as first,
        serving(canary, version=2, **options) as second,
    ):
        prepare(second)
        answers = RestAnswers(
            champion_url=first.url,
            canary_url=second.url,
            rules=rules,
            requests=lambda given_up: requests(),
        )
        return answers.compare(version(2), 1)


def failed(comparison: PairedComparison) -> set[str]:
    return {check.name for check in comparison.checks if check.outcome == "fail"}


def test_a_version_that_answers_alike_passes() -> None:
    comparison = compared(probability)
    assert comparison.outcome == "pass", comparison.reason
    assert (comparison.requested, comparison.rows) == (300, 300)
    assert comparison.statistics is not None
    assert comparison.statistics.agreement == 1.0
    assert comparison.slices[0].rows == 300


def scalar(row: dict[str, Any]) -> float:
    return probability(row)[0]


def refusing(row: dict[str, Any]) -> list[float]:
    raise ValueError("input fare is not known")


@pytest.mark.parametrize(
    ("canary", "check"),
    [
        (lambda row: [1.0 - probability(row)[0]], "order"),
        (lambda row: [0.5], "constant"),
        (lambda row: [math.nan], "finite"),
        (lambda row: [math.inf], "finite"),
        (lambda row: [None], "finite"),
        (lambda row: ["0.5"], "finite"),
        (lambda row: [100.0 * probability(row)[0]], "scale"),
        (scalar, "outputs"),
        (lambda row: [1.0 - probability(row)[0], probability(row)[0]], "outputs"),
        (lambda row: {"probabilities": probability(row), "classes": [1]}, "outputs"),
        (lambda row: [], "outputs"),
        (refusing, "answered"),
    ],
)
def test_a_broken_version_fails(canary: Answer, check: str) -> None:
    comparison = compared(canary)
    assert comparison.outcome == "fail"
    assert check in failed(comparison)


def test_another_name_of_the_only_output_is_found_although_rest_does_not_show_it() -> None:
    assert failed(compared(probability, output="scores")) == {"outputs"}


def _set(name: str, value: Any) -> Callable[[PredictServer], None]:
    return lambda server: setattr(server, name, value)


@pytest.mark.parametrize(
    ("name", "value", "outcome"),
    [
        ("status", 500, "fail"),
        ("status", 400, "fail"),
        ("status", 503, "error"),  # the server takes no requests now
        ("path", "/v1/models/m/versions/9", "error"),  # another version is loaded
    ],
)
def test_errors_of_the_version_fail_and_those_of_the_server_are_errors(
    name: str, value: Any, outcome: str
) -> None:
    comparison = compared(probability, prepare=_set(name, value))
    assert comparison.outcome == outcome
    assert str(value) in comparison.reason or "404" in comparison.reason


def test_a_version_that_hangs_fails_within_the_deadline() -> None:
    rules = replace(RULES, timeout_seconds=0.2, deadline_seconds=3.0)
    comparison = compared(probability, prepare=_set("delay", 0.5), rules=rules)
    assert "answered" in failed(comparison)
    assert 0 < comparison.requested < 300


def test_a_server_that_is_away_is_an_error() -> None:
    with serving(probability, version=1) as first:
        answers = RestAnswers(
            champion_url=first.url,
            canary_url="http://127.0.0.1:1",
            rules=RULES,
            requests=lambda given_up: requests(),
        )
        assert answers.compare(version(2), 1).outcome == "error"


def test_few_events_are_insufficient_and_reach_no_server() -> None:
    with serving(probability, version=1) as first, serving(probability, version=2) as second:
        answers = RestAnswers(
            champion_url=first.url,
            canary_url=second.url,
            rules=RULES,
            requests=lambda given_up: requests(99),
        )
        comparison = answers.compare(version(2), 1)
        assert comparison.outcome == "insufficient"
        assert "99 usable events" in comparison.reason
        assert first.batches == second.batches == []


def test_one_row_that_is_refused_costs_no_other_row() -> None:
    poison = requests().instances[40]["fare"][0]

    def choosy(row: dict[str, Any]) -> list[float]:
        if row["fare"][0] == poison:
            raise ValueError("cannot be read")
        return probability(row)

    comparison = compared(choosy)
    assert comparison.canary_unanswered == 1
    assert comparison.rows == 299
    assert comparison.outcome == "pass"  # within the share that may stay unanswered


def test_a_failure_that_passes_is_tried_again() -> None:
    calls = []

    def flaky(row: dict[str, Any]) -> list[float]:
        calls.append(row)
        if len(calls) == 1:
            raise ValueError("starting")
        return probability(row)

    assert compared(flaky).canary_unanswered == 0


def test_batches_are_small_and_their_rate_is_bounded() -> None:
    rules = replace(RULES, batch=10, batches_per_second=50.0)
    with serving(probability, version=1) as first, serving(probability, version=2) as second:
        clients = [
            PredictClient(server.url, "m", number, timeout_seconds=1.0)
            for number, server in ((1, first), (2, second))
        ]
        sent, champion, canary = ask_both(requests(200), clients[0], clients[1], rules)
        for client in clients:
            client.close()
        assert len(sent.rows) == len(champion.values) == len(canary.values) == 200
        assert max(second.batches) == 10
        assert len(second.times) == 20
        assert second.times[-1] - second.times[0] >= 19 / 50 - 0.05


def test_it_ends_early_when_nobody_needs_it() -> None:
    with serving(probability, version=1) as first, serving(probability, version=2) as second:
        clients = [
            PredictClient(server.url, "m", number, timeout_seconds=1.0)
            for number, server in ((1, first), (2, second))
        ]
        sent, champion, _ = ask_both(
            requests(), clients[0], clients[1], RULES, given_up=lambda: len(first.batches) >= 2
        )
        for client in clients:
            client.close()
    assert len(sent.rows) == len(sent.instances) == len(champion.values) == 64
    assert len(sent.slices["zone"]) == 64


@pytest.mark.parametrize(
    ("prediction", "value", "shape"),
    [
        (0.25, 0.25, "[]"),
        ([0.25], 0.25, "[1]"),
        ([[0.2, 0.8]], 0.8, "[1, 2]"),
        ({"b": [1.0], "a": 0.5}, 0.5, "a [], b [1]"),
        ({"a": 0.5, "probabilities": [0.7]}, 0.7, "a [], probabilities [1]"),
        (3, 3.0, "[]"),
    ],
)
def test_the_value_and_shape_of_an_answer(prediction: Any, value: float, shape: str) -> None:
    answer = row_answer(prediction)
    assert (answer.value, answer.shape) == (value, shape)


@pytest.mark.parametrize("prediction", [None, "0.5", True, [], [[]], {}, {"a": "b"}, 10**400])
def test_what_is_no_number_has_no_value(prediction: Any) -> None:
    assert math.isnan(row_answer(prediction).value)
