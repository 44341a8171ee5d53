"""Comparisons run beside the daemon's steps, are repeated, and are never taken for another's."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from deploy.daemon.background_answers import PAUSE_SECONDS, BackgroundAnswers
from serving.engines.memory import InMemoryAnswers
from serving.paired import not_compared
from serving.ports import AnswerComparer
from streaming.contracts.clock import ManualClock
from streaming.contracts.records import GateOutcome, ModelVersion, PairedComparison
from tests.serving.rollout_simulation import version
from tests.waiting import wait_for


def comparison(outcome: GateOutcome, reason: str = "") -> PairedComparison:
    return PairedComparison(outcome=outcome, reason=reason, requested=1, rows=1)


class Runs:
    """Comparisons that end when the test lets them."""

    def __init__(self, *outcomes: GateOutcome) -> None:
        self.outcomes = list(outcomes)
        self.started: list[tuple[int, int]] = []
        self.release = threading.Event()
        self.given_up: list[Callable[[], bool]] = []

    def __call__(
        self, version: ModelVersion, champion: int, given_up: Callable[[], bool]
    ) -> PairedComparison:
        self.started.append((version.version, champion))
        self.given_up.append(given_up)
        outcome = self.outcomes[len(self.started) - 1]
        assert self.release.wait(20)
        return comparison(outcome, f"run {len(self.started)}")


def newest(answers: AnswerComparer, number: int = 2) -> PairedComparison | None:
    return answers.compared(version(number), 1)


@pytest.mark.parametrize("kind", ["memory", "background"])
def test_conformance_a_comparison_is_started_and_its_result_observed(kind: str) -> None:
    runs = Runs("pass")
    runs.release.set()
    answers: AnswerComparer = InMemoryAnswers() if kind == "memory" else BackgroundAnswers(run=runs)
    assert newest(answers) is None
    answers.compare(version(2), 1)
    wait_for(lambda: newest(answers) is not None)
    result = newest(answers)
    assert result is not None
    assert result.outcome == "pass"
    answers.compare(version(2), 1)  # performing it twice has no other effect
    assert newest(answers) == result
    assert newest(answers, 3) is None
    assert answers.compared(version(2), 9) is None


def test_it_blocks_nobody_and_starts_once() -> None:
    runs = Runs("pass")
    answers = BackgroundAnswers(run=runs)
    for _ in range(5):
        answers.compare(version(2), 1)
    assert newest(answers) is None
    runs.release.set()
    wait_for(lambda: newest(answers) is not None)
    assert runs.started == [(2, 1)]


@pytest.mark.parametrize("outcome", ["insufficient", "error"])
def test_what_could_not_decide_is_repeated_after_a_pause(outcome: GateOutcome) -> None:
    clock, runs = ManualClock(100.0), Runs(outcome, "pass")
    runs.release.set()
    answers = BackgroundAnswers(run=runs, clock=clock)
    answers.compare(version(2), 1)
    wait_for(lambda: newest(answers) is not None)
    answers.compare(version(2), 1)
    assert len(runs.started) == 1  # the pause is not over
    runs.release.clear()
    clock.advance(PAUSE_SECONDS)
    answers.compare(version(2), 1)
    earlier = newest(answers)
    assert earlier is not None
    assert earlier.outcome == outcome  # stands until the next one has ended
    runs.release.set()
    wait_for(lambda: (newest(answers) or earlier).outcome == "pass")


def test_another_version_ends_the_comparison_that_runs() -> None:
    runs = Runs("pass", "fail")
    answers = BackgroundAnswers(run=runs)
    answers.compare(version(2), 1)
    wait_for(lambda: len(runs.started) == 1)
    answers.compare(version(3), 1)
    wait_for(lambda: len(runs.started) == 2)
    assert runs.given_up[0]()
    assert not runs.given_up[1]()
    runs.release.set()
    wait_for(lambda: newest(answers, 3) is not None)
    assert newest(answers, 2) is None


def test_an_exception_is_an_error_with_its_reason() -> None:
    def broken(
        version: ModelVersion, champion: int, given_up: Callable[[], bool]
    ) -> PairedComparison:
        raise RuntimeError("no disk")

    answers = BackgroundAnswers(run=broken)
    answers.compare(version(2), 1)
    wait_for(lambda: newest(answers) is not None)
    assert newest(answers) == not_compared("The answers could not be compared: no disk")
