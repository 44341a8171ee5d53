"""A second model is added to the running stack and served beside the taxi one.

It goes on with the stack that a demonstration has left. The taxi model is asked all the time, and
never gives an error: while servers and routes are added, while the second model's canary is killed,
and while the second model is taken out again.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.app.deployment import Deployment
from retrain.engines.model_store import FolderStore
from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.records import Artifact, ModelVersion, RolloutStatus
from streaming.contracts.requests import instance
from streaming.engines.kafka.log import KafkaLog
from tests.e2e.conftest import Machine
from tests.serving.engines.small_models import write_adder

pytestmark = pytest.mark.e2e

TAXI, SECOND = "big_tipper", "second"
ENVOY = "http://127.0.0.1:8500"
CONSTANTS = {1: 11.0, 2: 12.0}


@dataclass
class Clients:
    """Ask a model through Envoy, one request after the other, until the end."""

    model: str
    row: Any
    answers: Counter[str] = field(default_factory=Counter)
    """Status codes, or the kind of an exception."""
    errors: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        path, body = f"/v1/models/{self.model}:predict", json.dumps({"instances": [self.row]})
        with httpx.Client(base_url=ENVOY, timeout=10.0) as client:
            while not self._end.wait(0.03):
                try:
                    response = client.post(path, content=body)  # httpx itself writes no NaN
                    outcome, text = str(response.status_code), response.text
                except httpx.HTTPError as error:
                    outcome, text = type(error).__name__, str(error)
                self.answers[outcome] += 1
                if outcome != "200":
                    self.errors.append(f"{outcome} {text[:200]}")

    @contextlib.contextmanager
    def asking(self) -> Iterator[Clients]:
        """For the length of a `with`."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()


@pytest.fixture(scope="module")
def taxi(kept: Machine) -> Iterator[Clients]:
    """Clients of the taxi model, from before the second one comes until after it has gone."""
    features = Deployment.load(kept.profile).contract(TAXI).features
    row = instance(features, {"fare": 12.5, "payment_type": "Cash"})
    # The tests before may have stopped the servers a moment ago.
    kept.wait(lambda: answers_twenty_times(row), seconds=180)
    with Clients(TAXI, row).asking() as clients:
        yield clients


def answers_twenty_times(row: Any) -> bool:
    """Whether twenty predictions of the taxi model in succession are answered."""
    path, body = f"/v1/models/{TAXI}:predict", json.dumps({"instances": [row]})
    with httpx.Client(base_url=ENVOY, timeout=10.0) as client:
        for _ in range(20):
            try:
                if client.post(path, content=body).status_code != httpx.codes.OK:
                    return False
            except httpx.HTTPError:
                return False
            time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def both(kept: Machine, taxi: Clients) -> Iterator[Machine]:
    """The stack with both models; afterwards with the taxi model alone."""
    before = kept.profile.read_text()
    settings = yaml.safe_load(before)
    settings["models"][SECOND] = {
        "module": "retrain.models.big_tipper",
        "events": {"topic": "second.trips", "key": "trip_id", "time": "event_time"},
        "labels": {"topic": "second.tips", "key": "trip_id"},
        "rollout": {
            "steps": [25, 50, 100],
            "hold": "5s",
            "approval": "before-canary",
            "shadow": {"enabled": False},
            "gates": {"slow": "compare"},
        },
        "version_labels": {"first": 1},
    }
    kept.profile.write_text(yaml.safe_dump(settings, sort_keys=False))
    kept.run("up")
    yield kept
    kept.profile.write_text(before)
    kept.run("up")


def publish(machine: Machine, number: int) -> None:
    """Put a version into the store and on the log, as the retrain worker does."""
    folder = write_adder(machine.home / "second-model" / str(number), CONSTANTS[number])
    now = time.time()
    record = ModelVersion(
        record_id=f"second-{number}-{now}",
        model=SECOND,
        at=now,
        version=number,
        request_id=f"second-request-{number}",
        artifact=Artifact(uri="", digest=""),
        base_version=number - 1,
        blessed=True,
        reason="made by a test",
        evaluation=(),
        components=(),
        training_rows=1,
        window_start=0.0,
        window_end=now,
        load_seconds=0.1,
        warm_predict_seconds=0.01,
    )
    store = FolderStore(machine.home / "demo-stack" / "artifacts" / "models")
    with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
        log.append([store.publish(record, folder)])


def answer_of_second(label: str = "") -> float:
    """What the second model answers to 0; 0 if it gives no answer."""
    path = f"/v1/models/{SECOND}{label and f'/labels/{label}'}:predict"
    response = httpx.post(f"{ENVOY}{path}", json={"instances": [0.0]}, timeout=10.0)
    if response.status_code != httpx.codes.OK:
        return 0.0
    return float(response.json()["predictions"][0])


