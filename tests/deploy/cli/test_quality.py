"""Quality as users meet it: the command, the picture, the metrics, the process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from deploy.app.deployment import Deployment
from deploy.cli.commands.quality import latest
from deploy.cli.main import app
from deploy.config.paths import install_paths
from deploy.config.port_map import PortMap
from deploy.local.embedded import process_specs
from deploy.metrics.quality import QualityInstruments
from streaming.contracts.log import MemoryLog
from streaming.contracts.quality import QualityVerdict
from streaming.contracts.records import Record
from tests.deploy.promtool import PROJECT
from tests.streaming.quality.quality_world import World

RUN = CliRunner()
DEMO = PROJECT / "deploy" / "demo.yaml"


@pytest.fixture(scope="module")
def world() -> World:
    """Quiet, then the meaning changes, then version 2."""
    made = World()
    for _ in range(14):
        made.window()
    for _ in range(5):
        made.window(keep=-1.0)
    made.promote(2)
    for _ in range(5):
        made.window()
    return made


@pytest.fixture
def log(world: World, monkeypatch: pytest.MonkeyPatch) -> MemoryLog:
    made = MemoryLog()
    named = [msgspec.structs.replace(one, model="big_tipper") for one in world.given]
    made.append(named)

    @contextmanager
    def opened(_house: Deployment) -> Iterator[MemoryLog]:
        yield made

    monkeypatch.setattr(Deployment, "log", opened)
    return made


def test_each_window_is_shown_once_and_mature_where_it_is(world: World) -> None:
    found = latest(world.given, 100)
    keys = [(one.window_start, one.version) for one in found]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)
    assert found[0].stage == "realised"
    assert found[-1].stage == "estimated"
    assert len(latest(world.given, 3)) == 3


def test_the_command_shows_windows_metrics_curve_and_assumption(log: MemoryLog) -> None:
    shown = RUN.invoke(app, ["-c", str(DEMO), "quality", "big_tipper"], env={"COLUMNS": "260"})
    assert shown.exit_code == 0, shown.stderr
    for word in ("degraded (concept)", "provisional", "mature", "baseline", "no concept drift"):
        assert word in shown.stdout
    assert "AUC is" in shown.stdout


def test_the_data_are_records(log: MemoryLog) -> None:
    shown = RUN.invoke(app, ["-c", str(DEMO), "quality", "big_tipper", "--json", "--last", "4"])
    rows = json.loads(shown.stdout)
    assert len(rows) == 4
    assert {row["kind"] for row in rows} == {"quality-verdict"}


@pytest.mark.parametrize("name", ["quality.png", "quality.svg"])
def test_the_picture_is_drawn(log: MemoryLog, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    shown = RUN.invoke(app, ["-c", str(DEMO), "quality", "big_tipper", "--plot", str(file)])
    assert shown.exit_code == 0, shown.stderr
    content = file.read_bytes()
    assert content[:4] == b"\x89PNG" if name.endswith("png") else b"Calibration" in content


def test_a_picture_needs_a_suffix_it_knows(log: MemoryLog) -> None:
    shown = RUN.invoke(app, ["-c", str(DEMO), "quality", "big_tipper", "--plot", "x.jpg"])
    assert shown.exit_code == 2
    assert ".png or .svg" in shown.stderr


def test_before_anything_was_said_the_service_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def empty(_house: Deployment) -> Iterator[MemoryLog]:
        yield MemoryLog()

    monkeypatch.setattr(Deployment, "log", empty)
    shown = RUN.invoke(app, ["-c", str(DEMO), "quality", "big_tipper"])
    assert shown.exit_code == 3
    assert "driftline labels" in shown.stderr


def test_the_service_refuses_a_configuration_without_predictions() -> None:
    shown = RUN.invoke(app, ["-c", str(PROJECT / "deploy" / "driftline.yaml"), "labels"])
    assert shown.exit_code == 2
    assert "predictions" in shown.stderr


def test_it_runs_where_predictions_are_written_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    specs = {name: _specs(name) for name in ("demo.yaml", "driftline.yaml")}
    assert "labels" in specs["demo.yaml"]
    assert "labels" not in specs["driftline.yaml"]


def _specs(name: str) -> list[str]:
    try:
        found = process_specs(Deployment.load(PROJECT / "deploy" / name), install_paths())
    except FileNotFoundError:  # the engines are not installed
        pytest.skip("Run make setup.")
    return [spec.name for spec in found]


def test_rules_follow_from_the_settings() -> None:
    rules = Deployment.load(DEMO).quality_rules("big_tipper")
    assert rules.horizon_seconds == 4 * 3.0 + 2 * 5.0
    assert (rules.false_alarms, rules.period_seconds) == (1.0, 30 * 86_400.0)


def test_metrics_say_what_the_verdicts_say(world: World) -> None:
    instruments = QualityInstruments()
    for verdict in world.given:
        instruments.verdict(verdict)
    instruments.accounts("m", world.book)
    instruments.accounts("m", world.book)  # counted once
    read = instruments.registry.get_sample_value

    def value(name: str, **labels: str) -> float | None:
        return read(f"driftline_{name}", {"model": "m", **labels})

    degraded = [one for one in world.realised() if one.outcome == "degraded"]
    assert value("quality_verdicts_total", outcome="degraded", cause="concept") == len(degraded)
    last = [one for one in world.realised() if one.live][-1]
    area = next(metric.value for metric in last.metrics if metric.name == "auc")
    assert value("quality_value_ratio", metric="auc", kind="realised") == area
    assert value("predictions_total", fate="joined") == world.book.joiner.accounts.joined
    assert value("labels_mature_seconds") == world.book.matures_after
    assert PortMap().labels_metrics not in {PortMap().daemon_metrics, PortMap().worker_metrics}


def test_other_versions_leave_no_series(world: World) -> None:
    instruments = QualityInstruments()
    record: Record = world.given[-1]
    assert isinstance(record, QualityVerdict)
    instruments.verdict(msgspec.structs.replace(record, live=False, stage="realised"))
    names = [family.name for family in instruments.registry.collect() if family.samples]
    assert names == []
