"""Memory of the model servers: sizes of versions, restarts of the daemon, one grant at a time."""

from __future__ import annotations

from pathlib import Path

from deploy.daemon.memory_ledger import HEARD_SECONDS, MemoryLedger, size_in
from serving.memory_budget import FILE_FACTOR
from serving.ports import MemoryDemand

SIZE = 100
REST = MemoryDemand(at_rest=(1, 1))
ROLLOUT = MemoryDemand(at_rest=(1, 1), rollout=(1, 1, 2, 2))
ROOM_FOR_ONE = round(FILE_FACTOR * SIZE * 6)
"""One model at rest, and another in its rollout."""


def ledger(budget: int = ROOM_FOR_ONE) -> MemoryLedger:
    return MemoryLedger(budget, ("a", "b"), lambda model, version: SIZE)


def test_two_rollouts_that_ask_at_once_do_not_get_the_same_memory() -> None:
    memory = ledger()
    memory.ask("b", REST, now=0.0)
    assert memory.ask("a", ROLLOUT, now=1.0).outcome == "granted"
    assert memory.ask("b", ROLLOUT, now=1.0).outcome == "waits"
    memory.ask("a", REST, now=60.0)  # its rollout has ended
    assert memory.ask("b", ROLLOUT, now=61.0).outcome == "granted"


def test_after_a_restart_nothing_is_granted_before_the_others_have_said_what_they_hold() -> None:
    memory = ledger()
    assert memory.ask("b", ROLLOUT, now=0.0).outcome == "waits"
    held = MemoryDemand(at_rest=ROLLOUT.at_rest, rollout=ROLLOUT.rollout, granted=True)
    memory.ask("a", held, now=1.0)
    answer = memory.ask("b", ROLLOUT, now=2.0)
    assert (answer.outcome, "the rollout of a" in answer.reason) == ("waits", True)


def test_a_model_that_is_never_heard_holds_nobody_up_for_ever() -> None:
    memory = ledger()
    assert memory.ask("b", ROLLOUT, now=0.0).outcome == "waits"
    assert memory.ask("b", ROLLOUT, now=HEARD_SECONDS).outcome == "granted"


def test_a_version_takes_what_its_files_take(tmp_path: Path) -> None:
    for name, size in (("saved_model.pb", 10), ("variables/data", 90)):
        file = tmp_path / "m" / "3" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
    assert size_in(tmp_path, "m", 3) == 100
    assert size_in(tmp_path, "m", 4) == 0
