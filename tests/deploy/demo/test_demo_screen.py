"""The screen and the pictures show what is there, at every moment of a run."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.demo import charts, live
from deploy.demo.runner import Pace, run_demo
from deploy.demo.scenarios import scenario_named
from deploy.demo.view import View


def _world() -> Any:
    spec = importlib.util.spec_from_file_location(
        "demo_world_of_screen", Path(__file__).with_name("demo_world.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_world_of_screen"] = module
    spec.loader.exec_module(module)
    return module.World()


def shown(screen: live.Screen, folder: Path) -> tuple[View, Any]:
    """A whole `shift` on this screen; the last view and the report."""
    world = _world()
    views: list[View] = []

    def both(view: View) -> None:
        screen.show(view)
        views[:] = [view]

    with screen:
        report = run_demo(
            world,
            world,
            scenario_named("shift"),
            folder=folder,
            clock=world.clock,
            pace=Pace(events_per_second=20, predictions_per_second=20, history_rows=200),
            on_update=both,
        )
    return views[0], report


def test_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    """One line each, once, without escape codes."""
    out = io.StringIO()
    console = Console(file=out, highlight=False)
    screen = live.screen(console)
    assert isinstance(screen, live.Lines)
    shown(screen, tmp_path)
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert sum("version 2 promoted" in line for line in lines) == 1
    assert any("window drifted" in line for line in lines)
    assert any("waiting for version 2" in line for line in lines)


def test_a_terminal_gets_the_live_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws every view of a run; NO_COLOR gives lines even there."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=40)
    screen = live.screen(console)
    assert isinstance(screen, live.LiveScreen)
    shown(screen, tmp_path)
    assert "events/s" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    assert isinstance(live.screen(console), live.Lines)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    """SVG and PNG of what there is to show."""
    view, report = shown(live.Lines(Console(file=io.StringIO())), tmp_path)
    names = {file.name for file in charts.draw(view, report, tmp_path / "pictures")}
    assert {"rollout.png", "auc.png"} <= names
    for name in names:
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")
        svg = (tmp_path / "pictures" / name).with_suffix(".svg").read_text()
        assert svg.lstrip().startswith("<svg")
