"""The runs of a deployment as a command reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.runs.places import metadata_place, run_files
from streaming.contracts.errors import NotFoundError, TemporaryError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from retrain.engines.mlmd.graph import Graph
    from retrain.run_view import Run


def read_all(
    deployment: Deployment, model: str = "", *, complete: bool = True
) -> tuple[tuple[Run, ...], str]:
    """The runs, newest request first, and why they may be behind the log; empty if they are not.

    Parameters
    ----------
    model:
        Only the runs of this model; empty = all.
    complete:
        Whether artifacts are read as well.

    Raises
    ------
    UnavailableError
        When ML Metadata cannot be used.
    """
    from retrain.engines.mlmd.connection import open_store, reached
    from retrain.engines.mlmd.graph import Graph
    from retrain.engines.mlmd.run_reader import read_runs

    place = metadata_place(deployment)
    store = open_store(place)
    behind = reached(place, lambda: _caught_up(deployment, Graph(store)))
    return reached(place, lambda: read_runs(store, model=model, complete=complete)), behind


def _caught_up(deployment: Deployment, graph: Graph) -> str:
    """Record what is new on the log; returns why it could not be, in one sentence."""
    from deploy.runs.recorder import Recorder

    recorder = Recorder(graph, run_files(deployment), log_name=deployment.bootstrap)
    try:
        with deployment.log() as log:
            recorder.catch_up(log)
    except TemporaryError as error:
        return f"What happened since may be missing: {error}"
    return ""


def log_folder(run: Run) -> Path:
    """The folder of a run's TensorBoard files.

    Raises
    ------
    NotFoundError
        When it has none, or they were removed.
    """
    folder = Path(run.logs) if run.logs else None
    if folder is None or not folder.is_dir():
        raise NotFoundError(
            f"Run {run.run_id} has no TensorBoard files: it trained no net, or they were removed"
            " (metadata.keep_runs). `driftline runs list` shows the runs."
        )
    return folder


def read_recorded(deployment: Deployment, run_id: str) -> Run | None:
    """One run as ML Metadata has it now; the log is not read. None when it does not have it.

    Raises
    ------
    UnavailableError
        When ML Metadata cannot be used.
    """
    from retrain.engines.mlmd.connection import open_store, reached
    from retrain.engines.mlmd.run_reader import read_recorded_run

    place = metadata_place(deployment)
    if isinstance(place, Path) and not place.exists():
        return None  # to open it would make it
    store = open_store(place)
    return reached(place, lambda: read_recorded_run(store, run_id))
