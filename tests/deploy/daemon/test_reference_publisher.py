"""A version's reference: its windows merged, with the day variance of the days before."""

from __future__ import annotations

from pathlib import Path

from deploy.daemon.reference_publisher import ReferenceHistory, WindowReferencePublisher
from serving.ports import PublishedReference
from streaming.contracts import topics
from streaming.contracts.codec import decode_as
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Artifact, Cause, ModelVersion, ReferenceSummary
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
