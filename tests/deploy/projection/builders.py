"""Records and logs for the tests of the projection."""

from __future__ import annotations

from pathlib import Path

from deploy.projection.feed import catch_up
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import ProjectionWriter
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Artifact, DriftVerdict, FeatureVerdict, Promotion


def verdict(
    number: int, *, model: str = "m", caused_by: tuple[str, ...] = (), outcome: str = "stable"
) -> DriftVerdict:
    """The verdict on window `number` of a model, with one feature."""
    return DriftVerdict(
        record_id=f"verdict-{model}-{number:06}",
        model=model,
        at=60.0 * number,
        caused_by=caused_by,
        window_start=60.0 * (number - 1),
        window_end=60.0 * number,
        outcome=outcome,  # type: ignore[arg-type]
        reason=f"window {number}",
        rows=100,
        offsets=(),
        reference_id="",
        reference_version=1,
        features=(
            FeatureVerdict(
                feature="fare",
                outcome="stable",
                reason="",
                n=100,
                effect=0.1,
                p=0.5,
                p_limit=0.01,
                hits=0,
                of=5,
                tests=(),
                limit_sd=0.4,
            ),
        ),
    )


def promotion(version: int, *, model: str = "m", caused_by: tuple[str, ...] = ()) -> Promotion:
    """The promotion of a version."""
    return Promotion(
        record_id=f"promotion-{model}-{version:04}",
        model=model,
        at=1000.0 * version,
        caused_by=caused_by,
        version=version,
        replaced=version - 1,
        change="promoted",
        reason="every gate passed",
        artifact=Artifact(uri="file:///x", digest="d"),
        reference=None,
        window_start=0.0,
        window_end=1.0,
    )


def projected(log: MemoryLog, folder: Path) -> ProjectionReader:
    """Feed a projection with everything that the log has, and open it."""
    writer = ProjectionWriter(folder)
    try:
        catch_up(log, writer)
    finally:
        writer.close()
    return ProjectionReader(folder)
