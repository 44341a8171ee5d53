"""`driftline trace` uses the projection when there is one, and it is never older than the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.projection.current import current_reader, projection_folder
from deploy.projection.feed import catch_up
from deploy.projection.writer import ProjectionWriter
from streaming.contracts import topics
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Promotion
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.builders import promotion as shipped_promotion
from tests.deploy.cli.builders import version as shipped_version
from tests.deploy.cli.runner import DEMO, UNUSED_PORTS, data, run
from tests.deploy.projection.builders import promotion

KAFKA = "127.0.0.1:9092"


def filled() -> MemoryLog:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([promotion(1)])
    return log


def test_without_a_projection_there_is_none(tmp_path: Path) -> None:
    assert current_reader(tmp_path, KAFKA, filled()) is None
    assert not (tmp_path / "projection").exists()


def test_what_is_new_is_fed_first(tmp_path: Path) -> None:
    log = filled()
    ProjectionWriter(projection_folder(tmp_path, KAFKA)).close()
    reader = current_reader(tmp_path, KAFKA, log)
    assert reader is not None
    assert len(reader.newest(Promotion, "m", 9)) == 1


def test_beside_a_console_it_is_used_once_the_console_has_read_everything(tmp_path: Path) -> None:
    log = filled()
    console = ProjectionWriter(projection_folder(tmp_path, KAFKA))
    assert current_reader(tmp_path, KAFKA, log) is None
    catch_up(log, console)
    reader = current_reader(tmp_path, KAFKA, log)
    assert reader is not None
    log.append([promotion(2)])
    assert current_reader(tmp_path, KAFKA, log) is None
    console.close()


def test_a_trace_reads_the_projection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog()
    log.append([shipped_version(1), shipped_promotion(1)])
    home = {"DRIFTLINE_HOME": str(tmp_path)}
    expected = data(run("trace", "1", "--model", MODEL, "--json", log=log, env=home))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__LOCAL__PORT_OFFSET", UNUSED_PORTS)
    deployment = Deployment.load(DEMO)
    folder = projection_folder(deployment.home, deployment.bootstrap)
    ProjectionWriter(folder).close()
    assert data(run("trace", "1", "--model", MODEL, "--json", log=log, env=home)) == expected
    writer = ProjectionWriter(folder)
    assert writer.positions()
    writer.close()
    assert run("trace", "7", log=log, env=home).exit_code == 3
