"""`driftline queue`: what is in flight, as the log tells it."""

from __future__ import annotations

import time

from msgspec.structs import replace

from retrain.failures import failure_record
from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import RECORD_TOPICS
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import data, run
from tests.retrain.builders import request


def test_the_queue_shows_what_has_no_outcome() -> None:
    log = MemoryLog()
    log.ensure(RECORD_TOPICS)
    assert "No retrain is queued or running." in run("queue", log=log).stderr
    now = time.time()
    for name in ("done", "next"):
        log.append([replace(request(name, at=now, deadline=now + 600.0), model=MODEL)])
    ended = failure_record(
        "done", model=MODEL, component="Trainer", reason="", advice="", attempt=1, at=now
    )
    log.append([ended])
    (entry,) = data(run("queue", "--json", log=log))
    assert (entry["request_id"], entry["state"]) == ("next", "queued")
    shown = run("queue", log=log, env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "a free worker" in shown.stdout
