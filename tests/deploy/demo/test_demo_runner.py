"""The runner over a scripted world: each promise is seen kept, and seen broken."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.report import Report
from deploy.demo.runner import Pace, run_demo
from deploy.demo.scenarios import SCENARIOS, scenario_named
from deploy.demo.view import View
from streaming.contracts.errors import NotFoundError


def _world_module() -> Any:
    """The module beside this one; tests are no package."""
    spec = importlib.util.spec_from_file_location(
        "demo_world", Path(__file__).with_name("demo_world.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo_world"] = module
    spec.loader.exec_module(module)
    return module


World = _world_module().World


def told(name: str, folder: Path, **wrong: Any) -> tuple[Report, Any, list[View]]:
    """Run a scenario in a world where `wrong` goes wrong."""
    world = World(**wrong)
    views: list[View] = []
    report = run_demo(
        world,
        world,
        scenario_named(name),
        folder=folder,
        clock=world.clock,
        pace=Pace(events_per_second=20, predictions_per_second=20, history_rows=200),
        on_update=views.append,
    )
    return report, world, views


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_a_good_world_passes(name: str, tmp_path: Path) -> None:
    """Every scenario ends by itself, passed, with every event accounted."""
    report, world, views = told(name, tmp_path)
    assert report.outcome == "passed", report.why
    events = report.events
    assert events.sent == events.offsets_read > 0
    assert events.accepted + events.dead_letters + events.late == events.offsets_read
    assert world.is_down
    assert report.finished_at - report.started_at < 480
    assert views[-1].waits_for == ""


def test_the_whole_circle_is_in_the_report(tmp_path: Path) -> None:
    """The figures of `shift`, one by one."""
    report, _, _ = told("shift", tmp_path)
    assert report.promoted_version == 2
    assert report.retrains == 1
    assert report.retrain_seconds == pytest.approx(20, abs=1)
    assert report.false_alarms_before_shift == 0
    assert report.windows_shift_to_drifted == 3
    assert report.seconds_shift_to_drifted is not None
    assert 10 < report.seconds_shift_to_drifted < 20
    assert [(v.version, v.auc_on_shift) for v in report.versions] == [(1, 0.5), (2, 0.8)]
    assert report.windows_after_promotion_stable >= 3
    (step,) = report.canary.steps
    assert (step.weight, step.verdict, step.requests) == (5, "pass", 80)
    assert report.canary.client_requests > 0
    assert report.canary.client_errors == 0
    assert report.canary.seconds_to_promote == pytest.approx(10, abs=1)
    whats = [moment.what for moment in report.timeline]
    assert whats.index("traffic becomes shifted") < whats.index("windows drifted")
    assert whats.index("retrain requested (drift)") < whats.index("version 2 promoted")
    assert [m.at_seconds for m in report.timeline] == sorted(m.at_seconds for m in report.timeline)


@pytest.mark.parametrize(
    ("name", "wrong", "why"),
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
        ("concept", {"blames": "inputs"}, "the retrain request; it did not come"),
        ("concept", {"second_retrain": True}, "second retrain"),
        ("concept", {"early_alarm": True}, "An alarm before the shift"),
        ("quiet", {"early_alarm": True}, "An alarm without a shift"),
        ("slow-canary", {"stays_on_canary": True}, "traffic is back within 10 s"),
        ("slow-canary", {"client_errors": True}, "no client error"),
        ("slow-canary", {"refuses": True}, "What was asked was refused: no"),
        ("new-column", {"never_proposes": True}, "a proposed change of the schema; it did not"),
        ("new-column", {"refuses": True}, "What was asked was refused: no"),
        ("new-column", {"trains_under": 1}, "one schema for job and retrain: "),
        ("broken-schema", {"unexplained": 3}, "every bad record explained"),
        ("broken-schema", {"trains_on_broken": True}, "Broken traffic led to a retrain"),
    ],
)
def test_a_broken_promise_fails(name: str, wrong: dict[str, Any], why: str, tmp_path: Path) -> None:
    """The report says which promise, and with what values."""
    report, world, _ = told(name, tmp_path, **wrong)
    assert report.outcome == "failed"
    assert why in report.why
    assert world.is_down


def test_a_timeout_names_the_log(tmp_path: Path) -> None:
    """What was waited for, how long, and where to read on."""
    report, _, _ = told("shift", tmp_path, never_drifts=True)
    assert "Waited 120 s for a drifted window" in report.why
    assert "flink-taskmanager.log" in report.why


def test_kept_systems_stay_up(tmp_path: Path) -> None:
    """With `keep` the traffic goes on in the shifted world, without a second history."""
    world = World()
    report = run_demo(
        world,
        world,
        scenario_named("shift"),
        folder=tmp_path,
        clock=world.clock,
        keep=True,
        pace=Pace(events_per_second=20, predictions_per_second=20, history_rows=200),
    )
    assert report.outcome == "passed"
    assert not world.is_down
    assert world.phase == "shifted"
    assert world.config.history_rows == 0
    assert not world.new_column


def test_the_new_column_becomes_a_version_of_the_schema(tmp_path: Path) -> None:
    """Its story, in order, and one version for windows and model."""
    report, _, views = told("new-column", tmp_path)
    story = [moment.what for moment in report.timeline]
    wanted = [
        *("schema version 1", "events carry a new column", "schema suspected"),
        *("schema change open", "schema change accepted", "schema version 2"),
        *("schema conforms", "retrain requested (manual)", "version 2 promoted"),
    ]
    assert [what for what in story if what in wanted] == wanted
    assert views[-1].story.versions[2].schema_version == 2
    assert report.promoted_version == 2


def test_an_unknown_scenario_is_not_found() -> None:
    """The sentence lists the known ones."""
    known = "shift, concept, quiet, slow-canary, broken-schema, new-column"
    with pytest.raises(NotFoundError, match=known):
        scenario_named("chaos")
