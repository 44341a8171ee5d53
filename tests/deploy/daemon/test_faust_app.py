"""The daemon's Faust application: which Kafka it connects to, and what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.daemon.controller import INPUTS
from deploy.daemon.faust_app import daemon_app
from deploy.metrics.exporter import MetricsExporter
from tests.deploy.cli.runner import DEMO, SHIPPED


@pytest.mark.parametrize("config", [DEMO, SHIPPED])
def test_the_daemon_connects_to_the_deployments_kafka(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__LOCAL__PORT_OFFSET", "300")
    deployment = Deployment.load(config)
    app = daemon_app(deployment, {}, MetricsExporter())
    assert deployment.bootstrap == "127.0.0.1:9392"
    assert [str(url) for url in app.conf.broker] == ["kafka://127.0.0.1:9392"]


def test_it_reads_every_input_of_the_controllers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    app = daemon_app(Deployment.load(DEMO), {}, MetricsExporter())
    (agent,) = app.agents.values()
    assert set(agent.channel.topics) == {topic.name for topic in INPUTS}
