"""The demonstration waits at the decision page and goes on, or ends, as a person decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.demo.approval import DECISION_SECONDS, approval_variables, with_approval
from deploy.demo.names import SECOND_VERSION
from deploy.demo.report import Report
from deploy.demo.runner import run_demo
from deploy.demo.scenarios import SCENARIOS, scenario_named
from deploy.demo.state import DemoState
from streaming.contracts.errors import NotFoundError
from tests.deploy.cli.runner import DEMO, run
from tests.deploy.demo.scripted_system import ScriptedSystem
from tests.deploy.demo.test_demo_runner import PACE

THINKS_SECONDS = 700.0
"""Longer than any step but the one for a person."""


class DecidedSystem(ScriptedSystem):
    """A person decides some time after the console was opened."""

    decided_at: float | None = None

    def advance(self) -> None:
        super().advance()
        opened = self.console_opened_at
        waited = opened is not None and self.clock.now() - opened >= THINKS_SECONDS
        if waited and self.decided_at is None and self.decision != "nobody":
            self.decided_at = self.clock.now()
            (request,) = [entry for entry in self._requests() if entry.version == 2]
            self.decide(request, self.decision)


def played(decision: str, folder: Path) -> tuple[Report, DecidedSystem, list[tuple[float, str]]]:
    """The report, the system, and what was waited for with its time."""
    system = DecidedSystem(decision=decision)
    waits: list[tuple[float, str]] = []

    def update(state: DemoState) -> None:
        waits.append((state.now, state.waits_for))

    report = run_demo(
        system,
        system.traffic,
        with_approval(scenario_named("shift")),
        folder=folder,
        clock=system.clock,
        pace=PACE,
        on_update=update,
    )
    return report, system, waits


def test_it_waits_at_the_decision_page_and_goes_on_after_a_yes(tmp_path: Path) -> None:
    report, system, waits = played("approved", tmp_path)
    assert report.outcome == "passed", report.why
    assert report.promoted_version == 2
    (request,) = [entry for entry in system._requests() if entry.version == 2]
    page = f"http://127.0.0.1:8580/approvals/{request.record_id}"
    shown = [at for at, text in waits if text == f"your decision on version 2 at {page}"]
    assert system.console_opened_at is not None
    assert system.decided_at is not None
    assert min(shown) >= system.console_opened_at
    assert max(shown) - min(shown) > THINKS_SECONDS - 10.0
    whats = [entry.what for entry in report.timeline]
    announced = "version 2 waits for your decision"
    assert (
        whats.index(announced)
        < whats.index("version 2 approved")
        < whats.index("version 2 promoted")
    )
    (entry,) = [entry for entry in report.timeline if entry.what == announced]
    assert entry.detail.startswith(f"open {page} or in a terminal: ")
    assert f"rollout approve {request.model} --request {request.record_id}" in entry.detail


def test_the_first_version_is_approved_by_the_demonstration(tmp_path: Path) -> None:
    report, system, _ = played("approved", tmp_path)
    sent = [entry for entry in report.timeline if entry.what == "command sent: approve"]
    assert len(sent) == 1
    assert [entry.version for entry in system._requests()] == [1, 2]


def test_a_no_ends_it_with_the_persons_reason(tmp_path: Path) -> None:
    report, system, _ = played("rejected", tmp_path)
    assert (report.outcome, report.why) == ("failed", "Version 2 was rejected: rejected by ann")
    assert system.is_down


def test_nobody_decides_for_an_hour(tmp_path: Path) -> None:
    report, _, waits = played("nobody", tmp_path)
    assert report.outcome == "failed"
    assert f"Waited {DECISION_SECONDS:.0f} s for your decision on version 2" in report.why
    assert waits[-1][1] == ""


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_only_scenarios_with_a_second_version_have_a_decision(name: str) -> None:
    if name not in SECOND_VERSION:
        with pytest.raises(NotFoundError, match="no second version"):
            with_approval(SCENARIOS[name])
        return
    waits = [step.waits_for for step in with_approval(SCENARIOS[name]).steps]
    after = waits[waits.index("version 2") + 1 :]
    assert after[:2] == ["the request to approve version 2", "your decision on version 2"]


def test_the_variable_changes_the_setting_of_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.app.deployment import Deployment

    before = Deployment.load(DEMO).rollout_rules("big_tipper")
    for name, value in approval_variables("big_tipper").items():
        monkeypatch.setenv(name, value)
    after = Deployment.load(DEMO).rollout_rules("big_tipper")
    assert (before.approval, after.approval) == ("never", "before-canary")


def test_a_scenario_without_a_decision_is_refused_before_anything_starts() -> None:
    shown = run("demo", "--scenario", "quiet", "--approve")
    assert shown.exit_code == 2
    assert "no second version to approve" in shown.stderr
