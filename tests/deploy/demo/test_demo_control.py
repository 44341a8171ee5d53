"""The files through which a demonstration tells its traffic what to do."""

from __future__ import annotations

from pathlib import Path

from deploy.demo import control
from deploy.demo.control import Control, end_kept_traffic


def test_traffic_that_was_left_is_told_to_end(tmp_path: Path) -> None:
    file = control.control_file(tmp_path)
    control.write(file, Control(phase="shifted", predict=True))
    end_kept_traffic(tmp_path)
    assert control.read(file, Control) == Control(phase="stop")


def test_nothing_is_written_where_no_demonstration_was(tmp_path: Path) -> None:
    end_kept_traffic(tmp_path)
    assert list(tmp_path.iterdir()) == []
