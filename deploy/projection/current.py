"""Where a deployment's projection lies, and one that is up to date for a command."""

from __future__ import annotations

import re
from pathlib import Path

from deploy.projection import database
from deploy.projection.feed import TOPICS, catch_up
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import ProjectionWriter
from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.log import RecordLog


def projection_folder(home: Path, bootstrap: str) -> Path:
    """Folder of the projection of one log; another log has another one.

    >>> projection_folder(Path("state"), "kafka-1:9092,kafka-2:9092").name
    'kafka-1_9092_kafka-2_9092'
    """
    return home / "projection" / re.sub(r"[^A-Za-z0-9.-]", "_", bootstrap)


def current_reader(home: Path, bootstrap: str, log: RecordLog) -> ProjectionReader | None:
    """The projection with everything that the log has now; None where there is none.

    Without a console, the command itself feeds it what is new. A running console does that, and is
    a fraction of a second behind; where it is further behind the result is None.
    """
    folder = projection_folder(home, bootstrap)
    if not (folder / database.FILE).exists():
        return None
    try:
        writer = ProjectionWriter(folder)
    except Conflict:
        return _if_complete(folder, log)
    try:
        catch_up(log, writer)
    finally:
        writer.close()
    return ProjectionReader(folder)


def _if_complete(folder: Path, log: RecordLog) -> ProjectionReader | None:
    try:
        reader = ProjectionReader(folder)
    except NotFoundError:
        return None
    positions = reader.positions()
    spans = [span for name in TOPICS for span in log.spans(name)]
    if all(
        span.start == span.stop or positions.get((span.topic, span.partition), 0) >= span.stop
        for span in spans
    ):
        return reader
    reader.close()
    return None
