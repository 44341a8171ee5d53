"""Every task through the monitor, from messages to verdicts: judged, restored, computed again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pytest

from streaming.contracts.codec import decode, encode
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.contracts.recomputed import rules_in_force
from streaming.contracts.records import QualityVerdict, RulesInForce
from streaming.quality import QualityMonitor, QualityRules
from streaming.quality.recompute import QualityReplay
from streaming.quality.rows import read_labels, read_predictions
from tests.streaming.quality.quality_world import WINDOW, World, drift_verdict, feed
from tests.streaming.quality.task_populations import (
    MULTICLASS,
    NO_CHANGE,
    POISSON,
    QUANTILE,
    SQUARED,
    Change,
    Population,
)

ROWS = 700
CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)
WORLDS = {
    "classes": (Population(task=MULTICLASS), Change(slope=0.3), "calibration"),
    "numbers": (Population(task=SQUARED, errors="log-normal"), Change(shift=0.6), "bias"),
    "counts": (Population(task=POISSON, errors="counts", sigma=0.5), Change(shift=0.5), "bias"),
    "quantiles": (Population(task=QUANTILE), Change(spread=2.0), "loss"),
}


@dataclass
class TaskWorld:
    """A monitor that is fed with messages, window by window; labels arrive after two seconds."""

    population: Population
    verdicts: list[QualityVerdict] = field(default_factory=list)
    entries: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = QualityRules(
            horizon_seconds=30.0, min_labels=400, grace_seconds=5.0, min_baseline_predictions=1000,
            min_curve_windows=1, task=self.population.task,
        )  # fmt: skip
        self.rng = np.random.default_rng(3)
        self.monitor = self.new_monitor()
        self._feed(World().log[0])  # a promotion of version 1
        self.at = 0.0

    def new_monitor(self) -> QualityMonitor:
        return QualityMonitor(
            model="m", window_seconds=WINDOW, max_out_of_orderness_seconds=1.0, rules=self.rules,
            rules_digest=rules_of(self.rules).digest,
        )  # fmt: skip

    def window(self, change: Change = NO_CHANGE) -> None:
        predictions, outcomes = self.population.draw(self.rng, ROWS, change)
        times = self.at + WINDOW * np.arange(ROWS) / ROWS
        served, labels = [], []
        rows = zip(
            times.tolist(),
            self.population.messages(predictions),
            self.population.labels(outcomes),
            strict=True,
        )
        for number, (at, prediction, label) in enumerate(rows):
            key = f"{self.at}-{number}"
            fields = {"id": key, "at": at, "version": 1, "prediction": prediction}
            served.append(_message(fields, at))
            labels.append(_message({"id": key, "y": label}, at + 2.0))
        task = self.rules.task
        read, rejected = read_predictions(served, CONTRACT, task, now=self.at + WINDOW)
        known, refused = read_labels(labels, CONTRACT, lambda fields: fields["y"], (), task)
        assert not rejected
        assert not refused
        self._feed(read)
        self._feed(known)
        self.at += WINDOW
        self._feed(drift_verdict(self.at, "stable"))
        for second in (2.0, 5.0, 9.0):
            self.verdicts += self.monitor.poll(self.at + second)

    def _feed(self, entry: Any) -> None:
        self.entries.append(entry)
        feed(self.monitor, entry)

    def realised(self) -> list[QualityVerdict]:
        return [verdict for verdict in self.verdicts if verdict.stage == "realised"]


def _message(fields: dict[str, Any], time: float) -> Message:
    value = orjson.dumps(fields)
    return Message(topic="t", partition=0, offset=0, key=None, value=value, time=time)


def rules_of(rules: QualityRules) -> RulesInForce:
    return rules_in_force("quality", rules, model="m", code="1.0", at=0.0)


@pytest.fixture(scope="module", params=WORLDS)
def changed(request: pytest.FixtureRequest) -> tuple[TaskWorld, str]:
    """Ten windows as the predictions say, then eight whose labels depart from them."""
    population, change, metric = WORLDS[request.param]
    world = TaskWorld(population)
    for number in range(18):
        world.window(change if number >= 10 else NO_CHANGE)
    return world, metric


def test_an_unchanged_version_is_stable_and_a_changed_relation_is_concept_drift(
    changed: tuple[TaskWorld, str],
) -> None:
    world, metric = changed
    before = [verdict for verdict in world.realised() if verdict.window_end <= 100.0]
    after = [verdict for verdict in world.realised() if verdict.window_end > 130.0]
    assert [verdict.outcome for verdict in before[3:]] == ["stable"] * len(before[3:])
    assert len(before) > 6
    assert {verdict.outcome for verdict in after} == {"degraded"}
    assert {verdict.cause for verdict in after} == {"concept"}
    exceeded = {entry.name for entry in after[-1].metrics if entry.hits}
    assert metric in exceeded


def test_a_verdict_has_the_measures_of_its_task_with_intervals(
    changed: tuple[TaskWorld, str],
) -> None:
    verdict = changed[0].realised()[5]
    assert verdict.labelled == verdict.predictions == ROWS
    assert all(
        metric.low is not None and metric.low <= metric.value <= (metric.high or 0.0)
        for metric in verdict.metrics
        if metric.name != "ece"
    )
    compared = [metric for metric in verdict.metrics if metric.limit is not None]
    assert len(compared) == 3


def test_estimates_are_made_where_there_is_a_method_and_refused_with_a_reason_elsewhere(
    changed: tuple[TaskWorld, str],
) -> None:
    world, _ = changed
    last = [verdict for verdict in world.verdicts if verdict.stage == "estimated"][8]
    if last.estimated:
        assert [metric.name for metric in last.estimated] == ["accuracy"]
        assert last.assumption_holds
        assert "estimated accuracy" in last.reason
    else:
        assert not last.assumption_holds
        assert last.assumption.startswith("Not estimated for this task: ")
        assert "no estimate" in last.reason


def test_predictions_that_do_not_move_are_no_drift(changed: tuple[TaskWorld, str]) -> None:
    drift = [verdict.prediction_drift for verdict in changed[0].verdicts]
    outcomes = {entry.outcome for entry in drift if entry is not None}
    assert outcomes == {"stable"}


def test_every_verdict_is_computed_again_byte_for_byte_from_its_record(
    changed: tuple[TaskWorld, str],
) -> None:
    world, _ = changed
    record = rules_of(world.rules)
    replay = QualityReplay({record.digest: record}.get, {})
    on_the_log = [decode(encode(verdict)) for verdict in world.verdicts]
    results = [replay.add(v) for v in on_the_log if isinstance(v, QualityVerdict)]
    assert len(results) == len(world.verdicts) > 30
    assert [result for result in results if result.outcome != "equal"] == []


def test_a_restored_monitor_goes_on_with_the_same_verdicts(
    changed: tuple[TaskWorld, str],
) -> None:
    world, _ = changed
    restored = world.new_monitor()
    early = [verdict for verdict in world.verdicts if verdict.window_end <= 120.0]
    for entry in (world.entries[0], *early, *world.entries[1:]):
        feed(restored, entry)
    verdicts = restored.poll(world.at + 9.0)
    expected = {v.record_id: v for v in world.verdicts if v.window_end > 120.0}
    realised = [verdict for verdict in verdicts if verdict.stage == "realised"]
    assert realised
    for verdict in realised:
        assert verdict.outcome == expected[verdict.record_id].outcome
        assert verdict.metrics == expected[verdict.record_id].metrics
