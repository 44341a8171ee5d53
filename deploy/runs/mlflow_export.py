"""Copies runs to MLflow in a process of MLflow's own environment.

MLflow needs other versions of packages than the locked environment has, so it lives in a folder of
its own (`deploy.setup mlflow`, locked with digests) and gets the runs as JSON. Nothing of Driftline
waits for it: what is copied is durable already.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.config.paths import InstallPaths
from deploy.setup import mlflow as mlflow_setup
from retrain.run_view import Run, RunEvent
from streaming.contracts.errors import ConfigurationError, DriftlineError

SCRIPT = Path(__file__).with_name("mlflow_process.py")
SECONDS = 600.0
"""Longest time that an export takes; the first one into a new database makes its tables."""

NEWEST = 20
"""Runs that the worker copies again after each change; older ones change no more."""


class ExportFailed(DriftlineError):
    """MLflow could not take the runs."""


def export(
    runs: Sequence[Run],
    known: Sequence[Run],
    *,
    tracking_uri: str,
    experiment: str,
    paths: InstallPaths,
) -> list[dict[str, str]]:
    """Copy runs; returns each run's id and MLflow's.

    Parameters
    ----------
    runs:
        Those that are copied.
    known:
        All runs of their models, which decide on the aliases.
    tracking_uri, experiment:
        Where MLflow keeps them.
    paths:
        The installation.

    Raises
    ------
    ConfigurationError
        When MLflow's environment is not installed.
    ExportFailed
        When MLflow refuses, or does not answer in time.
    """
    python = mlflow_setup.python(paths)
    if not python.exists():
        raise ConfigurationError(
            "MLflow is not installed: `.venv/bin/python -m deploy.setup mlflow` installs its locked"
            " environment (about 70 MB); then run the command again."
        )
    content = json.dumps(document(runs, known, tracking_uri=tracking_uri, experiment=experiment))
    try:
        process = subprocess.run(
            [python, SCRIPT],
            input=content,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportFailed(
            f"MLflow at {tracking_uri} did not take the runs within {SECONDS:g} s; check the server"
            " and run the command again."
        ) from error
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if line.strip()]
        raise ExportFailed(
            f"MLflow at {tracking_uri} did not take the runs:"
            f" {lines[-1][:300] if lines else f'exit code {process.returncode}'}."
            " Check mlflow.tracking_uri, and run the command again: no run is copied twice."
        )
    result: list[dict[str, str]] = json.loads(process.stdout.splitlines()[-1])["runs"]
    return result


def document(
    runs: Sequence[Run], known: Sequence[Run], *, tracking_uri: str, experiment: str
) -> dict[str, Any]:
    """What the process reads."""
    return {
        "tracking_uri": tracking_uri,
        "experiment": experiment,
        # MLflow numbers versions in the order in which they come.
        "runs": [_run(run) for run in sorted(runs, key=lambda run: run.version)],
        "aliases": {model: aliases(known, model) for model in sorted({run.model for run in runs})},
    }


def aliases(runs: Sequence[Run], model: str) -> dict[str, int]:
    """Versions by alias, 0 where no version has it.

    champion is the version of the newest promotion; challenger the newest blessed version after it,
    unless its canary has failed.
    """
    published = [run for run in runs if run.model == model and run.version]
    promotions = [
        (event.at, run.version)
        for run in published
        for event in run.history
        if event.kind == "promotion"
    ]
    champion = max(promotions)[1] if promotions else 0
    candidates = [
        run.version
        for run in published
        if run.blessed and run.version > champion and not _refused(run.history)
    ]
    return {"champion": champion, "challenger": max(candidates, default=0)}


def _refused(history: Sequence[RunEvent]) -> bool:
    return bool(history) and history[-1].kind == "canary" and history[-1].outcome == "fail"


_STATUS = {"waiting": "SCHEDULED", "running": "RUNNING", "failed": "FAILED"}


def _run(run: Run) -> dict[str, Any]:
    start = round(run.at * 1000)
    seconds = sum(component.seconds for component in run.components)
    end = start + round(seconds * 1000)
    published = next((a for a in run.artifacts if a.kind == "driftline.PublishedModel"), None)
    return {
        "run_id": run.run_id,
        "name": f"{run.model} v{run.version}" if run.version else f"{run.model} {run.run_id[:8]}",
        "model": run.model,
        "version": run.version,
        "digest": run.digest,
        "uri": published.uri if published is not None else "",
        "start_ms": start,
        "end_ms": end,
        "status": _STATUS.get(run.state, "FINISHED"),
        "params": {
            name: str(value) for name, value in {"rows": run.rows, **run.parameters}.items()
        },
        "metrics": [*_metrics(run, end), *_curves(run, start)],
        "tags": {
            "driftline.state": run.state,
            "driftline.cause": run.cause,
            "driftline.reason": run.reason[:500],
            "driftline.outcome": run.outcome[:500],
            "driftline.attempts": str(run.attempts),
            "driftline.offsets": json.dumps(
                [[s.topic, s.partition, s.start, s.stop] for s in (*run.events, *run.labels)]
            ),
        },
    }


def _metrics(run: Run, ms: int) -> list[dict[str, Any]]:
    """The evaluation; ends of intervals are metrics of their own."""
    points = []
    for metric in run.metrics:
        name = metric.name if not metric.slice else f"{metric.name}/{metric.slice}"
        for suffix, value in (("", metric.value), ("_low", metric.low), ("_high", metric.high)):
            if value is not None:
                points.append({"key": _key(name + suffix), "value": value, "ms": ms, "step": 0})
    points += [
        {"key": _key(f"seconds/{c.name}"), "value": c.seconds, "ms": ms, "step": 0}
        for c in run.components
    ]
    return points


def _curves(run: Run, ms: int) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": value, "ms": ms, "step": epoch}
        for name, losses in (("loss", run.curve.loss), ("val_loss", run.curve.val_loss))
        for epoch, value in enumerate(losses, start=1)
        if value is not None
    ]


def _key(name: str) -> str:
    """A name that MLflow takes: letters, digits and ``_ - . / space``.

    >>> _key("auc/payment_type:Cash")
    'auc/payment_type.Cash'
    """
    replaced = name.replace(":", ".")
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in replaced)[:250]


def _environment() -> dict[str, str]:
    dropped = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    # It asks no server but the one that is named.
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
