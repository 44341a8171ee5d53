"""The runner over a scripted system: each promise is seen kept, and seen broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.demo.names import scenario_names
from deploy.demo.report import Report
from deploy.demo.runner import Pace, run_demo
from deploy.demo.scenarios import SCENARIOS, scenario_named
from deploy.demo.state import DemoState
from streaming.contracts.errors import NotFoundError
from tests.deploy.demo.scripted_system import WEIGHTS, ScriptedSystem

PACE = Pace(events_per_second=20, predictions_per_second=20, history_rows=200)


def run_scenario(
    name: str, folder: Path, **faults: Any
) -> tuple[Report, ScriptedSystem, list[DemoState]]:
    """Run a scenario on a system with these faults."""
    system = ScriptedSystem(**faults)
    states: list[DemoState] = []
    report = run_demo(
        system,
        system.traffic,
        scenario_named(name),
        folder=folder,
        clock=system.clock,
        pace=PACE,
        on_update=states.append,
    )
    return report, system, states


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_scenario_passes_on_a_working_system(name: str, tmp_path: Path) -> None:
    """Every scenario ends by itself, passed, with every event accounted."""
    report, system, states = run_scenario(name, tmp_path)
    assert report.outcome == "passed", report.why
    events = report.events
    assert events.sent == events.offsets_read > 0
    assert events.accepted + events.dead_letters + events.late == events.offsets_read
    assert system.is_down
    assert report.finished_at - report.started_at < 480
    assert states[-1].waits_for == ""


def test_the_report_has_every_figure_of_a_shift(tmp_path: Path) -> None:
    """The figures of `shift`, one by one."""
    report, _, _ = run_scenario("shift", tmp_path)
    assert report.promoted_version == 2
    assert report.retrains == 1
    assert report.retrain_seconds == pytest.approx(20, abs=1)
    assert report.false_alarms_before_shift == 0
    assert report.windows_shift_to_drifted == 3
    assert report.seconds_shift_to_drifted is not None
    assert 10 < report.seconds_shift_to_drifted < 20
    assert [(v.version, v.auc_on_shift) for v in report.versions] == [(1, 0.5), (2, 0.8)]
    assert report.windows_after_promotion_stable >= 3
    assert [(step.weight, step.verdict, step.requests) for step in report.canary.steps] == [
        (weight, "pass", 80) for weight in WEIGHTS
    ]
    assert report.canary.client_requests > 0
    assert report.canary.client_errors == 0
    assert report.canary.seconds_to_promote == pytest.approx(22, abs=1)
    whats = [entry.what for entry in report.timeline]
    assert whats.index("traffic becomes shifted") < whats.index("windows drifted against version 1")
    assert whats.index("retrain requested (drift)") < whats.index("version 2 promoted")
    assert [e.at_seconds for e in report.timeline] == sorted(e.at_seconds for e in report.timeline)


@pytest.mark.parametrize(
    ("name", "faults", "why"),
    [
        ("shift", {"early_alarm": True}, "An alarm before the shift"),
        ("shift", {"never_drifts": True}, "a drifted window; it did not come"),
        ("shift", {"second_retrain": True}, "second retrain"),
        ("shift", {"training_fails": True}, "failed in Trainer: The loss is not finite."),
        ("shift", {"weak_version": True}, "AUC 0.510 against 0.500"),
        ("shift", {"canary_fails": True}, "Version 2 was rolled back"),
        ("shift", {"client_errors": True}, "no client error during the rollout: "),
        ("shift", {"unstable_afterwards": True}, "stable against the new reference"),
        ("shift", {"lost_events": 5}, "every event accounted once"),
        ("shift", {"traffic_dies": True}, "The traffic process has died"),
        ("concept", {"quality_cause": "inputs"}, "the retrain request; it did not come"),
        ("concept", {"second_retrain": True}, "second retrain"),
        ("concept", {"early_alarm": True}, "An alarm before the shift"),
        ("quiet", {"early_alarm": True}, "An alarm without a shift"),
        ("slow-canary", {"stays_on_canary": True}, "traffic is back within 10 s"),
        ("slow-canary", {"client_errors": True}, "no client error"),
        ("slow-canary", {"refuses_commands": True}, "The command was refused: no"),
        ("new-column", {"never_proposes": True}, "a proposed change of the schema; it did not"),
        ("new-column", {"refuses_commands": True}, "The command was refused: no"),
        ("new-column", {"trained_schema": 1}, "one schema for job and retrain: "),
        ("broken-schema", {"missing_dead_letters": 3}, "every bad record explained"),
        ("broken-schema", {"trains_on_broken": True}, "Broken traffic led to a retrain"),
    ],
)
def test_a_broken_promise_fails(
    name: str, faults: dict[str, Any], why: str, tmp_path: Path
) -> None:
    """The report says which promise, and with what values."""
    report, system, _ = run_scenario(name, tmp_path, **faults)
    assert report.outcome == "failed"
    assert why in report.why
    assert system.is_down


def test_a_timeout_names_the_log(tmp_path: Path) -> None:
    """What was waited for, how long, and where to read on."""
    report, _, _ = run_scenario("shift", tmp_path, never_drifts=True)
    assert "Waited 120 s for a drifted window" in report.why
    assert "flink-taskmanager.log" in report.why


def test_kept_systems_stay_up(tmp_path: Path) -> None:
    """With `keep` the traffic goes on in the shifted distribution, without a second history."""
    system = ScriptedSystem()
    report = run_demo(
        system,
        system.traffic,
        scenario_named("shift"),
        folder=tmp_path,
        clock=system.clock,
        keep=True,
        pace=PACE,
    )
    assert report.outcome == "passed"
    assert not system.is_down
    assert system.traffic.phase == "shifted"
    assert system.traffic.config.history_rows == 0
    assert not system.traffic.new_column


def test_a_stack_that_does_not_start_gets_no_traffic(tmp_path: Path) -> None:
    """Even with `keep`: its ports may belong to another stack."""
    system = ScriptedSystem(never_starts=True)
    report = run_demo(
        system,
        system.traffic,
        scenario_named("quiet"),
        folder=tmp_path,
        clock=system.clock,
        keep=True,
        pace=PACE,
    )
    assert (report.outcome, report.why) == ("failed", "Port 9092 is used by another program.")
    assert system.traffic.phase_since == {}


def test_the_new_column_becomes_a_version_of_the_schema(tmp_path: Path) -> None:
    """The timeline is in order, and windows and model use one version."""
    report, _, states = run_scenario("new-column", tmp_path)
    timeline = [entry.what for entry in report.timeline]
    expected = [
        *("schema version 1", "events carry a new column", "schema suspected"),
        *("schema change open", "schema change accepted", "schema version 2"),
        *("schema conforms", "retrain requested (manual)", "version 2 promoted"),
    ]
    assert [what for what in timeline if what in expected] == expected
    assert states[-1].timeline.versions[2].schema_version == 2
    assert report.promoted_version == 2


def test_an_unknown_scenario_is_not_found() -> None:
    """The message lists the known ones and suggests the nearest."""
    known = "shift, concept, quiet, slow-canary, broken-schema, new-column"
    with pytest.raises(NotFoundError, match=known):
        scenario_named("chaos")
    with pytest.raises(NotFoundError, match=r"Did you mean slow-canary\?"):
        scenario_named("slow-canry")


def test_names_for_completion_are_those_of_the_scenarios() -> None:
    assert scenario_names() == tuple(SCENARIOS)


def test_every_check_states_what_was_promised_and_seen(tmp_path: Path) -> None:
    _, _, states = run_scenario("shift", tmp_path)
    checks = states[-1].checks
    assert len(checks) == len(SCENARIOS["shift"].checks)
    assert all(check.passed and check.promised and check.seen for check in checks)
