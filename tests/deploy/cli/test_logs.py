"""`driftline logs`: the end of a log, and its new lines."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from deploy.cli.commands import logs
from tests.deploy.cli.runner import run


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    file = tmp_path / "demo-stack" / "log" / "daemon.log"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"line {number} [/x]\n" for number in range(20_000)))
    return file


def test_the_last_lines_are_printed(log_file: Path, tmp_path: Path) -> None:
    env = {"DRIFTLINE_HOME": str(tmp_path)}
    shown = run("logs", "daemon", "--lines", "2", env=env)
    assert shown.stdout == "line 19998 [/x]\nline 19999 [/x]\n"
    assert len(run("logs", "daemon", "--lines", "9000", env=env).stdout.splitlines()) == 9000
    assert run("logs", "daemon", "--lines", "0", env=env).stdout == ""


def test_an_unknown_process_is_not_found_with_a_suggestion(log_file: Path, tmp_path: Path) -> None:
    shown = run("logs", "deamon", env={"DRIFTLINE_HOME": str(tmp_path)})
    assert shown.exit_code == 3
    assert "Did you mean daemon?" in shown.stderr


def test_without_a_stack_the_next_command_is_named(tmp_path: Path) -> None:
    shown = run("logs", "daemon", env={"DRIFTLINE_HOME": str(tmp_path)})
    assert shown.exit_code == 3
    assert "driftline up" in shown.stderr


def test_new_lines_follow_also_over_a_rotation(
    log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time nothing is new, the next thing happens to the file."""

    def append() -> None:
        with log_file.open("a") as stream:
            stream.write("more\n")

    def rotate() -> None:
        log_file.rename(log_file.with_suffix(".log.1"))

    def start_again() -> None:
        log_file.write_text("fresh\n")

    events = iter((append, rotate, start_again))
    monkeypatch.setattr("deploy.cli.commands.logs.time.sleep", lambda seconds: next(events)())
    with contextlib.closing(logs.followed(log_file)) as lines:
        assert next(lines) == "more\n"
        assert next(lines) == "fresh\n"
