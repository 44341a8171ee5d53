"""`driftline quality`: tables, chart, data; the label service's metrics and process."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from deploy.app.deployment import Deployment
from deploy.cli.commands.quality import latest
from deploy.config.paths import install_paths
from deploy.config.port_map import PortMap
from deploy.local.embedded import engines_installed, process_specs
from deploy.metrics.quality import QualityExporter
from streaming.contracts.log import MemoryLog
from streaming.contracts.quality_records import QualityVerdict
from streaming.contracts.records import Record
from tests.deploy.cli.runner import DEMO, SHIPPED, data, run
from tests.streaming.quality.quality_world import World


@pytest.fixture(scope="module")
def world() -> World:
    """Quiet, then the meaning changes, then version 2."""
    world = World()
    for _ in range(14):
        world.window()
    for _ in range(5):
        world.window(keep=-1.0)
    world.promote(2)
    for _ in range(5):
        world.window()
    return world


@pytest.fixture
def log(world: World) -> MemoryLog:
    filled = MemoryLog()
    filled.append(
        [msgspec.structs.replace(verdict, model="big_tipper") for verdict in world.verdicts]
    )
    return filled


def test_each_window_is_shown_once_and_mature_where_it_is(world: World) -> None:
    newest = latest(world.verdicts, 100)
    keys = [(verdict.window_start, verdict.version) for verdict in newest]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)
    assert newest[0].stage == "realised"
    assert newest[-1].stage == "estimated"
    assert len(latest(world.verdicts, 3)) == 3


def test_the_command_shows_windows_metrics_curve_and_assumption(log: MemoryLog) -> None:
    shown = run("quality", "big_tipper", log=log)
    assert shown.exit_code == 0, shown.stderr
    for word in ("degraded (concept)", "provisional", "mature", "baseline", "no concept drift"):
        assert word in shown.stdout
    assert "AUC is" in shown.stdout


def test_the_json_is_the_records(log: MemoryLog) -> None:
    rows = data(run("quality", "big_tipper", "--json", "--last", "4", log=log))
    assert len(rows) == 4
    assert {row["kind"] for row in rows} == {"quality-verdict"}


@pytest.mark.parametrize("name", ["quality.png", "quality.svg"])
def test_the_chart_is_drawn(log: MemoryLog, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    shown = run("quality", "big_tipper", "--plot", str(file), log=log)
    assert shown.exit_code == 0, shown.stderr
    content = file.read_bytes()
    assert content[:4] == b"\x89PNG" if name.endswith("png") else b"Calibration" in content


def test_a_chart_needs_a_known_suffix(log: MemoryLog) -> None:
    shown = run("quality", "big_tipper", "--plot", "x.jpg", log=log)
    assert shown.exit_code == 2
    assert ".png or .svg" in shown.stderr


def test_before_the_first_verdict_the_service_is_named() -> None:
    shown = run("quality", "big_tipper")
    assert shown.exit_code == 3
    assert "driftline labels" in shown.stderr


def test_the_service_refuses_a_configuration_without_predictions() -> None:
    shown = run("labels", config=SHIPPED)
    assert shown.exit_code == 2
    assert "predictions" in shown.stderr


def test_the_stack_has_the_service_only_with_a_predictions_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    assert "labels" in _process_names(DEMO)
    assert "labels" not in _process_names(SHIPPED)


def _process_names(config: Path) -> list[str]:
    if not engines_installed():
        pytest.skip("Run make setup.")
    return [spec.name for spec in process_specs(Deployment.load(config), install_paths())]


def test_rules_follow_from_the_settings() -> None:
    rules = Deployment.load(DEMO).quality_rules("big_tipper")
    assert rules.horizon_seconds == 4 * 3.0 + 2 * 5.0
    assert (rules.false_alarms, rules.period_seconds) == (1.0, 30 * 86_400.0)


def test_metrics_say_what_the_verdicts_say(world: World) -> None:
    exporter = QualityExporter()
    for verdict in world.verdicts:
        exporter.verdict(verdict)
    exporter.accounts("m", world.monitor)
    exporter.accounts("m", world.monitor)  # counted once
    read = exporter.registry.get_sample_value

    def value(name: str, **labels: str) -> float | None:
        return read(f"driftline_{name}", {"model": "m", **labels})

    degraded = [verdict for verdict in world.realised() if verdict.outcome == "degraded"]
    assert value("quality_verdicts_total", outcome="degraded", cause="concept") == len(degraded)
    last = [verdict for verdict in world.realised() if verdict.live][-1]
    area = next(metric.value for metric in last.metrics if metric.name == "auc")
    assert value("quality_value_ratio", metric="auc", kind="realised") == area
    assert value("predictions_total", outcome="joined") == world.monitor.joiner.accounts.joined
    assert value("labels_mature_seconds") == world.monitor.matures_after
    assert PortMap().labels_metrics not in {PortMap().daemon_metrics, PortMap().worker_metrics}


def test_other_versions_leave_no_series(world: World) -> None:
    exporter = QualityExporter()
    record: Record = world.verdicts[-1]
    assert isinstance(record, QualityVerdict)
    exporter.verdict(msgspec.structs.replace(record, live=False, stage="realised"))
    names = [family.name for family in exporter.registry.collect() if family.samples]
    assert names == []
