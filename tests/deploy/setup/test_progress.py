"""The installer's progress: what is shown, when, and what uv's output means."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from deploy.setup import uv
from deploy.setup.screen import LINE_SECONDS, Progress, SetupFailed

OUTPUT = """\
Using Python 3.11.7 environment at: .venv
Resolved 259 packages in 176ms
Downloading numpy (16.0MiB)
Downloading tensorflow (0.5GiB)
 Downloaded numpy
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, seconds: list[float]) -> str:
    """Output of updates at these times."""
    times = iter([0.0, *seconds])
    progress = Progress(stream, clock=lambda: next(times))
    for second in seconds:
        progress.update(f"state {second:.0f}")
    progress.close()
    return stream.getvalue()


def test_without_a_terminal_a_line_appears_every_few_seconds() -> None:
    text = shown(io.StringIO(), [float(second) for second in range(1, 13)])
    assert text == "    state 5 (5 s)\n    state 10 (10 s)\n"
    assert LINE_SECONDS == 5.0


def test_on_a_terminal_one_line_is_redrawn_and_removed() -> None:
    text = shown(Terminal(), [0.5, 1.0])
    assert text.count("\r\x1b[K") == 3
    assert text.endswith("\r\x1b[K")
    assert "\n" not in text


def test_the_state_is_computed_only_when_it_is_shown() -> None:
    times = iter([0.0, 1.0, 6.0])
    progress = Progress(io.StringIO(), clock=lambda: next(times))
    computed: list[str] = []
    for _ in range(2):
        progress.update(lambda: computed.append("x") or "x")  # type: ignore[func-returns-value]
    assert computed == ["x"]


def test_downloads_are_counted_in_packages_and_bytes() -> None:
    state = uv.UvState()
    for line in OUTPUT.splitlines():
        state.read(line)
    text = state.text(None, written=40_000_000)
    assert text == "downloading: 1 of 2 large packages, 17 of 554 MB; 40 MB unpacked"
    assert state.messages == []


def test_later_phases_count_packages_and_files(tmp_path: Path) -> None:
    (tmp_path / "a-1.dist-info").mkdir()
    (tmp_path / "a.py").write_text("")
    (tmp_path / "a.cpython-311.pyc").write_text("")
    (tmp_path / "b.py").write_text("")
    state = uv.UvState()
    for line in (*OUTPUT.splitlines(), "Prepared 259 packages in 30s"):
        state.read(line)
    target = uv.TargetFolder(tmp_path)
    assert state.text(target, 0) == "installing: 1 of 259 packages"
    state.read("Installed 259 packages in 98ms")
    assert state.text(target, 0) == "compiling to byte code: 1 of 2 files"


def program(folder: Path, script: str) -> Path:
    """An executable script."""
    file = folder / "uv"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_a_failure_has_uvs_own_message(tmp_path: Path) -> None:
    script = "echo 'Resolved 3 packages in 1s' >&2; echo 'error: no such host' >&2; exit 2"
    with pytest.raises(SetupFailed, match="uv failed: error: no such host"):
        uv.run([program(tmp_path, script), "pip", "sync"])


def test_a_quick_run_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uv.run([program(tmp_path, "echo 'Audited 3 packages in 1ms' >&2")])
    assert capsys.readouterr().out == ""


def test_written_bytes_of_a_process_are_counted() -> None:
    assert uv.written_bytes(0) == 0
    assert uv.written_bytes(os.getpid()) > 0
