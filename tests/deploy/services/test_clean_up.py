"""The clean-up that runs by itself: at the start, after retrains, and when the disk is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.app.deployment import Deployment
from deploy.services.clean_up import alone, clean_up_now, cleaned_up, make_room
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from tests.deploy.cli.runner import DEMO
from tests.deploy.retrain_state import RetrainState, retrain_state
from tests.waiting import wait_for

YOUNG = 7_200.0


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RetrainState:
    """Version 4 is live and 3 was; of the others the newest stays, for its number."""
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__RETRAIN__KEEP_VERSIONS", "1")
    state = retrain_state(tmp_path)
    state.promote(3, 4)
    return state


def deployment(state: RetrainState, log: MemoryLog | None = None) -> Deployment:
    return Deployment.load(DEMO, log_factory=lambda bootstrap: log or state.log)


def test_a_worker_cleans_up_when_it_starts_and_after_each_retrain(state: RetrainState) -> None:
    with cleaned_up(deployment(state)) as clean_up:
        wait_for(lambda: not {"1", "2", "5"} & state.there())
        assert {"3", "4", "6", "request-3", "request-4"} <= state.there()
        state.attempt("dead-2")
        state.aged()
        clean_up()
        wait_for(lambda: "dead-2" not in state.there())


def test_it_can_be_switched_off(state: RetrainState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE__RETRAIN__CLEAN_UP", "false")
    state.attempt("dead-2")
    state.aged()
    before = state.there()
    with cleaned_up(deployment(state)) as clean_up:
        clean_up()
    assert make_room(deployment(state)).freed == 0
    assert state.there() == before


def test_without_the_log_nothing_goes_and_the_next_clean_up_comes(state: RetrainState) -> None:
    class Away(MemoryLog):
        reads, back = 0, False

        def spans(self, topic: str, *, since: float | None = None) -> Any:
            Away.reads += 1
            if not Away.back:
                raise UnavailableError("Kafka is away.")
            return state.log.spans(topic, since=since)

        def read(self, span: Any, **options: Any) -> Any:
            return state.log.read(span, **options)

    before = state.there()
    with cleaned_up(deployment(state, Away())) as clean_up:
        wait_for(lambda: Away.reads > 0)
        assert state.there() == before
        Away.back = True
        clean_up()
        wait_for(lambda: "1" not in state.there())


def test_one_process_cleans_up_at_a_time(state: RetrainState) -> None:
    before = state.there()
    with alone(deployment(state), wait=False) as mine:
        assert mine
        assert clean_up_now(deployment(state)) == 0
    assert state.there() == before


def test_for_a_full_disk_young_files_of_ended_attempts_go_and_no_others(
    state: RetrainState,
) -> None:
    clean_up_now(deployment(state))
    state.ask("r9", base_version=4)
    for name in ("r9-1", "dead-2"):
        state.attempt(name)
    state.aged(YOUNG)
    before = state.there()
    assert clean_up_now(deployment(state)) == 0
    room = make_room(deployment(state))
    assert before - state.there() == {"dead-2"}
    assert room.freed == 1000
    assert "`driftline prune` frees" in room.advice


def test_a_damaged_version_stays_and_stops_nothing(state: RetrainState) -> None:
    record = next(state.root.glob("artifacts/models/*/2/assets.extra/driftline.json"))
    record.chmod(0o644)
    record.write_text("{")
    state.aged()
    clean_up_now(deployment(state))
    assert {"2", "3", "4", "6"} == {name for name in state.there() if name.isdecimal()}
