"""The circle of a user's own model, as docs/your-model.md says, beside the taxi model.

It goes on with the stack that a demonstration has left. `examples/demand`, a regression, is added;
its file is replayed, then replayed with a shift: one retrain, a canary, a promotion. The broker is
killed under the first replay, and the stack is taken down under the last one.
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

MODEL = "demand"
BOOTSTRAP = "127.0.0.1:9092"
SPEED = "400"
QUICK = {
    "retrain": {"cooldown": "5s", "budget": "10 per 1d", "min_labelled_rows": 2000},
    "rollout": {
        "steps": [50, 100],
        "hold": "5s",
        "approval": "never",
        "deadline": "5m",
        "bake": "5s",
    },
}
"""What differs from the settings that `driftline init` writes: fewer rows, fewer steps."""


@dataclass(frozen=True)
class Project:
    """The model on the stack, and its file."""

    machine: Machine
    data: Path

    @contextlib.contextmanager
    def replay(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Play the file until the test ends it; none goes on after a test that fails."""
        replay = self.machine.start(
            "replay", str(self.data), "--model", MODEL, "--speed", SPEED, "--for", "20m", *words
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
            return (shown.get(MODEL) or {}).get("version") == version

        self.machine.wait(is_live, seconds=seconds)


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


def records(topic: str) -> list[AnyRecord]:
    """The model's records of a topic."""
    with contextlib.closing(KafkaLog(BOOTSTRAP)) as log:
        all_records = [
            record_in(message.value) for span in log.spans(topic) for message in log.read(span)
        ]
    return [record for record in all_records if record is not None and record.model == MODEL]


def stable_windows(version: int) -> int:
    """Windows that were found stable against a version's reference."""
    return sum(
        isinstance(record, DriftVerdict)
        and record.outcome == "stable"
        and record.reference_version == version
        for record in records(topics.DRIFT_VERDICTS.name)
    )


def keys(topic: str) -> list[str]:
    """The key of each event or label that was sent."""
    with contextlib.closing(KafkaLog(BOOTSTRAP)) as log:
        return [
            json.loads(message.value or b"")["event_id"]
            for span in log.spans(f"{MODEL}.{topic}")
            for message in log.read(span)
        ]


@pytest.fixture(scope="module")
def project(kept: Machine) -> Iterator[Project]:
    """The example's project in a folder of its own; its model is added to the running stack."""
    folder = kept.home / "your-model"
    shutil.copytree(PROJECT / "examples" / MODEL, folder)
    subprocess.run([sys.executable, folder / "generate.py", folder], check=True)
    before = kept.profile.read_text()
    settings = yaml.safe_load(before)
    own = yaml.safe_load((folder / "driftline.yaml").read_text())["models"][MODEL]
    settings["code"] = str(folder)
    settings["models"][MODEL] = {**own, **QUICK}
    kept.profile.write_text(yaml.safe_dump(settings, sort_keys=False))
    kept.run("up")
    kept.run("job", "update")
    yield Project(kept, folder / "rentals.csv")
    kept.profile.write_text(before)


def test_the_replay_of_a_file_makes_a_first_version_though_the_broker_is_killed(
    project: Project,
) -> None:
    with project.replay() as replay:
        project.machine.wait(lambda: len(keys("labels")) > 500, seconds=60)
        project.machine.kill("kafka")
        project.wait_for_version(1, replay, seconds=400)
        project.machine.wait(lambda: stable_windows(1) >= 2, seconds=240)
        counts = stopped(replay)
    assert counts["events"] > 4000
    assert len(set(keys("events"))) == counts["events"]
    assert set(keys("labels")) <= set(keys("events"))
    causes = [
        r.cause for r in records(topics.RETRAIN_REQUESTS.name) if isinstance(r, RetrainRequest)
    ]
    assert causes == ["initial"], "hours that share a temperature are no drift"


def test_a_shift_is_found_retrained_on_once_and_promoted(project: Project) -> None:
    with project.replay("--shift", "temperature=+25") as replay:
        project.wait_for_version(2, replay, seconds=500)
        counts = stopped(replay)
    assert counts["errors"] == 0, counts["first_error"]
    assert counts["requests"] > 500
    assert counts["predictions"] > 500
    causes = [
        r.cause for r in records(topics.RETRAIN_REQUESTS.name) if isinstance(r, RetrainRequest)
    ]
    assert causes == ["initial", "drift"]
    trace = project.machine.run("trace", "2", "--model", MODEL)
    kinds = [trace["record"]["kind"]]
    while trace["causes"]:
        trace = trace["causes"][0]
        kinds.append(trace["record"]["kind"])
    assert kinds[0] == "promotion"
    assert {"retrain-request", "drift-verdict"} <= set(kinds)


def test_a_replay_ends_when_the_stack_is_taken_down_and_goes_on_later(project: Project) -> None:
    machine = project.machine
    before = set(keys("events"))
    with project.replay("--again", "1") as replay:
        machine.wait(lambda: len(set(keys("events")) - before) > 1000, seconds=60)
        machine.run("down", "--yes")
        began = time.time()
        code, failed, messages = ended(replay)
    assert time.time() - began < 20.0
    assert code == 8, messages
    assert "taken down" in failed["error"]["message"]
    assert "driftline up" in failed["error"]["message"]
    machine.run("up", "--only", "kafka")
    until_down = set(keys("events"))
    with project.replay("--again", "1") as replay:
        machine.wait(lambda: len(set(keys("events")) - until_down) > 1000, seconds=90)
        counts = stopped(replay)
    sent = set(keys("events"))
    # what was on its way when Kafka went down is sent again, under the same keys
    assert len(sent - until_down) <= counts["events"]
    numbers = sorted(int(key.partition(".")[0]) for key in sent - before)
    assert numbers == list(range(len(numbers))), "no row of the file is left out"
