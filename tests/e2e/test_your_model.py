"""The circle of users' own models, as docs/your-model.md says, beside the taxi model.

It goes on with the stack that a demonstration has left. The three examples are added: a binary
model, a regression and one of four classes. Their files are replayed together, then one after the
other with a shift: a canary and a promotion of each. The broker is killed under the first replays,
and the stack is taken down under the last one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from streaming.contracts import topics
from streaming.contracts.codec import record_in
from streaming.contracts.records import AnyRecord, DriftVerdict, RetrainRequest
from streaming.engines.kafka.log import KafkaLog
from tests.e2e.conftest import PROJECT, Machine

pytestmark = pytest.mark.e2e

SHIFTS = {
    "demand": ("rentals.csv", "temperature=+25"),
    "churn": ("customers.csv", "tenure=*-1"),  # counted down instead of up
    "support": ("tickets.csv", "product=pro"),
}
"""The file of each example, and the change that its model has to learn anew."""
BOOTSTRAP = "127.0.0.1:9092"
SPEED = "400"
QUICK = {
    "rollout": {
        "steps": [50, 100],
        "hold": "5s",
        "approval": "never",
        "deadline": "5m",
        "bake": "5s",
    },
}
"""What differs from the settings that `driftline init` writes: fewer steps, no waiting."""


@dataclass(frozen=True)
class Project:
    """A model on the stack, and its file."""

    machine: Machine
    model: str
    data: Path
    shift: str
    key: str
    """The field of events and labels that identifies them."""

    @contextlib.contextmanager
    def replay(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Play the file until the test ends it; none goes on after a test that fails."""
        file = str(self.data)
        replay = self.machine.start(
            "replay", file, "--model", self.model, "--speed", SPEED, "--for", "20m", *words
        )
        try:
            yield replay
        finally:
            if replay.poll() is None:
                replay.send_signal(signal.SIGTERM)
                replay.communicate(timeout=60)

    def wait_for_version(self, version: int, replay: subprocess.Popen[str], seconds: float) -> None:
        """Wait until a version is live, as long as the replay plays."""

        def is_live() -> bool:
            assert replay.poll() is None, ended(replay)
            shown = self.machine.run("models", expect=None) or {}  # Kafka may be away
            return (shown.get(self.model) or {}).get("version") == version

        self.machine.wait(is_live, seconds=seconds)

    def records(self, topic: str) -> list[AnyRecord]:
        """The model's records of a topic."""
        with contextlib.closing(KafkaLog(BOOTSTRAP)) as log:
            every = [
                record_in(message.value) for span in log.spans(topic) for message in log.read(span)
            ]
        return [record for record in every if record is not None and record.model == self.model]

    def causes(self) -> list[str]:
        """Why each retrain was asked for."""
        requests = self.records(topics.RETRAIN_REQUESTS.name)
        return [request.cause for request in requests if isinstance(request, RetrainRequest)]

    def stable_windows(self, version: int) -> int:
        """Windows that were found stable against a version's reference."""
        return sum(
            isinstance(record, DriftVerdict)
            and record.outcome == "stable"
            and record.reference_version == version
            for record in self.records(topics.DRIFT_VERDICTS.name)
        )

    def keys(self, topic: str) -> list[str]:
        """The key of each event or label that was sent."""
        with contextlib.closing(KafkaLog(BOOTSTRAP)) as log:
            return [
                json.loads(message.value or b"")[self.key]
                for span in log.spans(f"{self.model}.{topic}")
                for message in log.read(span)
            ]


def ended(replay: subprocess.Popen[str]) -> tuple[int, Any, str]:
    """Exit code, result and messages of a replay that has ended or is about to."""
    printed, messages = replay.communicate(timeout=60)
    return replay.returncode, json.loads(printed) if printed.strip() else None, messages


def stopped(replay: subprocess.Popen[str]) -> Any:
    """The counts of a replay that is ended as Ctrl-C ends it."""
    replay.send_signal(signal.SIGINT)
    code, counts, messages = ended(replay)
    assert code == 0, messages
    return counts


