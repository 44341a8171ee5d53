"""One cause opens one alert: the shipped inhibition in a real Alertmanager."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from deploy.app.alert_routing import alertmanager_config
from deploy.config.alert_settings import AlertSettings
from tests.deploy.promtool import PROJECT
from tests.engine_ports import port_offset

pytestmark = pytest.mark.engine
CAUSES = {
    rule["alert"]: rule["labels"]["cause"]
    for file in sorted((PROJECT / "deploy" / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("alertmanager")
    installed = PROJECT / ".driftline" / "opt" / "prometheus" / "bin" / "alertmanager"
    executable = str(installed) if installed.exists() else shutil.which("alertmanager")
    assert executable, "alertmanager is missing; run `make setup`."
    config = folder / "alertmanager.yml"
    token = folder / "token"
    token.write_text("t")
    config.write_text(
        alertmanager_config(
            AlertSettings(), notifier="http://127.0.0.1:9/alerts", token_file=token, folder=folder
        )
    )
    port = 9094 + port_offset(2750)
    process = subprocess.Popen(
        [
            executable, f"--config.file={config}", f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
            "--log.level=error",
        ]
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _ready(address))
        yield address
    finally:
        process.terminate()
        process.wait()


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/-/ready", timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False


def until(ready: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alert(name: str, scenario: str, **labels: str) -> dict[str, Any]:
    own = {"alertname": f"Driftline{name}", "cause": CAUSES[f"Driftline{name}"], "run": scenario}
    return {"labels": {**own, **labels}, "annotations": {"summary": name}}


def process(kind: str, name: str) -> tuple[str, dict[str, str]]:
    return f"Process{kind}", {"process": name}


def model(name: str, model: str = "m", **more: str) -> tuple[str, dict[str, str]]:
    return name, {"model": model, **more}


def job(name: str, group: str = "all") -> tuple[str, dict[str, str]]:
    return name, {"group": group}


SCENARIOS: dict[str, tuple[list[tuple[str, dict[str, str]]], set[str]]] = {
    "kafka is gone": (
        [
            process("Missing", "kafka"), process("Unresponsive", "daemon"),
            job("CheckpointsStopped"), job("StreamJobNotRunning"), model("WatermarkStalled"),
            model("ModelStalled"),
            model("NoTraffic"), model("RecordWaiting"),
        ],
        {"ProcessMissing"},
    ),
    "flink's task manager hangs": (
        [
            process("Unresponsive", "flink-taskmanager"), job("CheckpointsStopped"),
            job("CheckpointsFail"), model("WatermarkStalled"),
        ],
        {"ProcessUnresponsive"},
    ),
    "a job cannot come back": (
        [
            job("StreamJobNeedsHelp"), job("StreamJobNotRunning"), job("CheckpointsStopped"),
            model("WatermarkStalled"), job("CheckpointsFail", "other"),
        ],
        {"StreamJobNeedsHelp", "CheckpointsFail"},
    ),
    "the daemon hangs": (
        [
            process("Unresponsive", "daemon"), ("ProcessDown", {"job": "daemon"}),
            ("LoopStalled", {"process": "daemon"}), model("ModelStalled"), model("RolloutStuck"),
        ],
        {"ProcessUnresponsive"},
    ),
    "the worker is killed again and again": (
        [
            process("Missing", "worker"), model("RetrainNotTaken"), model("RetrainStuck"),
            model("RetrainFailed", "n"), model("Drifted"),
        ],
        {"ProcessMissing", "Drifted"},
    ),
    "a canary is rolled back, clients of another model see errors": (
        [
            model("CanaryRolledBack"), model("CanaryUnmeasured"), model("RolloutEndsSoon"),
            model("Errors", "other", role="stable"),
            model("ServerUnanswered", "other", role="stable"),
        ],
        {"CanaryRolledBack", "Errors"},
    ),
    "a producer is broken": (
        [model("SchemaBroken"), model("DeadLetters"), model("Inconclusive"), model("Drifted", "n")],
        {"SchemaBroken", "Drifted"},
    ),
    "dead letters": ([model("DeadLetters"), model("Inconclusive")], {"DeadLetters"}),
    "an approval expires": (
        [model("ApprovalExpired"), model("ApprovalEndsSoon"), model("ApprovalWaiting")],
        {"ApprovalExpired"},
    ),
    "an approval is near its end": (
        [model("ApprovalEndsSoon"), model("ApprovalWaiting"), model("ApprovalWaiting", "n")],
        {"ApprovalEndsSoon", "ApprovalWaiting"},
    ),
    "no worker": (
        [model("RetrainNotTaken"), model("RetrainStuck"), model("RetrainFailed")],
        {"RetrainNotTaken"},
    ),
    "clients stop": (
        [model("NoTraffic"), model("WatermarkStalled"), model("NoPredictions")],
        {"NoTraffic"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_one_cause_opens_one_alert(alertmanager: str, scenario: str) -> None:
    firing, expected = SCENARIOS[scenario]
    alerts = [alert(name, scenario, **labels) for name, labels in firing]
    httpx.post(f"{alertmanager}/api/v2/alerts", json=alerts, timeout=10.0).raise_for_status()

    def listed() -> list[dict[str, Any]]:
        known = httpx.get(f"{alertmanager}/api/v2/alerts", timeout=10.0).json()
        return [entry for entry in known if entry["labels"]["run"] == scenario]

    def told() -> set[str]:
        """The alerts that are sent; the inhibitor learns of each alert a moment later."""
        return {
            entry["labels"]["alertname"].removeprefix("Driftline")
            for entry in listed()
            if entry["status"]["state"] == "active"
        }

    try:
        until(lambda: len(listed()) == len(alerts) and told() == expected)
    except AssertionError:
        assert told() == expected
        raise
    finally:  # the next scenario begins without them
        for entry in alerts:
            entry["startsAt"], entry["endsAt"] = "2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
        httpx.post(f"{alertmanager}/api/v2/alerts", json=alerts, timeout=10.0)
        until(lambda: not listed())
