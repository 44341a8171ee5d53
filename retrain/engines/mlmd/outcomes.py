"""Writes what became of a run, from the records of the log: version, failure, canary, promotion.

Each record is one node with the record's id (a rollout's verdicts are one node with the rollout's
id), so records may come again and in any number of writers.
"""

from __future__ import annotations

import shutil
from typing import Any

import msgspec
from ml_metadata.proto import metadata_store_pb2 as mlmd

from retrain.engines.mlmd.attempts import RUN, as_json, attempts_of, mark_removed, put_run
from retrain.engines.mlmd.graph import Graph, number_of, text_of
from retrain.engines.run_files import RunFiles, plain_name
from streaming.contracts.records import (
    CanaryVerdict,
    ModelVersion,
    Promotion,
    RetrainFailure,
    RetrainRequest,
)

PUBLISH, FAILURE = "driftline.Publish", "driftline.Failure"
CANARY, PROMOTE = "driftline.Canary", "driftline.Promote"
"""Types of executions."""
PUBLISHED = "driftline.PublishedModel"
CANARY_VERDICT, PROMOTION = "driftline.CanaryVerdict", "driftline.Promotion"
"""Types of artifacts."""

RunRecord = RetrainRequest | ModelVersion | RetrainFailure | CanaryVerdict | Promotion


