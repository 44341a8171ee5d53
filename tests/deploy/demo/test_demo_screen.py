"""The screen of a run: plain lines in order, the live screen, and the summary."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from deploy.config.paths import PROJECT
from deploy.demo import live
from deploy.demo.report import Report
from deploy.demo.runner import Pace, run_demo
from deploy.demo.scenarios import scenario_named
from deploy.demo.state import DemoState
from deploy.demo.summary import Outputs, next_commands, print_summary
from deploy.demo.system import Addresses
from deploy.demo.timeline import RecordTimeline
from tests.deploy.demo.scripted_demo import NOISE
from tests.deploy.demo.scripted_system import ScriptedSystem

LINE = re.compile(r"^ *(\d+\.\d) s  (.+)$")


def run_on(screen: live.Screen, folder: Path, name: str = "shift") -> tuple[DemoState, Report]:
    """Run a scenario on this screen; the last state and the report."""
    system = ScriptedSystem()
    states: list[DemoState] = []

    def update(state: DemoState) -> None:
        screen.show(state)
        states[:] = [state]

    with screen:
        report = run_demo(
            system,
            system.traffic,
            scenario_named(name),
            folder=folder,
            clock=system.clock,
            pace=Pace(events_per_second=20, predictions_per_second=20, history_rows=200),
            on_update=update,
        )
    return states[0], report


def lines_of(folder: Path, name: str = "shift") -> list[str]:
    """The plain lines of a scenario."""
    out = io.StringIO()
    screen = live.screen(Console(file=out, highlight=False))
    assert isinstance(screen, live.Lines)
    run_on(screen, folder, name)
    assert "\x1b" not in out.getvalue()
    return out.getvalue().splitlines()


@pytest.mark.parametrize("name", ["shift", "concept", "quiet", "slow-canary"])
def test_lines_are_in_the_order_of_time_and_never_repeated(name: str, tmp_path: Path) -> None:
    matches = [LINE.match(line) for line in lines_of(tmp_path, name)]
    assert all(matches)
    times = [float(match[1]) for match in matches if match]
    texts = [match[2] for match in matches if match]
    assert times == sorted(times)
    assert len(set(texts)) == len(texts)
    details = [text.partition(": ")[2] for text in texts if ": " in text]
    assert len(set(details)) == len(details)


def test_a_sentence_that_two_reasons_share_is_printed_once() -> None:
    out = io.StringIO()
    screen = live.Lines(Console(file=out, highlight=False))
    timeline = RecordTimeline(model="m", started_at=0.0)
    timeline.note(1.0, "windows drifted", "Fare moved. It is drift.")
    timeline.note(2.0, "retrain requested", "Fare moved. It is drift. 5331 rows are there.")
    screen.show(DemoState(scenario="s", started_at=0.0, now=3.0, timeline=timeline))
    assert [line.split("  ")[-1] for line in out.getvalue().splitlines()] == [
        "windows drifted: Fare moved. It is drift.",
        "retrain requested: 5331 rows are there.",
    ]


def test_each_event_is_one_line(tmp_path: Path) -> None:
    lines = lines_of(tmp_path)
    assert sum("version 2 promoted" in line for line in lines) == 1
    assert any("windows drifted" in line for line in lines)
    assert any("waiting for version 2" in line for line in lines)


def test_windows_of_one_outcome_are_one_line(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "quiet")
    assert sum("windows stable" in line for line in lines) == 2  # when they begin, and in the end
    assert "20 windows stable" in lines[-2]
    assert "largest effect" in lines[-2]


def test_short_waits_are_not_mentioned(tmp_path: Path) -> None:
    lines = lines_of(tmp_path)
    assert not [line for line in lines if "version 1 to be live" in line]


def test_a_terminal_gets_the_live_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws every state of a run; NO_COLOR gives lines even there."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=40)
    screen = live.screen(console)
    assert isinstance(screen, live.LiveScreen)
    run_on(screen, tmp_path)
    assert "events/s" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    assert isinstance(live.screen(console), live.Lines)


def outputs(folder: Path, *, keep: bool) -> Outputs:
    addresses = Addresses(
        bootstrap="k:1", envoy="http://e:2", prometheus="http://p:3", flink="http://f:4"
    )
    return Outputs(
        report=folder / "report.json",
        charts=(folder / "drift.png",),
        config=folder / "demo.yaml",
        addresses=addresses,
        keep=keep,
    )


def test_a_run_ends_with_its_checks_and_what_to_do_next(tmp_path: Path) -> None:
    state, report = run_on(live.Lines(Console(file=io.StringIO())), tmp_path)
    out = io.StringIO()
    print_summary(Console(file=out, width=200), report, state, outputs(tmp_path, keep=True))
    text = out.getvalue()
    assert re.search(r"check +promised +seen", text)
    for check in state.checks:
        assert re.search(
            rf"✓ +{re.escape(check.name)} +{re.escape(check.promised)} +{re.escape(check.seen)}",
            text,
        )
    assert "Prometheus http://p:3 · Flink http://f:4 · Envoy http://e:2" in text
    assert text.count("What next") == 1


@pytest.mark.parametrize("keep", [True, False])
def test_the_summary_names_three_commands(tmp_path: Path, keep: bool) -> None:
    _, report = run_on(live.Lines(Console(file=io.StringIO())), tmp_path)
    commands = [command for command, _ in next_commands(report, "m", outputs(tmp_path, keep=keep))]
    assert len(commands) == 3
    assert all(command.startswith("driftline ") for command in commands)
    assert any(command.endswith("down") for command in commands) is keep


def test_an_early_end_is_explained_once(tmp_path: Path) -> None:
    system = ScriptedSystem(training_fails=True)
    states: list[DemoState] = []
    report = run_demo(
        system, system.traffic, scenario_named("shift"), folder=tmp_path, clock=system.clock,
        pace=Pace(events_per_second=20, predictions_per_second=20, history_rows=200),
        on_update=states.append,
    )  # fmt: skip
    out = io.StringIO()
    print_summary(Console(file=out, width=200), report, states[-1], outputs(tmp_path, keep=False))
    assert out.getvalue().count("The loss is not finite") == 1
    assert "✗" in out.getvalue()


def test_stderr_has_only_our_lines(tmp_path: Path) -> None:
    """Libraries and child processes write to the log file, however they do it."""
    command = [sys.executable, "-m", "tests.deploy.demo.scripted_demo", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    screen, _, summary = done.stderr.partition("\n\n")
    assert all(LINE.match(line) for line in screen.splitlines())
    assert summary.startswith("shift passed")
    assert summary.endswith("stderr is restored\n")
    log = (tmp_path / "log" / "demo.log").read_text()
    for text in NOISE:
        assert text not in done.stderr
        assert text in log
    assert done.stdout == ""


def test_help_writes_nothing_to_stderr() -> None:
    command = [sys.executable, "-m", "deploy.cli.main", "demo", "--help"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "--scenario" in done.stdout


def test_an_unknown_scenario_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "deploy.cli.main", "demo", "--scenario", "slow-canry"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "slow-canary" in done.stderr