@pytest.fixture(scope="module")
def projects(kept: Machine) -> Iterator[dict[str, Project]]:
    """The examples' packages in one folder; their models are added to the running stack.

    The taxi model stays, but its traffic ends: two processors are few for four models.
    """
    kept.traffic_ends()
    folder = kept.home / "your-models"
    before = kept.profile.read_text()
    settings = yaml.safe_load(before)
    settings["code"] = str(folder)
    for model in SHIFTS:
        example = PROJECT / "examples" / model
        shutil.copytree(example / model, folder / model)
        subprocess.run([sys.executable, example / "generate.py", folder], check=True)
        own = yaml.safe_load((example / "driftline.yaml").read_text())["models"][model]
        settings["models"][model] = {**own, **QUICK}
    kept.profile.write_text(yaml.safe_dump(settings, sort_keys=False))
    kept.run("up")
    kept.run("job", "update")
    keys = {model: settings["models"][model]["events"]["key"] for model in SHIFTS}
    yield {
        model: Project(kept, model, folder / file, shift, keys[model])
        for model, (file, shift) in SHIFTS.items()
    }
    kept.profile.write_text(before)


def test_replays_of_files_make_first_versions_though_the_broker_is_killed(
    projects: dict[str, Project],
) -> None:
    demand = projects["demand"]
    with contextlib.ExitStack() as playing:
        replays = {
            model: playing.enter_context(project.replay()) for model, project in projects.items()
        }
        demand.machine.wait(lambda: len(demand.keys("labels")) > 500, seconds=60)
        demand.machine.kill("kafka")
        for model, project in projects.items():
            project.wait_for_version(1, replays[model], seconds=400)
        for project in projects.values():
            project.machine.wait(partial(has_two_stable_windows, project), seconds=240)
        counts = {model: stopped(replay) for model, replay in replays.items()}
    for model, project in projects.items():
        assert counts[model]["events"] > 4000
        events = project.keys("events")
        assert len(set(events)) == counts[model]["events"]
        assert set(project.keys("labels")) <= set(events)
        # hours that share a temperature are no drift, nor are a file's repeated rows
        assert project.causes() == ["initial"], model


def has_two_stable_windows(project: Project) -> bool:
    """Whether two windows were stable against the first version's reference."""
    return project.stable_windows(1) >= 2


@pytest.mark.parametrize("model", SHIFTS)
def test_a_shift_is_found_retrained_on_and_promoted(
    projects: dict[str, Project], model: str
) -> None:
    project = projects[model]
    with project.replay("--shift", project.shift) as replay:
        project.wait_for_version(2, replay, seconds=400)
        counts = stopped(replay)
    assert counts["errors"] == 0, counts["first_error"]
    assert counts["requests"] > 500
    assert counts["predictions"] > 500
    assert project.causes() == ["initial", "drift"]
    kinds = causes_of(project.machine.run("trace", "2", "--model", model))
    assert kinds[0] == "promotion"
    assert {"retrain-request", "drift-verdict"} <= set(kinds)


def causes_of(trace: Any) -> list[str]:
    """The kinds of the records along a trace's first causes."""
    kinds = [trace["record"]["kind"]]
    while trace["causes"]:
        trace = trace["causes"][0]
        kinds.append(trace["record"]["kind"])
    return kinds


def test_a_replay_ends_when_the_stack_is_taken_down_and_goes_on_later(
    projects: dict[str, Project],
) -> None:
    demand = projects["demand"]
    machine = demand.machine
    before = set(demand.keys("events"))
    with demand.replay("--again", "1") as replay:
        machine.wait(lambda: len(set(demand.keys("events")) - before) > 1000, seconds=60)
        machine.run("down", "--yes")
        began = time.time()
        code, failed, messages = ended(replay)
    assert time.time() - began < 20.0
    assert code == 8, messages
    assert "taken down" in failed["error"]["message"]
    assert "driftline up" in failed["error"]["message"]
    machine.run("up", "--only", "kafka")
    until_down = set(demand.keys("events"))
    with demand.replay("--again", "1") as replay:
        machine.wait(lambda: len(set(demand.keys("events")) - until_down) > 1000, seconds=90)
        counts = stopped(replay)
    sent = set(demand.keys("events"))
    # what was on its way when Kafka went down is sent again, under the same keys
    assert len(sent - until_down) <= counts["events"]
    numbers = sorted(int(key.partition(".")[0]) for key in sent - before)
    assert numbers == list(range(len(numbers))), "no row of the file is left out"
