"""What is copied to MLflow; and that MLflow takes it, where its environment is installed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from deploy.config.paths import InstallPaths, install_paths
from deploy.runs.mlflow_export import ExportFailed, aliases, document, export
from deploy.setup import mlflow as mlflow_setup
from retrain.run_view import Run, RunArtifact, RunCurve, RunEvent
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import Metric
from tests.deploy.runs.test_find_and_compare import run


def event(kind: str, outcome: str, at: float) -> RunEvent:
    return RunEvent(kind=kind, outcome=outcome, at=at, reason="", record_id="")  # type: ignore[arg-type]


PROMOTED = event("promotion", "promoted", 5.0)


def version(number: int, *history: RunEvent, blessed: bool = True) -> Run:
    stored = RunArtifact(kind="driftline.PublishedModel", uri=f"file:///m/{number}")
    return run(number, history=history, blessed=blessed, artifacts=(stored,), state="published")


@pytest.mark.parametrize(
    ("runs", "champion", "challenger"),
    [
        ((version(1),), 0, 1),
        ((version(1, PROMOTED), version(2)), 1, 2),
        ((version(1, PROMOTED), version(2, blessed=False)), 1, 0),
        ((version(1, PROMOTED), version(2, event("canary", "fail", 6.0))), 1, 0),
        ((version(1, PROMOTED), version(2, event("promotion", "promoted", 7.0))), 2, 0),
        (
            (
                version(1, PROMOTED, event("promotion", "rolled-back", 9.0)),
                version(2, event("promotion", "promoted", 7.0), event("canary", "fail", 8.0)),
            ),
            1,
            0,
        ),
    ],
)
def test_the_aliases_follow_promotions_and_blessings(
    runs: tuple[Run, ...], champion: int, challenger: int
) -> None:
    assert aliases(runs, "taxi") == {"champion": champion, "challenger": challenger}


def test_the_document_has_curves_intervals_and_names_that_mlflow_takes() -> None:
    metric = Metric(name="auc", slice="pay:Cash é<>", value=0.9, low=0.8, high=0.95)
    chosen = run(1, metrics=(metric,), curve=RunCurve(loss=(0.5, None, 0.4)), at=2.0)
    (copied,) = document([chosen], [chosen], tracking_uri="sqlite:///x", experiment="e")["runs"]
    points = {(m["key"], m["step"]): m["value"] for m in copied["metrics"]}
    assert points["auc/pay.Cash é__", 0] == 0.9
    assert points["auc/pay.Cash é___low", 0] == 0.8
    assert [key for key in points if key[0] == "loss"] == [("loss", 1), ("loss", 3)]
    assert copied["params"]["learning_rate"] == "0.01"
    json.dumps(copied)


def test_without_its_environment_the_next_command_is_named(tmp_path: Path) -> None:
    paths = InstallPaths(opt=tmp_path, python=tmp_path / "python")
    with pytest.raises(ConfigurationError, match=r"deploy\.setup mlflow"):
        export([run(1)], [run(1)], tracking_uri="sqlite:///x", experiment="e", paths=paths)


@pytest.mark.engine
def test_mlflow_has_each_run_once_with_its_aliases(tmp_path: Path) -> None:
    paths = install_paths()
    if not mlflow_setup.python(paths).exists():
        pytest.skip("MLflow's environment is not installed: python -m deploy.setup mlflow")
    first, second = version(1, PROMOTED), version(2)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    copied = [
        export(runs, (first, second), tracking_uri=uri, experiment="e", paths=paths)
        for runs in ((second, first), (first, second), (second,))
    ]
    assert copied[0] == copied[1]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)
        registered = database.execute(
            "SELECT a.alias, t.value FROM registered_model_aliases a JOIN model_version_tags t"
            " ON t.version = a.version AND t.key = 'driftline.version' ORDER BY a.alias"
        ).fetchall()
        assert registered == [("challenger", "2"), ("champion", "1")]
        numbers = database.execute(
            "SELECT version, value FROM model_version_tags WHERE key = 'driftline.version'"
        ).fetchall()
        assert all(str(number) == ours for number, ours in numbers), "MLflow's number is ours"
        losses = database.execute("SELECT count(*) FROM metrics WHERE key = 'loss'").fetchone()
        assert losses == (4,)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    uri = f"sqlite:///{blocked}/mlflow.db"
    with pytest.raises(ExportFailed, match="no run is copied twice"):
        export((first,), (first,), tracking_uri=uri, experiment="e", paths=paths)
