"""Records runs while a worker serves: what the log says of them reaches ML Metadata in seconds.

It runs in a thread of the worker and never disturbs it: whatever fails is logged, and tried again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from deploy.config.paths import install_paths
from deploy.runs.places import metadata_place, run_files
from streaming.contracts.errors import DriftlineError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

log = structlog.get_logger()

SECONDS = 5.0
"""Time between two looks at the log."""
_LONGEST_SECONDS = 60.0
"""Longest time between two tries after a failure."""
_JOIN_SECONDS = 10.0


@contextmanager
def recorded_runs(deployment: Deployment) -> Iterator[None]:
    """Record what happens to runs for the length of a `with`, and once more at its end."""
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(deployment, stop), name="runs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_JOIN_SECONDS)


def _follow(deployment: Deployment, stop: threading.Event) -> None:
    seconds, again = SECONDS, True
    while again:
        again = not stop.wait(seconds)
        try:
            written = record_now(deployment)
            if written:
                log.info("runs.recorded", records=written)
                copy_to_mlflow(deployment)
            seconds = SECONDS
        except (DriftlineError, OSError) as error:
            log.warning("runs.not_recorded", reason=str(error))
            seconds = min(2 * seconds, _LONGEST_SECONDS)
        except Exception:  # the thread outlives whatever fails
            log.exception("runs.not_recorded")
            seconds = _LONGEST_SECONDS


def record_now(deployment: Deployment) -> int | None:
    """Record everything that is new on the log; None when another process does it.

    Raises
    ------
    TemporaryError
        When ML Metadata or Kafka cannot be used.
    """
    from deploy.runs.recorder import Recorder
    from retrain.engines.mlmd.connection import open_store, reached
    from retrain.engines.mlmd.graph import Graph

    place = metadata_place(deployment)
    graph = Graph(open_store(place))
    recorder = Recorder(graph, run_files(deployment), log_name=deployment.bootstrap)
    with deployment.log() as records:
        return reached(place, lambda: recorder.catch_up(records))


def copy_to_mlflow(deployment: Deployment) -> None:
    """Copy the runs to MLflow where the settings ask for it.

    Raises
    ------
    ConfigurationError
        When MLflow's environment is not installed.
    ExportFailed
        When MLflow does not take them.
    """
    settings = deployment.settings.mlflow
    if not settings.tracking_uri:
        return
    from deploy.runs.mlflow_export import NEWEST, export
    from retrain.engines.mlmd.connection import open_store, reached
    from retrain.engines.mlmd.run_reader import read_runs

    place = metadata_place(deployment)
    known = reached(place, lambda: read_runs(open_store(place)))
    export(
        known[:NEWEST],
        known,
        tracking_uri=settings.tracking_uri,
        experiment=settings.experiment,
        paths=install_paths(),
    )
