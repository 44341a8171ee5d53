"""A version's yardstick: its windows merged, and the wobble of the days before."""

from __future__ import annotations

from pathlib import Path

from deploy.daemon.reference_publisher import SeasonOf, WindowReferences
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
    known = {CONTRACT.model: SeasonOf(contract=CONTRACT, season="none")} if days else {}
    references = WindowReferences(log=log, store=store, days=known)
    artifact = references.publish(of)
    assert artifact is not None
    assert references.publish(of) == artifact
    return decode_as(store.get(artifact), ReferenceSummary)


def test_the_wobble_is_learnt_from_the_days_before(tmp_path: Path) -> None:
    made = published(tmp_path, version(7, 9))
    assert made.rows == 2 * 4 * 1_500
    assert made.wobble is not None
    assert (made.wobble.days, made.wobble.features) == (9, FEATURES)
    assert 0.05 < made.wobble.sd < 0.08  # sqrt(1.5) of 0.05: the yardstick is of two days


def test_after_a_drift_only_the_days_since_then_teach(tmp_path: Path) -> None:
    assert published(tmp_path, version(7, 9, "drift")).wobble is None
    of_the_new_world = published(tmp_path / "b", version(2, 9, "drift")).wobble
    assert of_the_new_world is not None
    assert of_the_new_world.days == 7


def test_nothing_is_learnt_where_the_settings_give_it(tmp_path: Path) -> None:
    assert published(tmp_path, version(7, 9), days=False).wobble is None
