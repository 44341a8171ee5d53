"""How old the newest checkpoint of a stream job is, as `driftline status` sees it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from deploy.app.stream_job_states import StreamJobState, _flink_state
from streaming.engines.flink.client import Flink
from tests.deploy.cli.doubles import http_server


def state(started: float, checkpoint: float | None, of: str = "RUNNING") -> StreamJobState:
    """Of a job that started, and completed its newest checkpoint, that many seconds ago."""
    now = time.time()
    job = {"jid": "j", "name": "driftline-all", "state": of, "start-time": (now - started) * 1000}
    latest: dict[str, Any] = {"restored": {"external_path": "file:/old/chk-9"}}
    if checkpoint is not None:
        at = (now - checkpoint) * 1000
        latest["completed"] = {"external_path": "file:/j/chk-1", "latest_ack_timestamp": at}
    checkpoints = {"counts": {"completed": int(checkpoint is not None)}, "latest": latest}

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        pages = {
            "/jobs/overview": {"jobs": [job]},
            "/jobs/j": {**job, "vertices": []},
            "/jobs/j/checkpoints": checkpoints,
        }
        return (200, pages[path]) if path in pages else (404, {})

    with http_server(answer) as url:
        name, age = _flink_state(Flink(url), "driftline-all")
    return StreamJobState(
        name="driftline-all", models=("m",), state=name, expected=True, checkpoint_age=age
    )


@pytest.mark.parametrize(
    ("started", "checkpoint", "stalled"),
    [
        (3600.0, 4.0, False),
        (3600.0, 60.0, True),
        (3600.0, None, True),
        (130.0, None, True),
        (60.0, None, False),
    ],
)
def test_a_job_that_never_completed_a_checkpoint_is_as_stalled_as_one_that_stopped(
    started: float, checkpoint: float | None, stalled: bool
) -> None:
    assert state(started, checkpoint).stalled == stalled


def test_a_job_that_restarts_is_not_stalled() -> None:
    assert not state(3600.0, None, "RESTARTING").stalled