def live(machine: Machine, model: str) -> int:
    promotion = machine.run("models")[model]
    return int(promotion["version"]) if promotion else 0


def phase(machine: Machine) -> str:
    status = machine.run("rollout", "status", SECOND)["status"]
    return str(status["phase"]) if status else ""


def pid_of(machine: Machine, process: str) -> int:
    try:
        return machine.pid(process)
    except FileNotFoundError:
        return 0


def test_the_servers_of_the_first_model_go_on_while_a_second_one_is_added(
    kept: Machine, taxi: Clients, request: pytest.FixtureRequest
) -> None:
    roles = ("stable", "control", "canary")
    before = {role: kept.pid(f"model-{role}") for role in roles}
    envoy = kept.pid("envoy")
    machine: Machine = request.getfixturevalue("both")
    assert {role: machine.pid(f"model-{role}") for role in roles} == before
    assert machine.pid("envoy") == envoy
    processes = {entry["name"]: entry for entry in machine.run("status", expect=None)["processes"]}
    for role in (*roles, "labelled"):
        assert processes[f"model-{role}.{SECOND}"]["health"] == "ready"
    assert taxi.errors == []


def test_its_first_version_goes_live_beside_the_taxi_model(both: Machine, taxi: Clients) -> None:
    taxi_version = live(both, TAXI)
    publish(both, 1)
    both.wait(lambda: phase(both) == "awaiting-approval", seconds=120)
    assert live(both, SECOND) == 0
    both.run("rollout", "approve", SECOND, "--yes", "--reason", "the first one")
    both.wait(lambda: live(both, SECOND) == 1, seconds=180)
    both.wait(lambda: answer_of_second() == CONSTANTS[1], seconds=30)
    both.wait(lambda: answer_of_second("first") == CONSTANTS[1], seconds=30)
    assert live(both, TAXI) == taxi_version
    assert taxi.errors == []


def test_its_canary_is_approved_counted_and_killed_without_an_error_of_either_model(
    both: Machine, taxi: Clients
) -> None:
    publish(both, 2)
    both.wait(lambda: phase(both) == "awaiting-approval", seconds=240)
    with Clients(SECOND, 0.0).asking() as second:
        both.run("rollout", "approve", SECOND, "--yes", "--reason", "tried in a test")
        both.wait(any_weight, seconds=120)
        both.wait(lambda: canary_requests(SECOND) > 20, seconds=60)
        labels = ("first", "stable", "canary")
        assert [answer_of_second(label) for label in labels] == [11.0, 11.0, 12.0]
        both.kill(f"model-canary.{SECOND}")
        both.wait(lambda: pid_of(both, f"model-canary.{SECOND}") > 0, seconds=60)
        both.run("rollout", "abort", SECOND, "--yes", "--reason", "seen enough")
        both.wait(lambda: phase(both) in ("idle", ""), seconds=120)
        both.wait(lambda: answer_of_second() == CONSTANTS[1], seconds=30)
    assert second.errors == []
    assert second.answers["200"] > 100
    assert live(both, SECOND) == 1
    assert taxi.errors == []
    assert canary_requests("other") == 0


def any_weight() -> bool:
    """Whether the second model's canary had a share of the requests."""
    with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
        for span in log.spans(topics.ROLLOUTS.name):
            for message in log.read(span):
                record = decode(message.value) if message.value else None
                if isinstance(record, RolloutStatus) and record.model == SECOND and record.weight:
                    return True
    return False


def canary_requests(model: str) -> float:
    """Requests of a model's canary, as Prometheus counts them."""
    query = (
        'sum(envoy_cluster_upstream_rq_completed{envoy_cluster_name=~"canaryfb_.+",'
        f'model="{model}"}})'
    )
    answer = httpx.get(
        "http://127.0.0.1:9090/api/v1/query", params={"query": query}, timeout=5.0
    ).json()
    return float(answer["data"]["result"][0]["value"][1]) if answer["data"]["result"] else 0.0


def test_a_model_that_is_taken_out_leaves_no_server_and_disturbs_nobody(
    both: Machine, taxi: Clients, tmp_path: Path
) -> None:
    settings = yaml.safe_load(both.profile.read_text())
    settings["local"]["served_models"] = [TAXI]
    both.profile.write_text(yaml.safe_dump(settings, sort_keys=False))
    both.run("up")
    names = {entry["name"] for entry in both.run("status", expect=None)["processes"]}
    assert not any(name.endswith(f".{SECOND}") for name in names)
    refused = httpx.post(f"{ENVOY}/v1/models/{SECOND}:predict", json={"instances": [0.0]})
    assert (refused.status_code, "serves big_tipper" in refused.text) == (404, True)
    both.wait(lambda: not pid_of(both, f"model-stable.{SECOND}"), seconds=30)
    assert taxi.errors == []
    assert taxi.answers["200"] > 500
