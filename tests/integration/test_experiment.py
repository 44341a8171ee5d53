"""An experiment through the log: command, users' predictions and labels, outcome.

The controller, the label service and the routes are real; the applications are simulated, and they
take the version that answers from the split that the router has in force.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from deploy.records import experiments
from serving import handlers
from serving.experiment_rules import ExperimentRules
from serving.ports import ALL_STABLE
from serving.state import RolloutState
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.experiment_assignment import SHARES, user_hash
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Command,
    ExperimentCounts,
    ExperimentStatus,
    Metric,
    OffsetRange,
)
from streaming.contracts.task import BINARY, Task
from streaming.contracts.topics import applications_topic
from streaming.quality import QualityRules
from streaming.quality.service import LabelService
from tests.serving.rollout_simulation import START, RolloutSimulation, quick_rules, version

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)
RULES = ExperimentRules(
    metric="accuracy", minimum_effect=0.1, user_seconds=20.0, label_seconds=10.0, min_users=50
)


@dataclass
class Loop:
    """One model on a log in memory, with 30 requests a second of users who come back."""

    accuracy: dict[int, float]
    """Version → share of its predictions that are right."""
    task: Task = BINARY
    rules: ExperimentRules = RULES
    evaluation: tuple[Metric, ...] = ()
    """What the evaluation of both versions measured."""
    restarts: bool = False
    header: bool = True
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    rng: random.Random = field(default_factory=lambda: random.Random(3))
    requests: int = 0
    read: dict[str, int] = field(default_factory=dict)
    met: dict[str, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log = MemoryLog(clock=self.clock)
        self.log.ensure(
            [*topics.RECORD_TOPICS, *(applications_topic(name, partitions=1) for name in "elp")]
        )
        self.rollout = RolloutSimulation(rules=quick_rules(experiments=self.rules))
        self.rollout.send(version(1)).until_live(1)
        self.clock.advance(self.rollout.now - self.clock.now())
        versions = [replace(version(number), evaluation=self.evaluation) for number in (1, 2)]
        self.log.append([*self.rollout.promotions, *versions])
        self.service = self.start_service()

    def start_service(self) -> LabelService:
        service = LabelService(
            log=self.log, clock=self.clock, contract=CONTRACT,
            rules=QualityRules(task=self.task), predictions_topic="p",
            outcome_of=lambda label: label["won"],
        )  # fmt: skip
        service.start()
        return service

    def start_experiment(self, seconds: float = 600.0) -> None:
        now = self.clock.now()
        plan = experiments.Plan(shares={2: 40.0}, champion_share=None, begin=now, end=now + seconds)
        planned = experiments.define(self.log, "m", plan, self.rules, self.task)
        self.rollout.send(
            Command(
                record_id="start", model="m", at=now, action="start-experiment",
                reason="", who="ann", experiment=planned,
            )
        )  # fmt: skip

    def second(self) -> None:
        self.clock.advance(1.0)
        self.serve_users()
        self.service.step()
        if self.restarts and self.requests % 7 == 0:
            self.service = self.start_service()
        for record in self.unread(ExperimentCounts):
            self.rollout.send(record)
        before = len(self.rollout.records)
        self.rollout.now = self.clock.now() - 1.0
        self.rollout.tick()
        self.log.append(
            [r for r in self.rollout.records[before:] if isinstance(r, ExperimentStatus)]
        )

    def serve_users(self) -> None:
        """30 requests; each gets its version, a prediction is written, and its label."""
        predictions, labels = [], []
        for _ in range(30):
            self.requests += 1
            user = f"user-{self.rng.randrange(3000)}"
            number = self.answered_by(user)
            self.met.setdefault(user, set()).add(number)
            prediction, label = self.drawn(number)
            fields = {
                "id": f"r{self.requests}", "at": self.clock.now(), "version": number,
                "prediction": prediction, "user_id": user,
            }  # fmt: skip
            predictions.append((None, orjson.dumps(fields)))
            labels.append((None, orjson.dumps({"id": fields["id"], "won": label})))
        self.log.append_raw("p", predictions)
        self.log.append_raw("l", labels)

    def drawn(self, number: int) -> tuple[Any, Any]:
        """A prediction of a version, and the label that comes later."""
        won = self.rng.random() < 0.5
        right = self.rng.random() < self.accuracy[number]
        return 0.8 if won == right else 0.2, won

    def answered_by(self, user: str) -> int:
        split = self.rollout.serving.router.split.experiment
        if split is None or not self.header:
            return 1
        position = user_hash(split.salt, user) % SHARES
        for arm in split.arms:
            if position < arm.share:
                return arm.version if arm.arm is not None else 1
            position -= arm.share
        return 1

    def unread(self, kind: type[ExperimentCounts]) -> list[ExperimentCounts]:
        name = topics.TOPIC_OF[kind].name
        (span,) = self.log.spans(name)
        start = self.read.get(name, 0)
        self.read[name] = span.stop
        unread = OffsetRange(topic=name, partition=0, start=start, stop=span.stop)
        records = [decode(message.value) for message in self.log.read(unread) if message.value]
        return [record for record in records if isinstance(record, kind)]

    def until_ended(self, seconds: int = 900) -> ExperimentStatus:
        for _ in range(seconds):
            self.second()
            if self.rollout.state.experiment is None:
                statuses = [r for r in self.rollout.records if isinstance(r, ExperimentStatus)]
                return statuses[-1]
        raise AssertionError(self.rollout.state.experiment)


@pytest.mark.parametrize("restarts", [False, True], ids=["runs-through", "label-service-restarts"])
def test_a_better_version_is_found_from_labels_and_users_keep_their_version(restarts: bool) -> None:
    loop = Loop({1: 0.6, 2: 0.9}, restarts=restarts)
    loop.start_experiment()
    for _ in range(10):
        loop.second()
    loop.met.clear()
    while loop.rollout.serving.router.split.experiment is not None:
        still = {user: set(versions) for user, versions in loop.met.items()}
        loop.second()
    assert max(len(versions) for versions in still.values()) == 1
    last = loop.until_ended()
    assert (last.outcome, last.winner) == ("better", 2)
    assert last.effects[0].difference == pytest.approx(0.3, abs=0.12)
    assert loop.rollout.serving.router.split == ALL_STABLE
    assert loop.rollout.live == 1


def test_applications_that_send_no_header_are_found_out() -> None:
    loop = Loop({1: 0.6, 2: 0.9}, header=False)
    loop.start_experiment()
    last = loop.until_ended()
    assert last.outcome == "error"
    assert "must send the user's header" in last.reason


def test_a_state_that_is_lost_takes_the_experiment_over_from_the_log() -> None:
    from serving.recovery import RolloutHistory, catch_up

    loop = Loop({1: 0.6, 2: 0.9})
    loop.start_experiment()
    for _ in range(10):
        loop.second()
    running = loop.rollout.state.experiment
    assert running is not None
    history = RolloutHistory(
        promotions=loop.rollout.promotions,
        versions=[version(1)],
        experiments=[r for r in loop.rollout.records if isinstance(r, ExperimentStatus)],
    )
    lost = RolloutState(model="m")
    state = catch_up(lost, history, rules=loop.rollout.rules, now=loop.clock.now()).state
    assert state.experiment is not None
    assert state.experiment.definition == running.definition
    loop.rollout.state = state
    observed = handlers.observe(loop.rollout.serving.ports, state, now=loop.clock.now())
    step = handlers.tick(state, observed, rules=loop.rollout.rules, now=loop.clock.now())
    assert [type(action).__name__ for action in step.actions] == []
    assert loop.until_ended().outcome == "better"
