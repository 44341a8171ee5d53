"""An experiment on real model servers, Envoy and Prometheus, run by the controller."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import handlers
from serving.engines.envoy.config import Endpoint, EnvoyLayout
from serving.engines.envoy.experiment_routes import CHOICE_HEADER
from serving.engines.envoy.router import write_bootstrap
from serving.engines.memory import InMemoryAnswers, InMemoryReferences
from serving.engines.prometheus.client import serving_targets, write_config
from serving.engines.tfserving import TfServing
from serving.ports import ALL_STABLE, ServingPorts
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.experiment_assignment import arm_of, with_id
from streaming.contracts.experiment_records import ExperimentArm
from streaming.contracts.records import (
    Artifact,
    Command,
    ExperimentDefinition,
    ExperimentStatus,
    Promotion,
    Record,
)
from tests.background import Background
from tests.serving.engines.modelserver.conftest import models
from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop
from tests.serving.engines.serving_stack import (
    ROLES,
    ServingStack,
    answers,
    free_ports,
    program,
)
from tests.waiting import wait_for

__all__ = ["models"]

pytestmark = pytest.mark.engine

USERS = [f"rider-{number}" for number in range(120)]
Models = tuple[Path, dict[str, Any]]


def definition(now: float) -> ExperimentDefinition:
    return with_id(
        ExperimentDefinition(
            experiment_id="",
            arms=(
                ExperimentArm(name="champion", version=1, share=4000),
                ExperimentArm(name="v2", version=2, share=4000),
            ),
            user_header="x-user-id", user_field="user_id", begin=now, end=now + 3600.0,
            metric="log_loss", minimum_effect=0.01, alpha=0.05, user_seconds=60.0,
            label_seconds=0.0, min_users=200, errors_pp=1.0, slow_pp=50.0,
        ),
        MODEL,
    )  # fmt: skip


@dataclass
class Controller(Background):
    """The controller on a thread, as the daemon runs it."""

    ports: ServingPorts
    state: RolloutState
    records: list[Record] = field(default_factory=list)
    rules: RolloutRules = field(default_factory=RolloutRules)

    def work(self) -> None:
        now = time.time()
        command = Command(
            record_id="start", model=MODEL, at=now, action="start-experiment", reason="",
            who="ann", experiment=definition(now),
        )  # fmt: skip
        self.state = handlers.handle(self.state, command, rules=self.rules, now=now).state
        while not self._stop.wait(0.5):
            now = time.time()
            observed = handlers.observe(self.ports, self.state, now=now)
            transition = handlers.tick(self.state, observed, rules=self.rules, now=now)
            self.state = transition.state
            self.records += transition.records
            handlers.perform(transition.actions, self.ports)

    @property
    def started(self) -> bool:
        experiment = self.state.experiment
        return experiment is not None and experiment.started_at is not None


def live() -> Promotion:
    return Promotion(
        record_id="p1", model=MODEL, at=1.0, version=1, replaced=0, change="initial", reason="",
        artifact=Artifact(uri="x", digest="d"), reference=None, window_start=0.0, window_end=1.0,
    )  # fmt: skip


@pytest.fixture
def stack(tmp_path: Path, models: Models) -> Iterator[tuple[ServingStack, dict[str, Server]]]:
    prometheus = program("prometheus")
    if prometheus is None:
        pytest.skip("Prometheus is not installed; run `make setup`.")
    servers = {role: start(models[0], "--versions", "1") for role in ROLES}
    ports = free_ports(3)
    layout = EnvoyLayout(
        model=MODEL, port=ports[0], admin_port=ports[1], retry_after_seconds=1.0,
        endpoints={
            role: Endpoint(grpc_port=server.grpc_port, rest_port=server.rest_port)
            for role, server in zip(ROLES, servers.values(), strict=True)
        },
    )  # fmt: skip
    stack = ServingStack(tmp_path, layout, f"http://127.0.0.1:{ports[2]}")
    config = write_config(tmp_path / "prometheus.yml", serving_targets([layout])[:1])
    bootstrap = write_bootstrap(tmp_path / "envoy", [layout])
    envoy = Path(sys.executable).with_name("envoy")
    options = ("--base-id", str(ports[1] % 30000), "--concurrency", "1", "-l", "warning")
    try:
        stack.spawn("envoy", str(envoy), "-c", str(bootstrap), *options)
        stack.spawn(
            "prometheus", prometheus, f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{ports[2]}",
        )  # fmt: skip
        wait_for(lambda: answers(f"http://127.0.0.1:{layout.admin_port}/ready"))
        wait_for(lambda: answers(f"{stack.prometheus_url}/-/ready"))
        stack.wait_until_healthy()
        yield stack, {str(role): server for role, server in servers.items()}
    finally:
        stack.router.close()
        stack.metrics.close()
        for name in list(stack.running):
            stack.kill(name)
        for server in servers.values():
            if server.process.poll() is None:
                stop(server)


def test_users_meet_their_version_and_a_dead_one_costs_no_request(
    stack: tuple[ServingStack, dict[str, Server]], models: Models
) -> None:
    serving, servers = stack
    expected = models[1]["expected"]
    fare, hour, payment = models[1]["rows"][0]
    body = {"instances": [{"fare": [fare], "hour": [hour], "payment": [payment]}]}
    url = f"http://127.0.0.1:{serving.layout.port}/v1/models/{MODEL}:predict"
    client = httpx.Client(timeout=15.0)

    def version_met(**headers: str) -> int:
        """The version whose prediction came back."""
        answer = client.post(
            url, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        assert answer.status_code == 200, answer.text
        (prediction,) = answer.json()["predictions"]
        value = prediction[0] if isinstance(prediction, list) else prediction
        (number,) = (n for n in ("1", "2") if value == pytest.approx(expected[n][0], abs=1e-5))
        return int(number)

    ports = ServingPorts(
        router=serving.router,
        servers=TfServing(serving.layout),
        metrics=serving.metrics,
        references=InMemoryReferences(),
        answers=InMemoryAnswers(),
    )
    controller = Controller(ports, RolloutState(model=MODEL, live=live()))
    with controller.running(), client:
        wait_for(lambda: controller.started)
        planned = controller.state.experiment
        assert planned is not None
        for user in USERS:
            arm = arm_of(planned.definition, user)
            met = {version_met(x_user_id=user) for _ in range(3)}
            assert met == {1 if arm is None else arm.version}
        assert version_met() == 1
        assert version_met(**{CHOICE_HEADER.replace("-", "_"): "2"}) == 2
        wait_for(lambda: bool(controller.state.experiment and controller.state.experiment.guards))
        killed_at = time.time()
        servers["canary"].process.kill()
        while controller.state.experiment is not None and time.time() < killed_at + 90.0:
            for user in USERS:
                version_met(x_user_id=user)
        (last, *_) = [
            record
            for record in reversed(controller.records)
            if isinstance(record, ExperimentStatus)
        ]
        assert (last.outcome, last.phase) == ("worse", "ended")
        wait_for(lambda: serving.router.current_split() == ALL_STABLE)
    servers["canary"].process.communicate()
    print(f"taken out {last.at - killed_at:.1f} s after kill -9, no failed request")  # noqa: T201
