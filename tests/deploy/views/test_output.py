"""Output that is piped is cut nowhere; on a terminal it fits the terminal."""

from __future__ import annotations

import io

import pytest

from deploy.views.output import OutputConsole, table


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
