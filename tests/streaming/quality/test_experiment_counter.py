"""Users of an experiment: assignment, one observation each, and the same counts after a replay."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import log
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streaming.contracts.experiment_assignment import arm_of, with_id
from streaming.contracts.experiment_records import ExperimentArm
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.records import ExperimentCounts, ExperimentDefinition, ExperimentStatus
from streaming.contracts.task import Task
from streaming.quality import experiment_counter
from streaming.quality.experiment_counter import ExperimentCounter

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)
MADE = with_id(
    ExperimentDefinition(
        experiment_id="",
        arms=(
            ExperimentArm(name="champion", version=1, share=4000),
            ExperimentArm(name="v2", version=2, share=4000),
        ),
        user_header="x-user-id", user_field="user", begin=1000.0, end=5000.0, metric="brier",
        minimum_effect=0.01, alpha=0.05, user_seconds=60.0, label_seconds=30.0, min_users=200,
        errors_pp=1.0, slow_pp=2.0,
    ),
    "m",
)  # fmt: skip
FINAL = 60.0 + 30.0 + experiment_counter.READ_SECONDS


def status(phase: str = "running", at: float = 1000.0, **changes: object) -> ExperimentStatus:
    return replace(
        ExperimentStatus(
            record_id="s", model="m", at=at, definition=MADE, phase=phase, outcome="",  # type: ignore[arg-type]
            winner=0, reason="", started_at=1000.0, stopped_at=None, ends_at=None,
        ),
        **changes,
    )  # fmt: skip


def prediction(
    offset: int, user: object, key: str, *, score: float, time: float, version: int | None = None
) -> Message:
    arm = arm_of(MADE, str(user))
    number = version if version is not None else arm.version if arm is not None else 1
    fields = {"id": key, "at": time, "version": number, "prediction": score, "user": user}
    return message("p", offset, fields, time)


def message(topic: str, offset: int, fields: dict[str, object], time: float) -> Message:
    return Message(
        topic=topic, partition=0, offset=offset, key=None, value=orjson.dumps(fields), time=time
    )


def label(counter: ExperimentCounter, offset: int, key: str, outcome: bool, time: float) -> None:
    counter.add_labels([message("l", offset, {"id": key}, time)], [(key, outcome, time)])


def users_of(name: str, count: int) -> list[str]:
    users = (f"u{number}" for number in range(10_000))
    return [user for user in users if (arm := arm_of(MADE, user)) and arm.name == name][:count]


def started() -> ExperimentCounter:
    counter = ExperimentCounter(contract=CONTRACT)
    counter.follow(status())
    return counter


def counts(counter: ExperimentCounter, now: float) -> ExperimentCounts:
    record = counter.take_due(now)
    assert record is not None
    return record


def test_a_user_counts_once_with_the_mean_over_the_labelled_predictions() -> None:
    counter, (user,) = started(), users_of("v2", 1)
    counter.add_predictions(
        [
            prediction(0, user, "a", score=0.9, time=1010.0),
            prediction(1, user, "b", score=0.5, time=1020.0),
            prediction(2, user, "c", score=0.5, time=1030.0),
            prediction(3, user, "late", score=0.0, time=1090.0),
        ]
    )
    label(counter, 0, "a", True, 1050.0)
    label(counter, 1, "b", False, 1060.0)
    label(counter, 2, "late", True, 1095.0)
    early = counts(counter, 1050.0).arms[1]
    assert (early.users, early.counted, early.predictions) == (1, 0, 4)
    arm = counts(counter, 1010.0 + FINAL).arms[1]
    mean = round((100 + 2500) / 2)
    assert (arm.counted, arm.total, arm.squares) == (1, mean, mean**2)


def test_a_label_that_comes_too_late_does_not_count() -> None:
    counter, (user,) = started(), users_of("champion", 1)
    counter.add_predictions([prediction(0, user, "a", score=0.9, time=1010.0)])
    label(counter, 0, "a", True, 1101.0)
    arm = counts(counter, 1010.0 + FINAL).arms[0]
    assert (arm.counted, arm.unlabelled) == (0, 1)


def test_a_label_may_come_before_its_prediction() -> None:
    counter, (user,) = started(), users_of("champion", 1)
    label(counter, 0, "a", True, 1009.0)
    counter.add_predictions([prediction(0, user, "a", score=0.9, time=1010.0)])
    assert counts(counter, 1010.0 + FINAL).arms[0].counted == 1


def test_the_arm_is_the_assigned_one_and_other_versions_are_noted() -> None:
    counter, (user,) = started(), users_of("v2", 1)
    counter.add_predictions(
        [
            prediction(0, user, "a", score=0.9, time=1010.0, version=1),
            prediction(1, user, "b", score=0.9, time=1011.0),
        ]
    )
    champion, arm = counts(counter, 1020.0).arms
    assert (champion.users, arm.users, arm.predictions, arm.crossed) == (0, 1, 2, 1)


def test_other_users_and_predictions_without_a_user_are_counted_apart() -> None:
    counter = started()
    outside = next(f"u{n}" for n in range(100) if arm_of(MADE, f"u{n}") is None)
    fields = {"id": "x", "at": 1.0, "version": 1, "prediction": 0.5}
    counter.add_predictions(
        [
            prediction(0, outside, "a", score=0.5, time=1010.0),
            message("p", 1, fields, 1011.0),
            message("p", 2, {**fields, "user": ""}, 1012.0),
            message("p", 3, {"user": 5}, 1013.0),
        ]
    )
    record = counts(counter, 1020.0)
    assert (record.outside, record.without_user) == (1, 2)
    assert sum(arm.users for arm in record.arms) == 0


def test_only_predictions_while_users_meet_their_arms_count() -> None:
    counter, (user,) = started(), users_of("v2", 1)
    counter.follow(status("settling", at=2000.0, stopped_at=2000.0))
    counter.add_predictions(
        [
            prediction(0, user, "a", score=0.5, time=999.0),
            prediction(1, user, "b", score=0.5, time=2000.0),
        ]
    )
    assert counts(counter, 2100.0).arms[1].users == 0


def test_no_experiment_costs_nothing_and_one_that_has_ended_is_let_go() -> None:
    counter = ExperimentCounter(contract=CONTRACT)
    counter.add_predictions([prediction(0, "u", "a", score=0.5, time=1010.0)])
    assert counter.take_due(2000.0) is None
    counter.follow(status())
    counter.follow(status("ended", at=1500.0))
    assert counter.replay_since is None
    assert counter.take_due(2000.0) is None


def test_records_of_the_past_do_not_bring_an_earlier_state_back() -> None:
    counter = started()
    counter.follow(status("settling", at=2000.0, stopped_at=2000.0))
    counter.follow(status())
    counter.add_predictions([prediction(0, users_of("v2", 1)[0], "a", score=0.5, time=2500.0)])
    assert counts(counter, 2600.0).arms[1].users == 0


def test_more_users_than_may_be_held_are_not_counted_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(experiment_counter, "MAX_USERS", 3)
    counter = started()
    counter.add_predictions(
        [
            prediction(n, user, f"k{n}", score=0.5, time=1010.0)
            for n, user in enumerate(users_of("v2", 5))
        ]
    )
    record = counts(counter, 1020.0)
    assert (record.arms[1].users, record.full) == (3, True)


def feed(counter: ExperimentCounter, predictions: Sequence[Message], steps: int) -> None:
    size = max(1, len(predictions) // steps)
    for first in range(0, len(predictions), size):
        counter.add_predictions(predictions[first : first + size])


@given(st.integers(0, 10_000), st.integers(1, 7))
@settings(max_examples=20)
def test_a_restart_that_reads_everything_again_gives_the_same_counts(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    predictions, labels = [], []
    for number in range(60):
        time = 1000.0 + number
        user = f"u{rng.randrange(15)}"
        predictions.append(prediction(number, user, f"k{number}", score=rng.random(), time=time))
        if rng.random() < 0.7:
            labels.append((f"k{number}", rng.random() < 0.5, time + rng.uniform(-1, 100)))
    labels.sort(key=lambda row: row[2])
    through = started()
    for offset, row in enumerate(labels):
        before = [entry for entry in predictions if entry.time <= row[2]]
        feed(through, before, steps)
        label(through, offset, *row)
    feed(through, predictions, steps)
    feed(through, predictions, 1)  # a second delivery of everything
    again = started()
    feed(again, predictions, 1)
    for offset, row in enumerate(labels):
        label(again, offset, *row)
    first, second = counts(through, 3000.0), counts(again, 3000.0)
    assert first == second
    assert sum(arm.counted + arm.unlabelled for arm in first.arms) == sum(
        arm.users for arm in first.arms
    )


def test_shares_are_met_and_two_experiments_assign_independently() -> None:
    users = [f"user-{number}" for number in range(20_000)]
    other = with_id(replace(MADE, alpha=0.01), "m")
    first = [arm_of(MADE, user) for user in users]
    second = [arm_of(other, user) for user in users]
    treated = [arm is not None and arm.name == "v2" for arm in first]
    both = sum(a and b is not None and b.name == "v2" for a, b in zip(treated, second, strict=True))
    assert sum(treated) == pytest.approx(8000, abs=4 * (20_000 * 0.24) ** 0.5)
    assert both == pytest.approx(3200, abs=4 * (20_000 * 0.16 * 0.84) ** 0.5)


def test_the_id_follows_from_the_text() -> None:
    assert with_id(MADE, "m") == MADE
    assert with_id(replace(MADE, begin=1000), "m").experiment_id == MADE.experiment_id
    assert with_id(MADE, "n").experiment_id != MADE.experiment_id
    assert with_id(replace(MADE, alpha=0.1), "m").experiment_id != MADE.experiment_id


SUPPORT = Task(kind="multiclass", classes=("a", "b", "c"))
DEMAND = Task(kind="regression", loss="quantile", quantiles=(0.1, 0.5, 0.9))


@pytest.mark.parametrize(
    ("task", "metric", "predicted", "outcome", "expected"),
    [
        (SUPPORT, "log_loss", [0.2, 0.5, 0.3], 1.0, round(-log(0.5) * 10_000)),
        (SUPPORT, "brier", [0.2, 0.5, 0.3], 0.0, 9800),
        (SUPPORT, "accuracy", {"b": 0.9}, 1.0, 10_000),
        (SUPPORT, "accuracy", [0.2, 0.5, 0.3], 2.0, 0),
        (SUPPORT, "log_loss", [1.0, 0.0, 0.0], 2.0, round(-log(1e-6) * 10_000)),
        (Task(kind="regression"), "loss", 3.0, 5.0, 5000),
        (Task(kind="regression"), "loss", 3.0, 1e150, 10_000),
        (Task(kind="regression", loss="poisson"), "loss", 1.0, 0.0, round(2 / 6 * 10_000)),
        (DEMAND, "loss", [1.0, 2.0, 4.0], 2.0, round(0.1 / 4.1 * 10_000)),
    ],
)
def test_a_label_gives_the_metric_of_the_task(
    task: Task, metric: Any, predicted: Any, outcome: float, expected: int
) -> None:
    planned = with_id(replace(MADE, metric=metric, loss_scale=4.0), "m")
    counter = ExperimentCounter(contract=CONTRACT, task=task)
    counter.follow(status(definition=planned))
    user = next(f"u{n}" for n in range(100) if arm_of(planned, f"u{n}"))
    fields = {"id": "a", "at": 1010.0, "version": 1, "prediction": predicted, "user": user}
    refused = fields | {"id": "b", "prediction": "0.5"}
    counter.add_predictions([message("p", 0, refused, 1010.0), message("p", 1, fields, 1010.0)])
    label(counter, 0, "a", outcome, 1050.0)  # type: ignore[arg-type]
    (arm,) = (arm for arm in counts(counter, 1010.0 + FINAL).arms if arm.counted)
    assert (arm.predictions, arm.total, arm.squares) == (1, expected, expected**2)
