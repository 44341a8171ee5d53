"""The whole loop on the real stack while its parts are killed, one at a time.

A watcher follows the log and kills parts with -9 at the worst moments. Before version 2 reaches
clients the run waits for an engineer, who decides in a browser. The demonstration itself checks the
result: it counts every event and every client request.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.records import (
    AnyRecord,
    ApprovalOutcome,
    Command,
    DriftVerdict,
    RetrainProgress,
    RetrainRequest,
    RolloutStatus,
)
from streaming.engines.kafka.log import KafkaLog
from tests.e2e.conftest import Machine
from tests.e2e.person import REASON, Person

pytestmark = pytest.mark.e2e

WATCHED = (
    topics.DRIFT_VERDICTS,
    topics.RETRAIN_REQUESTS,
    topics.RETRAIN_PROGRESS,
    topics.ROLLOUTS,
)


@dataclass
class Killer:
    """Kills each part once, when a certain record appears."""

    machine: Machine
    killed: dict[str, float] = field(default_factory=dict)
    judged: int = 0

    def watch(self, stop: Callable[[], bool]) -> None:
        with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
            while not all(log.spans(topic.name) for topic in WATCHED):
                if stop():
                    return
                time.sleep(0.2)  # they are created soon after the broker has started
            for message in log.follow([topic.name for topic in WATCHED], from_start=True):
                if stop():
                    return
                if message is not None and message.value is not None:
                    self.on_record(decode(message.value))

    def on_record(self, record: AnyRecord) -> None:
        match record:
            case DriftVerdict(reference_version=1):
                self.judged += 1
                if self.judged == 1:
                    self.kill("flink-taskmanager")
                if self.judged == 2:
                    self.kill("labels")
            case RetrainRequest(cause="drift"):
                self.kill("daemon")
            case RetrainProgress(component="StatisticsGen", state="started") if self.judged:
                self.kill("worker")
            case RolloutStatus(phase="stepping", weight=weight, champion=1) if weight > 0:
                self.kill("prometheus")
                if weight >= 25:
                    self.kill("model-canary")
            case RolloutStatus(phase="baking", champion=1):
                self.kill("python-worker")
            case _:
                pass

    def kill(self, victim: str) -> None:
        if victim in self.killed:
            return
        self.killed[victim] = time.time()
        if victim == "python-worker":
            self.machine.kill_python_worker()
        else:
            self.machine.kill(victim)


@pytest.fixture(scope="module")
def person(machine: Machine) -> Person:
    return Person(machine)


@pytest.fixture(scope="module")
def run(machine: Machine, person: Person) -> tuple[Machine, Killer, int]:
    killer = Killer(machine)
    demo = machine.demo("--approve")
    wait_for_kafka(machine, demo.poll)
    threads = [
        threading.Thread(target=work, args=(lambda: demo.poll() is not None,))
        for work in (killer.watch, person.approve_when_asked)
    ]
    for thread in threads:
        thread.start()
    code = demo.wait(timeout=1500)
    for thread in threads:
        thread.join(timeout=60)
    return machine, killer, code


def wait_for_kafka(machine: Machine, ended: Callable[[], int | None]) -> None:
    """Wait until the broker of this run is up; the topics are created right after."""
    state = machine.home / "demo-stack" / "run" / "flink-jobmanager.json"
    deadline = time.time() + 240
    while not state.exists():
        assert ended() is None, machine.screen()
        assert time.time() < deadline, "Kafka did not come up."
        time.sleep(0.5)


def test_the_loop_completes(run: tuple[Machine, Killer, int]) -> None:
    machine, _, code = run
    report = machine.report()
    assert report["outcome"] == "passed", f"{report['why']}\n{machine.screen()}"
    assert code == 0
    assert report["promoted_version"] == 2


def test_an_engineer_approved_it_in_the_browser(
    run: tuple[Machine, Killer, int], person: Person
) -> None:
    (command,) = [
        entry
        for entry in records(topics.COMMANDS.name, Command)
        if (entry.action, entry.reason) == ("approve", REASON)
    ]
    (outcome,) = [
        entry
        for entry in records(topics.APPROVAL_OUTCOMES.name, ApprovalOutcome)
        if entry.version == 2
    ]
    assert (outcome.outcome, command.subject) == ("approved", outcome.request_id)
    if person.browser_is_missing:
        pytest.skip(person.browser_is_missing)
    assert command.channel == "console"
    assert person.title == "May version 2 of big_tipper reach clients?"
    assert "drifted" in person.steps
    assert len(person.pictures) >= 2
    assert all(alt and width for alt, width in person.pictures), person.pictures
    assert REASON in person.answered
    assert person.complaints == []


def records(topic: str, kind: type[Any]) -> list[Any]:
    """The records of a kind, in the order of the log."""
    with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
        decoded = [
            decode(message.value) for span in log.spans(topic) for message in log.read(span)
            if message.value
        ]  # fmt: skip
    return [record for record in decoded if isinstance(record, kind)]


def test_every_part_was_killed(run: tuple[Machine, Killer, int]) -> None:
    victims = {
        "flink-taskmanager",
        "labels",
        "daemon",
        "worker",
        "prometheus",
        "model-canary",
        "python-worker",
    }
    assert set(run[1].killed) == victims


def test_there_was_one_retrain_and_no_client_error(run: tuple[Machine, Killer, int]) -> None:
    report = run[0].report()
    assert report["retrains"] == 1
    assert report["canary"]["client_requests"] > 1000
    assert report["canary"]["client_errors"] == 0


def test_no_count_is_lost_or_doubled(run: tuple[Machine, Killer, int]) -> None:
    events = run[0].report()["events"]
    counted = events["accepted"] + events["dead_letters"] + events["late"]
    assert counted == events["offsets_read"] == events["sent"]


def test_the_new_version_is_better_on_the_shifted_traffic(
    run: tuple[Machine, Killer, int],
) -> None:
    first, second = run[0].report()["versions"]
    assert second["auc_on_shift"] >= first["auc_on_shift"] + 0.02
    assert run[0].report()["windows_after_promotion_stable"] >= 3
    assert run[0].report()["false_alarms_before_shift"] == 0


def test_the_commands_show_the_run(run: tuple[Machine, Killer, int]) -> None:
    machine = run[0]
    assert machine.run("models")["big_tipper"]["version"] == 2
    assert [version["version"] for version in machine.run("versions", "big_tipper")] == [1, 2]
    trace = machine.run("trace", "2")
    assert trace["record"]["kind"] == "promotion"
    kinds = []
    while trace["causes"]:
        trace = trace["causes"][0]
        kinds.append(trace["record"]["kind"])
    assert "retrain-request" in kinds
    assert "drift-verdict" in kinds
    assert machine.run("drift", "big_tipper", "--last", "3")[-1]["reference_version"] == 2
    answered = machine.run(
        "predict", "big_tipper", "--rows", '[{"fare": 12.5, "payment_type": "Cash"}]'
    )
    assert 0.0 <= answered["predictions"][0] <= 1.0


def test_labels_were_joined_and_no_verdict_on_them_came_twice(
    run: tuple[Machine, Killer, int],
) -> None:
    machine = run[0]
    deadline = time.time() + 120
    while not (judged := quality_of(2, machine)):  # three looks are the baseline first
        assert time.time() < deadline, machine.run("quality", "big_tipper")
        time.sleep(2.0)
    assert {verdict["outcome"] for verdict in judged} <= {"stable", "suspected"}
    with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
        (span,) = log.spans(topics.QUALITY_VERDICTS.name)
        ids = [decode(message.value or b"").record_id for message in log.read(span)]
    assert len(set(ids)) == len(ids)


def quality_of(version: int, machine: Machine) -> list[dict[str, object]]:
    """The mature windows of a version that were judged."""
    return [
        verdict
        for verdict in machine.run("quality", "big_tipper", "--last", "40")
        if verdict["version"] == version
        and verdict["stage"] == "realised"
        and verdict["outcome"] != "inconclusive"
    ]


def test_every_panel_of_the_dashboard_is_answered(run: tuple[Machine, Killer, int]) -> None:
    from deploy.grafana.check import count_series

    silent = [
        (answer.panel, answer.expr)
        for answer in count_series("http://127.0.0.1:9090")
        if not answer.results
    ]
    assert silent == []


def test_an_unannounced_column_is_accepted_by_an_engineer(
    run: tuple[Machine, Killer, int],
) -> None:
    """On the stack that is still up: found, proposed, accepted, and in force for the next windows.

    The retrain below is trained under it.
    """
    machine = run[0]
    machine.new_column()
    (offer,) = machine.wait(
        lambda: machine.run("schema", "history", "big_tipper")["open"], seconds=120
    )
    assert [(one["act"], one["feature"]) for one in offer["changes"]] == [("add_column", "tolls")]
    machine.run(
        "schema", "accept", offer["proposal_id"], "--yes", "--reason", "the meters report them"
    )
    second = newest_schema(machine)
    assert second["version"] == 2

    def held_against_it() -> Any:
        verdict = machine.run("schema", "check", "big_tipper")
        return verdict if verdict["schema_version"] == 2 else None

    verdict = machine.wait(held_against_it, seconds=90)
    assert (verdict["outcome"], verdict["schema_digest"]) == ("conforms", second["digest"])


def newest_schema(machine: Machine) -> Any:
    """The newest version of the schema, as the command lists it."""
    return machine.run("schema", "history", "big_tipper")["versions"][-1]


def test_two_manual_requests_at_once_run_one_retrain_and_one_canary(
    run: tuple[Machine, Killer, int],
) -> None:
    """On the stack that is still up; the second request is refused."""
    machine = run[0]
    retrain = machine.start("retrain", "big_tipper", "--reason", "a new tariff", "--wait")
    time.sleep(3.0)
    machine.run("retrain", "big_tipper", "--reason", "me too", expect=5)
    printed, screen = retrain.communicate(timeout=300)
    assert retrain.returncode == 0, screen
    third = json.loads(printed)
    assert (third["version"], third["schema_version"]) == (3, 2)
    assert third["schema_digest"] == newest_schema(machine)["digest"]
    assert [version["version"] for version in machine.run("versions", "big_tipper")] == [1, 2, 3]
    machine.wait(
        lambda: (
            machine.run("rollout", "status", "big_tipper")["status"]["phase"] == "awaiting-approval"
        ),
        seconds=120,
    )
    machine.run("rollout", "approve", "big_tipper", "--yes", "--reason", "the new tariff is in it")
    canary = rollout_of(3, machine, seconds=240)
    assert canary.weight > 0
    assert canary.champion == 2


def rollout_of(version: int, machine: Machine, *, seconds: float) -> RolloutStatus:
    """The first step of a version's canary."""
    deadline = time.time() + seconds
    with contextlib.closing(KafkaLog("127.0.0.1:9092")) as log:
        for message in log.follow([topics.ROLLOUTS.name], from_start=True):
            assert time.time() < deadline, machine.screen()
            record = decode(message.value) if message is not None and message.value else None
            if isinstance(record, RolloutStatus) and record.version == version and record.weight:
                return record
    raise AssertionError("The log ended.")
