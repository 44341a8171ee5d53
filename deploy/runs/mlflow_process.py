"""Copies runs to MLflow: the body of a process in MLflow's own environment.

It is run as a file by that environment's interpreter, so it imports MLflow and the standard library
and nothing of Driftline. Standard input has JSON: ``{"tracking_uri", "experiment", "runs": [...]}``
(`mlflow_export.document`); the last line of standard output has the result.

A run is found again by its tag, and changed rather than copied twice. MLflow refuses to change a
parameter, so those of an existing run are left alone.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TAG = "driftline.run_id"
MAX_TEXT = 500
"""Longest value of a parameter that every store of MLflow takes."""


def main() -> None:
    """Copy the runs of the document on standard input."""
    document = json.load(sys.stdin)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=document["tracking_uri"])
    experiment = client.get_experiment_by_name(document["experiment"])
    experiment_id = (
        experiment.experiment_id
        if experiment is not None
        else client.create_experiment(document["experiment"])
    )
    copied = [_copy(client, experiment_id, run) for run in document["runs"]]
    for name, aliases in document["aliases"].items():
        _set_aliases(client, name, aliases)
    sys.stdout.write(json.dumps({"runs": copied}) + "\n")


def _copy(client: Any, experiment_id: str, run: dict[str, Any]) -> dict[str, Any]:
    from mlflow.entities import Metric, Param, RunTag

    existing = client.search_runs(
        [experiment_id], f"tags.`{TAG}` = {_quoted(run['run_id'])}", max_results=1
    )
    if existing:
        run_id, known = existing[0].info.run_id, set(existing[0].data.params)
    else:
        tags = {TAG: run["run_id"]}
        created = client.create_run(
            experiment_id, start_time=run["start_ms"], run_name=run["name"], tags=tags
        )
        run_id, known = created.info.run_id, set()
    client.log_batch(
        run_id,
        metrics=[
            Metric(each["key"], each["value"], each["ms"], each["step"]) for each in run["metrics"]
        ],
        params=[
            Param(key, value[:MAX_TEXT]) for key, value in run["params"].items() if key not in known
        ],
        tags=[RunTag(key, value) for key, value in run["tags"].items()],
    )
    client.set_terminated(run_id, status=run["status"], end_time=run["end_ms"])
    if run["version"]:
        _register(client, run, run_id)
    return {"run_id": run["run_id"], "mlflow_run_id": run_id}


def _register(client: Any, run: dict[str, Any], run_id: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(run["model"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"driftline.version": str(run["version"]), "driftline.digest": run["digest"]}
    if _version_of(client, run["model"], run["version"]) is None:
        client.create_model_version(run["model"], source=run["uri"], run_id=run_id, tags=tags)


def _version_of(client: Any, model: str, version: int) -> str | None:
    """MLflow's number of a version; MLflow numbers versions itself."""
    versions = client.search_model_versions(f"name = {_quoted(model)}", max_results=1000)
    number = str(version)
    return next((v.version for v in versions if v.tags.get("driftline.version") == number), None)


def _set_aliases(client: Any, model: str, aliases: dict[str, int]) -> None:
    for alias, version in aliases.items():
        number = _version_of(client, model, version) if version else None
        if number is not None:
            client.set_registered_model_alias(model, alias, number)
        elif alias in _aliases_of(client, model):
            client.delete_registered_model_alias(model, alias)


def _quoted(text: str) -> str:
    """A text in a filter; MLflow knows no escapes, and no id of Driftline has a quote."""
    return "'" + text.replace("'", "").replace("\\", "") + "'"


def _aliases_of(client: Any, model: str) -> dict[str, Any]:
    from mlflow.exceptions import MlflowException

    try:
        return dict(client.get_registered_model(model).aliases)
    except MlflowException:
        return {}


if __name__ == "__main__":
    main()
