"""Past promotions and their references stay reachable when the log has been cleaned."""

from __future__ import annotations

from msgspec.structs import replace

from deploy.records import lineage, reader
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Artifact, Promotion, RolloutStatus
from tests.deploy.records.test_lineage import verdict

DAY = 86_400.0


def promotion(version: int, at: float | None = None) -> Promotion:
    artifact = Artifact(uri=f"file:///references/m/{version}.json", digest=f"d{version}")
    return Promotion(
        record_id=f"promotion-{version}",
        model="m",
        at=float(version) if at is None else at,
        version=version,
        replaced=version - 1,
        change="promoted",
        reason="every gate passed",
        artifact=artifact,
        reference=artifact,
        window_start=0.0,
        window_end=1.0,
    )


def status(number: int, rollout: str = "") -> RolloutStatus:
    return RolloutStatus(
        record_id=f"status-{number}",
        model="m",
        at=float(number),
        rollout_id=rollout,
        version=number,
        champion=1,
        phase="idle",
        weight=0,
        step=0,
        reason="",
        waits_for="",
    )


def cleaned_log() -> MemoryLog:
    """Six promotions over a year, one of them written twice, and a clean-up at the end."""
    clock = ManualClock(1_000_000.0)
    log = MemoryLog(clock=clock)
    log.ensure(topics.RECORD_TOPICS)
    for version in range(1, 7):
        log.append([promotion(version, clock.now()), status(version)])
        log.append([verdict(f"verdict-{version}", clock.now())])
        clock.advance(60 * DAY)
    log.append([promotion(6, 0.0)])
    log.clean()
    return log


def test_compaction_removes_repetitions_and_no_promotion() -> None:
    log = cleaned_log()
    assert [p.version for p in reader.stream(log, Promotion, "m")] == [1, 2, 3, 4, 5, 6]
    assert len(reader.records(log, RolloutStatus, "m")) == 6


def test_windows_verdicts_expire_and_promotions_do_not() -> None:
    log = cleaned_log()
    (span,) = log.spans(topics.DRIFT_VERDICTS.name)
    assert (span.start, span.stop) == (6, 6)
    assert lineage.trace(log, "2", "m").record.record_id == "promotion-2"
    assert lineage.trace(log, "promotion-4", "m").record.record_id == "promotion-4"


def test_the_newest_of_a_model_is_found_from_the_end() -> None:
    log = cleaned_log()
    log.append([replace(promotion(9, 9e9), model="other")])
    (newest,) = reader.newest(log, Promotion, "m", 1, where=lambda p: p.version < 6)
    assert newest.version == 5
    assert reader.newest(log, RolloutStatus, "m", 1)[0].version == 6


def test_offsets_of_a_cleaned_log_have_gaps_and_stay_valid() -> None:
    log = MemoryLog(clock=ManualClock(0.0))
    log.ensure(topics.RECORD_TOPICS)
    log.append([promotion(1), promotion(2), promotion(1), promotion(3)])
    log.clean()
    (span,) = log.spans(topics.PROMOTIONS.name)
    assert [(m.offset, m.key) for m in log.read(span)] == [
        (1, b"m/promotion-2"),
        (2, b"m/promotion-1"),
        (3, b"m/promotion-3"),
    ]
    log.append([promotion(4)])
    assert [m.offset for m in log.read(replace(span, start=3, stop=9))] == [3, 4]
