"""The decision on a version is made again from its evaluation and the recorded rules."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from retrain.blessing import BlessingRules, bless
from retrain.learning_curve import enough_rows
from retrain.margins import rows_needed
from retrain.ports import AFTER_SHIFT_SLICE, OnProgress, TrainingJob, TrainingResult
from retrain.recompute import recompute_blessing, recompute_insufficient, recompute_rows
from streaming.contracts.recomputed import rules_in_force
from streaming.contracts.records import (
    Artifact,
    Metric,
    ModelVersion,
    OffsetRange,
    RetrainFailure,
    RetrainRequest,
    RowRules,
    RowSelection,
    RowsProbe,
    RulesInForce,
    SmallFit,
    TrainingRows,
)
from tests.retrain.builders import request as built_request
from tests.retrain.test_blessing import GOOD, auc, diff
from tests.retrain.worker_environment import FakeTrainer, WorkerEnvironment

RULES = BlessingRules(floor=0.62)
RECORD = rules_in_force("blessing", RULES, model="m", code="1.0+abc", at=1.0)


def request(*, shift: bool) -> RetrainRequest:
    spans = (OffsetRange(topic="t", partition=0, start=0, stop=1),)
    return RetrainRequest(
        record_id="request",
        model="m",
        at=0.0,
        cause="drift" if shift else "manual",
        reason="",
        events=spans,
        labels=(),
        window_start=0.0,
        window_end=1.0,
        base_version=1,
        deadline=9.0,
        after_shift=spans if shift else (),
    )


def version(metrics: tuple[Metric, ...], *, champion: bool, shift: bool) -> ModelVersion:
    must_win = AFTER_SHIFT_SLICE if shift else None
    blessing = bless(metrics, RULES, has_champion=champion, must_win=must_win)
    return ModelVersion(
        record_id="version",
        model="m",
        at=2.0,
        caused_by=("request",),
        version=2,
        request_id="request",
        artifact=Artifact(uri="x", digest="d"),
        base_version=int(champion),
        blessed=blessing.blessed,
        reason=blessing.reason,
        evaluation=metrics,
        components=(),
        training_rows=1,
        window_start=0.0,
        window_end=1.0,
        load_seconds=0.1,
        warm_predict_seconds=0.1,
        rules_digest=RECORD.digest,
    )


def find(digest: str) -> RulesInForce | None:
    return RECORD if digest == RECORD.digest else None


@given(value=st.floats(0.5, 0.99), champion=st.booleans(), shift=st.booleans())
def test_each_decision_is_equal(value: float, champion: bool, shift: bool) -> None:
    metrics = (auc(value), *GOOD[1:]) if champion else (auc(value),)
    trained = version(metrics, champion=champion, shift=shift)
    result = recompute_blessing(trained, request(shift=shift), find)
    assert (result.outcome, result.code) == ("equal", "1.0+abc")


def test_a_version_that_was_blessed_against_the_rules_is_named() -> None:
    refused = version((auc(0.61),), champion=False, shift=False)
    assert not refused.blessed
    result = recompute_blessing(replace(refused, blessed=True), request(shift=False), find)
    assert result.outcome == "differs"
    assert [entry.field for entry in result.differences] == ["blessed"]


def test_what_is_not_recorded_says_so() -> None:
    trained = version(GOOD, champion=True, shift=True)
    cases = {
        "does not name the rules": (replace(trained, rules_digest=""), request(shift=True)),
        "are not on the log": (replace(trained, rules_digest="0" * 24), request(shift=True)),
        "request is not on the log": (trained, None),
        "real server": (
            replace(trained, reason="Not blessed: it took 9.0 s to become available."),
            request(shift=True),
        ),
    }
    for reason, (recorded, answered) in cases.items():
        result = recompute_blessing(recorded, answered, find)
        assert result.outcome == "missing"
        assert reason.split()[-1] in result.reason


@given(value=st.floats(-0.01, 0.02), rows=st.integers(1, 100_000))
def test_an_insufficient_evaluation_is_computed_again(value: float, rows: int) -> None:
    metrics = (*GOOD[:3], diff(value, 0.025, on=AFTER_SHIFT_SLICE))
    blessing = bless(metrics, RULES, has_champion=True)
    assert blessing.outcome == "insufficient"
    recorded = RetrainFailure(
        record_id="failure",
        model="m",
        at=2.0,
        request_id="request",
        component="Blessing",
        reason=blessing.reason,
        advice="",
        outcome="insufficient",
        rows=rows,
        rows_needed=rows_needed(rows, blessing.growth),
        evaluation=metrics,
        rules_digest=RECORD.digest,
    )
    assert recompute_insufficient(recorded, request(shift=True), find).outcome == "equal"
    better = replace(recorded, evaluation=GOOD)
    changed = recompute_insufficient(better, request(shift=True), find)
    assert [entry.field for entry in changed.differences] == ["reason", "outcome", "rows_needed"]
    assert recompute_insufficient(recorded, None, find).outcome == "missing"


def test_rules_of_an_older_release_are_not_applied_as_if_they_were_todays() -> None:
    old = msgspec.json.decode(RECORD.text)
    del old["smallest_gain"]
    record = rules_in_force("blessing", old, model="m", code="0.9+abc", at=1.0)
    trained = replace(version(GOOD, champion=True, shift=True), rules_digest=record.digest)
    result = recompute_blessing(trained, request(shift=True), lambda digest: record)
    assert (result.outcome, result.code) == ("missing", "0.9+abc")
    assert "older release" in result.reason


class JudgingTrainer(FakeTrainer):
    """Judges by rules, and hands them on."""

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        blessing = bless(GOOD, RULES, has_champion=True, must_win=None)
        return dataclasses.replace(
            super().train(job, on_progress),
            metrics=GOOD,
            blessed=blessing.blessed,
            reason=blessing.reason,
            blessing_rules=msgspec.json.encode(RULES).decode(),
        )


def test_the_worker_writes_the_rules_before_the_version(tmp_path: Path) -> None:
    environment = WorkerEnvironment(tmp_path)
    environment.trainer = JudgingTrainer()
    worker, _ = environment.worker()
    sent = replace(built_request(), after_shift=())
    environment.requests.put(sent)
    assert worker.run_once(0.0) == "published"
    rules = {
        r.digest: r for r in environment.records("rules-in-force") if isinstance(r, RulesInForce)
    }
    (published,) = environment.versions()
    assert recompute_blessing(published, sent, rules.get).outcome == "equal"


def test_a_learning_curve_is_extrapolated_again_from_its_fits() -> None:
    fits = tuple(SmallFit(rows=n, score=0.9 - 5.0 / n, error=0.001) for n in (250, 500, 1000, 2000))
    decision = enough_rows(fits, rows=2_000, smallest_gain=0.02, factor=2.0, seed=3)
    probe = RowsProbe(
        outcome=decision.outcome, reason=decision.reason, rows=2_000, fits=fits,
        smallest_gain=0.02, factor=2.0, seed=3, gain=decision.gain, low=decision.low,
        high=decision.high,
    )  # fmt: skip
    selection = RowSelection(
        rows=2_500, duplicates=0, capped_rows=0, capped_entities=0, after_shift=2_500, history=(),
        train=2_000, evaluated=500, by_entity=True, too_old=0, digest="d",
    )  # fmt: skip
    recorded = TrainingRows(
        record_id="t", model="m", at=1.0, request_id="r1", rules=RowRules(),
        selection=selection, probe=probe,
    )  # fmt: skip
    assert recompute_rows(recorded, selection).outcome == "equal"
    changed = replace(recorded, probe=replace(probe, outcome="more"))
    assert recompute_rows(changed, selection).outcome == "differs"
    other = replace(selection, train=1_999)
    assert recompute_rows(recorded, other).outcome == "differs"
