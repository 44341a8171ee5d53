"""Output that is piped is cut nowhere; on a terminal it fits the terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from deploy.config.units import format_time
from deploy.views.output import PIPED_WIDTH, TERMINAL_WIDTH, OutputConsole, table


def printed(console: OutputConsole) -> str:
    wide = table("t", "first", "second")
    wide.add_row("a" * 120, "b" * 120)
    console.print(wide)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_piped_table_keeps_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    shown = printed(OutputConsole(file=io.StringIO()))
    assert "a" * 120 in shown
    assert "b" * 120 in shown


def test_columns_limit_piped_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, printed(OutputConsole(file=io.StringIO())).splitlines())) <= 60


def test_a_terminal_has_its_own_width() -> None:
    console = OutputConsole(file=io.StringIO(), force_terminal=True, color_system=None, width=50)
    assert max(map(len, printed(console).splitlines())) <= 50


def test_a_title_keeps_to_one_line() -> None:
    console = OutputConsole(file=io.StringIO(), color_system=None, width=80)
    narrow = table("a title that is longer than its table", "x")
    narrow.add_row("1")
    with console.capture() as captured:
        console.print(narrow)
    assert captured.get().splitlines()[0].rstrip() == "a title that is longer than its table"


@pytest.mark.parametrize("columns", ["", " ", "abc", "0", "-5", "1.5", "1e3", "²", "9" * 5000])
def test_a_width_that_is_no_positive_number_is_ignored(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    console = OutputConsole(file=io.StringIO())
    monkeypatch.setenv("COLUMNS", columns)
    assert console.size.width == PIPED_WIDTH
    assert "a" * 120 in printed(console)


def test_a_terminal_of_no_columns_has_the_usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    monkeypatch.setenv("LINES", "20")
    console = OutputConsole(file=io.StringIO(), force_terminal=True, color_system=None)
    assert console.size.width == TERMINAL_WIDTH


@pytest.mark.parametrize("columns", ["", "abc", "-5"])
def test_a_terminals_own_width_replaces_a_wrong_one(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    console = OutputConsole(file=io.StringIO(), force_terminal=True, color_system=None)
    assert console.size.width > 0
    printed(console)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01 00:00:00 UTC"),
        (-1.0, "1969-12-31 23:59:59 UTC"),
        (1.7e12, "1700000000000.0"),
        (1e12, "1000000000000.0"),
        (-1e12, "-1000000000000.0"),
        (1e17, "1e+17"),
        (1e300, "1e+300"),
        (-1e300, "-1e+300"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
    ],
)
def test_a_time_that_no_calendar_has_is_printed_as_a_number(at: float, text: str) -> None:
    assert format_time(at) == text


@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
@pytest.mark.parametrize("size", ["²", "٣", "①"])
def test_a_size_in_other_digits_does_not_end_a_command(name: str, size: str) -> None:
    command = [sys.executable, "-c", "from deploy.views.output import stdout; stdout.print('ok')"]
    shown = subprocess.run(
        command, env=os.environ | {name: size}, capture_output=True, text=True, check=False
    )
    assert (shown.stdout, shown.stderr) == ("ok\n", "")
