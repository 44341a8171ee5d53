"""TensorBoard gets the runs by names that people read, and starts on this machine only."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from deploy.runs import board
from retrain.run_view import Run
from streaming.contracts.errors import NotFoundError
from tests.deploy.runs.test_find_and_compare import run


def with_logs(folder: Path, number: int) -> Run:
    logs = folder / f"logs-{number}"
    logs.mkdir()
    (logs / "events").write_text("x")
    return run(number, logs=str(logs))


def test_each_run_with_logs_has_a_link(tmp_path: Path) -> None:
    gone = run(3, logs=str(tmp_path / "gone"))
    runs = [with_logs(tmp_path, 1), with_logs(tmp_path, 2), gone, run(4)]
    with board.linked(runs) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [
            "taxi-v1-abcdef00",
            "taxi-v2-abcdef00",
        ]
        assert (folder / "taxi-v1-abcdef00" / "events").read_text() == "x"
    assert not folder.exists()
    assert (tmp_path / "logs-1" / "events").exists()


def test_without_logs_it_is_said() -> None:
    with pytest.raises(NotFoundError, match="No run has TensorBoard files"), board.linked([run(1)]):
        pass


def test_without_tensorboard_the_next_command_is_named() -> None:
    with (
        patch("deploy.runs.board.find_spec", lambda name: None),
        pytest.raises(board.BoardFailed, match="make setup"),
    ):
        board.serve([], port=1)