class OutcomeWriter:
    """Writes records into ML Metadata.

    Parameters
    ----------
    graph:
        ML Metadata.
    files:
        Where the files of runs are kept.
    """

    def __init__(self, graph: Graph, files: RunFiles) -> None:
        self._graph, self._files = graph, files

    def write(self, record: RunRecord) -> None:
        """Write one record; one about a version that is not known is left out."""
        match record:
            case RetrainRequest():
                put_run(self._graph, record, self._files)
            case ModelVersion():
                self._version(record)
            case RetrainFailure():
                self._failure(record)
            case CanaryVerdict():
                self._canary(record)
            case Promotion():
                self._promotion(record)

    def _version(self, record: ModelVersion) -> None:
        graph = self._graph
        run = self._run_of(record)
        attempts = attempts_of(graph, run)
        trained = _trained_model(graph, attempts)
        if trained is not None:
            trained.uri, trained.state = record.artifact.uri, mlmd.Artifact.LIVE
            trained.custom_properties["driftline_version"].int_value = record.version
            graph.store.put_artifacts([trained])
        properties: dict[str, str | int | float] = {
            "model": record.model,
            "request_id": record.request_id,
            "version": record.version,
            "digest": record.artifact.digest,
            "blessed": int(record.blessed),
            "reason": record.reason,
            "rows": record.training_rows,
            "schema_version": record.schema_version,
            "schema_digest": record.schema_digest,
            "at": float(record.at),
            "metrics": as_json(record.evaluation),
            "components": as_json(record.components),
        }
        published = graph.artifact(
            PUBLISHED,
            version_name(record.model, record.version),
            record.artifact.uri,
            properties,
            contexts=[run, *attempts[:1]],
        )
        graph.execution(
            PUBLISH,
            record.record_id,
            properties,
            contexts=[run, *attempts[:1]],
            inputs=[("model", trained)] if trained is not None else [],
            outputs=[("published", published)],
        )
        self._clean(record.model, run)

    def _failure(self, record: RetrainFailure) -> None:
        run = self._run_of(record)
        self._graph.execution(
            FAILURE,
            record.record_id,
            {
                "model": record.model,
                "outcome": record.outcome,
                "component": record.component,
                "reason": record.reason,
                "advice": record.advice,
                "rows": record.rows,
                "at": float(record.at),
                "metrics": as_json(record.evaluation),
            },
            contexts=[run],
            failed=True,
        )
        self._clean(record.model, run)

    def _canary(self, record: CanaryVerdict) -> None:
        published = self._published(record.model, record.version)
        if published is None:
            return
        graph, run_id = self._graph, text_of(published, "request_id")
        known = graph.store.get_execution_by_type_and_name(CANARY, record.rollout_id)
        if known is not None and number_of(known, "at") > record.at:
            return
        file = self._write(record, run_id, f"canary-{record.rollout_id}.json")
        contexts = self._contexts(run_id)
        properties = _event(record, record.outcome)
        verdict = graph.artifact(
            CANARY_VERDICT, record.rollout_id, file, properties, contexts=contexts
        )
        graph.execution(
            CANARY,
            record.rollout_id,
            properties,
            contexts=contexts,
            inputs=[("published", published)],
            outputs=[("verdict", verdict)],
        )

    def _promotion(self, record: Promotion) -> None:
        published = self._published(record.model, record.version)
        if published is None:
            return
        graph, run_id = self._graph, text_of(published, "request_id")
        contexts = self._contexts(run_id)
        file = self._write(record, run_id, f"promotion-{record.record_id}.json")
        properties = _event(record, record.change)
        promotion = graph.artifact(PROMOTION, record.record_id, file, properties, contexts=contexts)
        verdicts = [
            artifact
            for context in contexts
            for artifact in graph.store.get_artifacts_by_context(context.id)
            if artifact.type == CANARY_VERDICT and number_of(artifact, "at") <= record.at
        ]
        newest = sorted(verdicts, key=lambda artifact: number_of(artifact, "at"))[-1:]
        graph.execution(
            PROMOTE,
            record.record_id,
            properties,
            contexts=contexts,
            inputs=[("published", published), *(("verdict", each) for each in newest)],
            outputs=[("promotion", promotion)],
        )

    def _run_of(self, record: ModelVersion | RetrainFailure) -> Any:
        """The run's context; a request that the log no longer has is known by its id alone."""
        context = self._graph.store.get_context_by_type_and_name(RUN, record.request_id)
        return context or self._graph.context(
            RUN, record.request_id, {"model": record.model, "at": float(record.at)}
        )

    def _contexts(self, run_id: str) -> list[Any]:
        context = self._graph.store.get_context_by_type_and_name(RUN, run_id)
        return [] if context is None else [context]

    def _published(self, model: str, version: int) -> Any:
        return self._graph.store.get_artifact_by_type_and_name(
            PUBLISHED, version_name(model, version)
        )

    def _write(self, record: CanaryVerdict | Promotion, run_id: str, name: str) -> str:
        content = msgspec.json.encode(record)
        return str(self._files.write(record.model, run_id, plain_name(name), content))

    def _clean(self, model: str, run: Any) -> None:
        """Apply the policy to the model's runs, and mark what is gone, of this run as well."""
        graph, contexts = self._graph, [*attempts_of(self._graph, run), run]
        for folder in self._files.superfluous(model, self._in_force(model)):
            _, run_id, *_ = folder.relative_to(self._files.root).parts
            shutil.rmtree(folder, ignore_errors=True)
            cleaned = graph.store.get_context_by_type_and_name(RUN, run_id)
            if cleaned is not None:
                contexts += [*attempts_of(graph, cleaned), cleaned]
        for context in contexts:
            mark_removed(graph, graph.store.get_artifacts_by_context(context.id))

    def _in_force(self, model: str) -> list[str]:
        """The runs of the version that is live and of the one before it."""
        promotions = [
            artifact
            for artifact in self._graph.store.get_artifacts_by_type(PROMOTION)
            if text_of(artifact, "model") == model
        ]
        promotions.sort(key=lambda artifact: number_of(artifact, "at"), reverse=True)
        numbers = dict.fromkeys(int(number_of(each, "version")) for each in promotions)
        published = [self._published(model, number) for number in [*numbers][:2]]
        return [text_of(artifact, "request_id") for artifact in published if artifact is not None]


def version_name(model: str, version: int) -> str:
    """Name of the artifact of a published version.

    >>> version_name("taxi", 2)
    'taxi/2'
    """
    return f"{model}/{version}"


def _event(record: CanaryVerdict | Promotion, outcome: str) -> dict[str, str | int | float]:
    return {
        "model": record.model,
        "version": record.version,
        "outcome": outcome,
        "reason": record.reason,
        "at": float(record.at),
        "record_id": record.record_id,
    }


def _trained_model(graph: Graph, attempts: list[Any]) -> Any:
    """The model that the newest attempt with one trained; None without any."""
    for attempt in attempts:
        executions = graph.store.get_executions_by_context(attempt.id)
        trainers = [each.id for each in executions if each.type.endswith("Trainer")]
        events = graph.store.get_events_by_execution_ids(trainers) if trainers else []
        outputs = [event.artifact_id for event in events if event.type == mlmd.Event.OUTPUT]
        artifacts = graph.store.get_artifacts_by_id(outputs) if outputs else []
        models = [artifact for artifact in artifacts if artifact.type == "Model"]
        if models:
            return models[-1]
    return None
