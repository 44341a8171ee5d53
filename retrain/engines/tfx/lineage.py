"""The lineage of one attempt of the trainer: written before its first node and after its end.

The files that ML Metadata names are kept, because the worker deletes the attempt's folder. A model
that was trained is worth more than its lineage: what cannot be kept is logged, and fails no run.
"""

from __future__ import annotations

from typing import Any

import structlog
from ml_metadata import errors

from retrain.engines.mlmd.attempts import as_json, begin_attempt, end_attempt
from retrain.engines.mlmd.connection import MetadataPlace, open_store, reached
from retrain.engines.mlmd.graph import Graph
from retrain.engines.model_store import folder_digest
from retrain.engines.run_files import RunFiles
from retrain.engines.tfx.warm_files import TRAINING, TRIALS
from retrain.ports import TrainingJob, TrainingResult

log = structlog.get_logger()


class Attempt:
    """One run of the pipeline for a request.

    Parameters
    ----------
    place:
        ML Metadata.
    job:
        The training job.
    attempt_id:
        Name of the pipeline's run.
    files:
        Where files are kept.

    Raises
    ------
    UnavailableError
        When ML Metadata cannot be used: TFX could not start either.
    """

    def __init__(
        self, place: MetadataPlace, job: TrainingJob, attempt_id: str, files: RunFiles
    ) -> None:
        self._job, self._files = job, files
        self._graph = Graph(open_store(place))
        _, self._context = reached(
            place, lambda: begin_attempt(self._graph, job.request, attempt_id, files)
        )
        self._properties: dict[str, str | int | float] = {
            "model": job.request.model,
            "request_id": job.request.record_id,
            "schema_version": job.schema_version,
            "schema_digest": job.schema_digest,
            "rows": job.rows,
            "set_aside": as_json(job.set_aside),
        }

    def trained(self, result: TrainingResult) -> None:
        """Remember the result: hyperparameters, curve, trials, metrics, durations."""
        texts: dict[str, Any] = {"training": TRAINING, "trials": TRIALS}
        for name, file in texts.items():
            path = result.servable / file
            if path.is_file():
                self._properties[name] = path.read_text()
        self._properties |= {
            "outcome": result.reason,
            "digest": folder_digest(result.servable),
            "blessed": int(result.blessed),
            "metrics": as_json(result.metrics),
            "components": as_json(result.components),
        }

    def failed(self, error: Exception) -> None:
        """Remember why it failed."""
        self._properties["outcome"] = f"failed: {error}"

    def end(self) -> None:
        """Write the end, and keep the files."""
        self._properties.setdefault("outcome", "failed")
        try:
            end_attempt(
                self._graph,
                self._context,
                request=self._job.request,
                properties=self._properties,
                work_dir=self._job.work_dir,
                files=self._files,
            )
        except (OSError, errors.StatusError) as error:
            log.warning(
                "trainer.lineage_incomplete",
                run=self._context.name,
                reason=f"{type(error).__name__}: {error}",
            )
