"""A version's reference: its windows merged, with the day variance of the days before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from deploy.daemon import window_history
from deploy.daemon.reference_publisher import ReferenceHistory, WindowReferencePublisher
from deploy.daemon.window_history import SupersededError
from serving.ports import PublishedReference
from streaming.baseline import Season
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode_as, record_in
from streaming.contracts.log import MemoryLog, Message, RecordLog
from streaming.contracts.records import (
    AnyRecord,
    Artifact,
    Cause,
    ModelVersion,
    OffsetRange,
    ReferenceSummary,
    WindowSummary,
)
from streaming.engines.artifact_store import ArtifactStore
from tests.streaming.days_data import CONTRACT, FEATURES, history

DAY = 86_400.0


def version(first_day: int, last_day: int, cause: Cause = "manual") -> ModelVersion:
    return ModelVersion(
        record_id="v",
        model=CONTRACT.model,
        at=last_day * DAY,
        version=3,
        request_id="r",
        artifact=Artifact(uri="x", digest="y"),
        base_version=0,
        blessed=True,
        reason="",
        evaluation=(),
        components=(),
        training_rows=1,
        window_start=first_day * DAY,
        window_end=last_day * DAY,
        load_seconds=0.0,
        warm_predict_seconds=0.0,
        cause=cause,
    )


def published(folder: Path, of: ModelVersion, *, days: bool = True) -> ReferenceSummary:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append(history(10, 0.05))
    store = ArtifactStore(folder)
    histories = {CONTRACT.model: ReferenceHistory(contract=CONTRACT, season="none")}
    references = WindowReferencePublisher(log=log, store=store, days=histories if days else {})
    assert references.published(of) is None
    artifact = references.publish(of)
    assert artifact is not None
    assert references.published(of) == PublishedReference(version=of.version, artifact=artifact)
    assert references.publish(of) == artifact
    return decode_as(store.get(artifact), ReferenceSummary)


def test_the_day_variance_is_estimated_from_the_days_before(tmp_path: Path) -> None:
    reference = published(tmp_path, version(7, 9))
    assert reference.rows == 2 * 4 * 1_500
    assert reference.day_variance is not None
    assert (reference.day_variance.days, reference.day_variance.features) == (9, FEATURES)
    # sqrt(1.5) of 0.05: the reference is of two days
    assert 0.05 < reference.day_variance.location < 0.08


def test_after_a_drift_only_the_days_since_then_count(tmp_path: Path) -> None:
    assert published(tmp_path, version(7, 9, "drift")).day_variance is None
    since_the_drift = published(tmp_path / "b", version(2, 9, "drift")).day_variance
    assert since_the_drift is not None
    assert since_the_drift.days == 7


def test_nothing_is_estimated_when_the_settings_give_the_variance(tmp_path: Path) -> None:
    assert published(tmp_path, version(7, 9), days=False).day_variance is None


def days_of_models(models: int) -> MemoryLog:
    """Ten days of windows of several models, interleaved as a job writes them."""
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    for window in history(10, 0.05):
        for number in range(models):
            name = CONTRACT.model if number == 0 else f"{CONTRACT.model}{number}"
            log.append([replace(window, model=name, record_id=f"{window.record_id}-{name}")])
    return log


@pytest.mark.parametrize("season", ["none", "hour-of-day"])
def test_only_windows_of_the_model_and_its_history_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, season: Season
) -> None:
    decoded: list[WindowSummary] = []

    def counting(data: bytes | None) -> AnyRecord | None:
        record = record_in(data)
        assert isinstance(record, WindowSummary)
        decoded.append(record)
        return record

    monkeypatch.setattr(window_history, "record_in", counting)
    histories = {CONTRACT.model: ReferenceHistory(contract=CONTRACT, season=season)}
    references = WindowReferencePublisher(
        log=days_of_models(4),
        store=ArtifactStore(tmp_path),
        days=histories,
        seasons={} if season == "none" else histories,
    )
    assert references.publish(version(7, 9)) is not None
    assert {window.model for window in decoded} == {CONTRACT.model}
    assert len(decoded) == 2 * 4 + 9 * 4  # the days trained on, and once the history


def test_other_models_change_nothing_in_a_reference(tmp_path: Path) -> None:
    stored = []
    for models in (1, 4):
        store = ArtifactStore(tmp_path / str(models))
        days = {CONTRACT.model: ReferenceHistory(contract=CONTRACT, season="hour-of-day")}
        references = WindowReferencePublisher(
            log=days_of_models(models), store=store, days=days, seasons=days
        )
        artifact = references.publish(version(7, 9))
        assert artifact is not None
        stored.append(store.get(artifact))
    assert stored[0] == stored[1]


def test_messages_before_the_history_are_not_even_read(tmp_path: Path) -> None:
    clock = ManualClock(0.0)
    log = MemoryLog(clock=clock)
    log.ensure(topics.RECORD_TOPICS)
    for window in history(10, 0.05):
        clock.advance(window.window_end - clock.now())
        log.append([window])
    reads: list[OffsetRange] = []
    references = WindowReferencePublisher(
        log=cast("RecordLog", ReadingLog(log, reads)), store=ArtifactStore(tmp_path)
    )
    assert references.publish(version(7, 9)) is not None
    assert [(span.start, span.stop) for span in reads] == [(7 * 4, 10 * 4)]


class ReadingLog:
    """A log that notes what is read."""

    def __init__(self, log: MemoryLog, reads: list[OffsetRange]) -> None:
        self._log = log
        self._reads = reads

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        return self._log.spans(topic, since=since)

    def read(self, span: OffsetRange) -> Iterator[Message]:
        self._reads.append(span)
        return self._log.read(span)


def test_a_reference_built_again_from_other_windows_leaves_the_first_one(tmp_path: Path) -> None:
    log, store = days_of_models(1), ArtifactStore(tmp_path)
    first = WindowReferencePublisher(log=log, store=store).publish(version(7, 9))
    late = replace(history(9, 0.05)[-1], record_id="late")
    log.append([late])
    second = WindowReferencePublisher(log=log, store=store).publish(version(7, 9))
    assert first is not None
    assert second is not None
    assert first.uri != second.uri
    assert store.get(first) != store.get(second)
    assert WindowReferencePublisher(log=log, store=store).publish(version(7, 9)) == second


def test_a_superseded_build_ends_at_the_next_message(tmp_path: Path) -> None:
    references = WindowReferencePublisher(
        log=days_of_models(1), store=ArtifactStore(tmp_path), superseded=lambda: True
    )
    with pytest.raises(SupersededError):
        references.publish(version(7, 9))
    assert not list(tmp_path.rglob("*.json"))
