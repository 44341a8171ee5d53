"""`driftline prune` on a store, runs and a state: what goes, and what a record holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from tests.deploy.cli.runner import data, run
from tests.deploy.retrain_state import RetrainState, retrain_state


def prune(state: RetrainState, *words: str, code: int = 0) -> Any:
    result = run(
        "prune", "--versions", "1", "--json", *words,
        log=state.log, env={"DRIFTLINE_HOME": str(state.home)},
    )  # fmt: skip
    assert result.exit_code == code, result.stderr
    return data(result)


@pytest.fixture
def state(tmp_path: Path) -> RetrainState:
    """Version 4 is live and 3 was; request r9 is open."""
    state = retrain_state(tmp_path)
    state.promote(3, 4)
    state.ask("r9", base_version=2)
    state.attempt("r9-1")
    state.attempt("dead-2")
    state.aged()
    return state


def test_what_a_record_in_force_points_to_stays_and_the_rest_goes(state: RetrainState) -> None:
    before = state.there()
    shown = prune(state, "--dry-run")
    assert state.there() == before
    held = {(f["kind"], f["name"]): f["held_by"] for f in shown["plan"]["kept"] if f["held_by"]}
    assert held["version", "4"] == "version 4 is live"
    assert held["version", "3"] == "version 3 was live before"
    assert held["version", "2"] == "a retrain compares with it"
    assert held["run", "request-3"] == "version 3 was live before"
    assert held["attempt", "scratch/r9-1"] == "its request is open"
    done = prune(state, "--yes")
    assert [r["files"]["name"] for r in done["plan"]["removed"]] == [
        r["files"]["name"] for r in shown["plan"]["removed"]
    ]
    assert before - state.there() == {"1", "5", "dead-2", "request-1", "request-5"}
    assert prune(state, "--yes")["plan"]["removed"] == []


def test_nothing_goes_when_the_log_cannot_be_read(state: RetrainState) -> None:
    class Away(MemoryLog):
        def spans(self, topic: str, *, since: float | None = None) -> Any:
            raise UnavailableError("Kafka is away.")

    state.log, before = Away(), state.there()
    prune(state, "--yes", code=8)
    assert state.there() == before


def test_without_consent_nothing_goes(state: RetrainState) -> None:
    before = state.there()
    assert "--yes" in prune(state, code=2)["error"]["message"]
    assert state.there() == before
    words = run("prune", "--quota", "1 apple", env={"DRIFTLINE_HOME": str(state.home)})
    assert words.exit_code == 2


def test_the_quota_that_cannot_be_kept_is_said(state: RetrainState) -> None:
    result = run(
        "prune", "--dry-run", "--quota", "0.001MB",
        log=state.log, env={"DRIFTLINE_HOME": str(state.home)},
    )  # fmt: skip
    assert result.exit_code == 0
    assert "The quota is exceeded by" in result.stderr
    assert "held by records in force" in result.stderr
