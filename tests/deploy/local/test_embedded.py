"""The configuration files of the embedded stack's monitoring, and when the stack is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.config.paths import InstallPaths, install_paths
from deploy.local.embedded import (
    RULES,
    engines_installed,
    process_specs,
    write_alertmanager,
    write_prometheus,
)
from deploy.local.process_spec import Alive, Progress, Tcp
from deploy.setup import loopback
from serving.engines.modelserver.flags import parser
from tests.deploy.cli.runner import DEMO


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__LOCAL__PORT_OFFSET", "100")
    return Deployment.load(DEMO)


def test_prometheus_scrapes_every_process_on_its_shifted_port(deployment: Deployment) -> None:
    write_prometheus(deployment)
    file = deployment.home / "prometheus" / "prometheus.yml"
    config = json.loads(file.read_text())
    targets = {
        job["job_name"]: [
            target for static in job["static_configs"] for target in static["targets"]
        ]
        for job in config["scrape_configs"]
    }
    ports = deployment.ports
    for job, port in (
        ("daemon", ports.daemon_metrics),
        ("worker", ports.worker_metrics),
        ("watchdog", ports.watchdog_metrics),
        ("labels", ports.labels_metrics),
        ("traffic", ports.demo_metrics),
    ):
        assert targets[job] == [f"127.0.0.1:{port}"]
    every = [address for addresses in targets.values() for address in addresses]
    assert f"127.0.0.1:{ports.envoy_admin}" in every
    assert config["rule_files"] == [str(file) for file in sorted(RULES.glob("*.yml"))]
    assert str(ports.alertmanager) in json.dumps(config["alerting"])


def test_every_process_is_asked_for_more_than_a_connection(deployment: Deployment) -> None:
    """The kernel accepts connections for a stopped process too."""
    specs = process_specs(deployment, install_paths())
    assert "stream-watchdog" in {spec.name for spec in specs}
    for spec in specs:
        assert not isinstance(spec.answers or spec.ready, Tcp | Alive), spec.name
    loops = {spec.name for spec in specs if isinstance(spec.answers, Progress)}
    assert loops == {"daemon", "labels", "notifier", "stream-watchdog"}


def test_the_model_servers_load_judged_bytes_and_the_allowed_operations_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__ARTIFACTS__ALLOWED_OPERATIONS", '["PrintV2"]')
    specs = process_specs(Deployment.load(DEMO), install_paths())
    servers = [spec for spec in specs if "serving.engines.modelserver" in spec.argv]
    assert len(servers) == 3
    for server in servers:
        flags = parser().parse_args(server.argv[3:])
        assert flags.manifests == "store"
        assert flags.allow_op == ["PrintV2"]


@pytest.mark.parametrize(
    ("with_predictions", "expected"),
    [([], False), (["served"], True), (["other"], True), (["served", "other"], True)],
)
def test_the_label_service_runs_for_any_model_with_predictions(
    deployment: Deployment, tmp_path: Path, with_predictions: list[str], expected: bool
) -> None:
    models = {
        name: {
            "module": "retrain.models.big_tipper",
            "events": {"topic": f"{name}.trips", "key": "trip_id"},
            "labels": {"topic": f"{name}.tips", "key": "trip_id"},
        }
        for name in ("served", "other")
    }
    for name in with_predictions:
        models[name]["predictions"] = {"topic": f"{name}.predictions"}
    file = tmp_path / "driftline.yaml"
    file.write_text(json.dumps({"local": {"served_models": ["served"]}, "models": models}))
    names = {spec.name for spec in process_specs(Deployment.load(file), install_paths())}
    assert ("labels" in names) is expected


def test_the_same_settings_write_the_same_files(deployment: Deployment) -> None:
    file = deployment.home / "prometheus" / "prometheus.yml"
    write_prometheus(deployment)
    before = file.read_text()
    write_prometheus(deployment)
    assert file.read_text() == before


def test_alertmanager_gets_the_notifier_and_prometheus_the_links(deployment: Deployment) -> None:
    write_alertmanager(deployment)
    written = json.loads((deployment.home / "prometheus" / "alertmanager.yml").read_text())
    (hook,) = written["receivers"][0]["webhook_configs"]
    assert hook["url"] == f"http://127.0.0.1:{deployment.ports.notifier}/alerts"
    write_prometheus(deployment)
    config = json.loads((deployment.home / "prometheus" / "prometheus.yml").read_text())
    console = f"http://127.0.0.1:{deployment.ports.console}"
    assert config["global"]["external_labels"] == {"console": console}
    drop = {"regex": "console", "action": "labeldrop"}
    assert config["alerting"]["alert_relabel_configs"] == [drop]
    flink = next(job for job in config["scrape_configs"] if job["job_name"] == "flink")
    assert flink["scrape_interval"] == "10000ms"
    assert len(flink["static_configs"]) == 2


def test_the_engines_are_installed_only_with_all_their_parts(tmp_path: Path) -> None:
    paths = InstallPaths(opt=tmp_path / "opt", python=tmp_path / "bin" / "python")
    assert not engines_installed(paths)
    for folder in (paths.kafka, paths.beam, paths.flink):
        assert not engines_installed(paths)
        folder.mkdir(parents=True)
    assert not engines_installed(paths)
    loopback.jar(paths).parent.mkdir(parents=True)
    loopback.jar(paths).touch()
    assert engines_installed(paths)
