"""Each window of a backtest is judged against the reference that was in force at its time."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.backtest.replay import Period, backtest
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode_as
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Promotion, ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, judge_drift, prepare_reference
from tests.deploy.backtest.test_backtest import ALL, MODEL, QUIET, SECONDS, summaries
from tests.deploy.cli.runner import DEMO
from tests.promotions import first_promotion

ALTERNATIONS = 3


class History:
    """Fares that rise and fall again; every change is followed by a promotion of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DRIFTLINE_HOME", str(folder))
        self.deployment = Deployment.load(DEMO)
        self.clock = ManualClock(0.0)
        self.log = MemoryLog(clock=self.clock)
        self.log.ensure(topics.RECORD_TOPICS)
        self.promotions: list[Promotion] = []
        both = summaries(self.deployment)
        quiet, risen = both[10 : 10 + QUIET], both[10 + QUIET : 10 + ALL]
        self.windows: list[WindowSummary] = []
        for number in range(2 * ALTERNATIONS):
            self._promote(number + 1, quiet if number % 2 == 0 else risen)
        self.log.append([self.promotions[-1]])

    def _promote(self, version: int, windows: list[WindowSummary]) -> None:
        """Promote a version that knows the windows, then judge them."""
        store, contract = self.deployment.store(), self.deployment.contract(MODEL)
        rules = self.deployment.drift_rules(MODEL)
        promotion = first_promotion(
            store, windows, record_id=f"promotion-{version}", at=self.clock.now()
        )
        data = store.get(promotion.artifact)
        artifact = store.put(f"references/{MODEL}/v{version}.json", data)
        promotion = replace(promotion, version=version, artifact=artifact, reference=artifact)
        self.promotions.append(promotion)
        self.log.append([promotion])
        prepared, history = prepare_reference(decode_as(data, ReferenceSummary), contract), None
        for window in windows:
            self.clock.advance(SECONDS)
            start = self.clock.now() - SECONDS
            moved = replace(
                window,
                record_id=f"{version}-{window.record_id}",
                window_start=start,
                window_end=start + SECONDS,
            )
            history = history or DriftHistory()
            verdict, history = judge_drift(
                moved, prepared, promotion.record_id, history, rules, contract
            )
            self.log.append([moved, replace(verdict, reference_version=version)])
            self.windows.append(moved)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """The tests read it; one that changes its log takes a copy."""
    with pytest.MonkeyPatch.context() as patch:
        yield History(tmp_path_factory.mktemp("home"), patch)


def test_past_references_are_in_force_for_their_windows_after_compaction(history: History) -> None:
    log = deepcopy(history.log)
    log.clean()
    result = backtest(log, {"now": history.deployment}, MODEL, Period())
    judged = {window.window_start: window for window in result.runs[0].windows}
    assert len(judged) == len(history.windows) == 2 * ALTERNATIONS * QUIET
    assert result.lost_references == ()
    # against a later reference every second period would be an alarm
    assert {window.outcome for window in judged.values()} == {"stable"}


def test_a_lost_promotion_is_named_by_its_version(history: History) -> None:
    kept = MemoryLog(clock=history.clock)
    kept.ensure(topics.RECORD_TOPICS)
    for name in ("window-statistics", "drift-verdicts"):
        (span,) = history.log.spans(name)
        kept.append_raw(name, [(m.key, m.value or b"") for m in history.log.read(span)])
    kept.append(history.promotions[2:])
    result = backtest(kept, {"now": history.deployment}, MODEL, Period())
    assert result.lost_references == (1, 2)


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_window_without_a_verdict_has_the_promotion_of_its_time(
    history: History, version: int
) -> None:
    unjudged = MemoryLog(clock=history.clock)
    unjudged.ensure(topics.RECORD_TOPICS)
    unjudged.append([*history.promotions, *history.windows])
    first = (version - 1) * QUIET * SECONDS
    period = Period(since=first, until=first + QUIET * SECONDS)
    result = backtest(unjudged, {"now": history.deployment}, MODEL, period)
    windows = result.runs[0].windows
    assert len(windows) == QUIET
    assert {window.outcome for window in windows} == {"stable"}
