"""Commands with models of other tasks: predictions, quality tables, charts, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.views.level_charts import level_bins
from deploy.views.quality_charts import headline, note
from streaming.contracts.log import MemoryLog
from streaming.contracts.quality_records import QualityVerdict
from streaming.contracts.records import Metric
from tests.deploy.cli.builders import MODEL, promotion, version
from tests.deploy.cli.doubles import http_server, replying
from tests.deploy.cli.runner import DEMO, data, run
from tests.streaming.quality.task_populations import (
    MULTICLASS,
    NO_CHANGE,
    SQUARED,
    Change,
    Population,
)
from tests.streaming.quality.test_task_monitor import TaskWorld

TASKS = ("demand", "support")


@pytest.fixture(params=TASKS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return config_of(request.param, tmp_path)


def config_of(name: str, folder: Path) -> Path:
    """The demonstration's configuration, with another model behind its name."""
    text = DEMO.read_text().replace(
        "module: retrain.models.big_tipper", f"module: tests.deploy.task_models.{name}"
    )
    file = folder / "driftline.yaml"
    file.write_text(text)
    return file


def test_the_rules_follow_the_task_of_the_models_code(config: Path) -> None:
    deployment = Deployment.load(config)
    task = deployment.task(MODEL)
    assert task.kind in ("regression", "multiclass")
    assert deployment.quality_rules(MODEL).task == task
    assert deployment.rollout_rules(MODEL).evidence.quality.measure == "loss"
    assert Deployment.load(DEMO).rollout_rules(MODEL).evidence.quality.measure == "auc"


@pytest.mark.parametrize(
    ("name", "answer", "prediction", "column"),
    [
        ("demand", {"predictions": [12.5]}, 12.5, "prediction"),
        ("demand", [12.5], 12.5, "prediction"),
        ("support", [0.25, 0.5, 0.25], [0.25, 0.5, 0.25], "small"),
    ],
)
def test_predictions_are_shown_by_task(
    name: str, answer: Any, prediction: Any, column: str, tmp_path: Path
) -> None:
    file = config_of(name, tmp_path)
    with http_server(lambda method, path, body: (200, {"predictions": [answer]})) as url:
        env = {"DRIFTLINE__ENDPOINTS__ENVOY": url}
        words = ("predict", MODEL, "--rows", '{"fare": 12.5}')
        shown = data(run(*words, "--json", config=file, env=env))
        table = run(*words, config=file, env=env).stdout
    assert shown["predictions"] == [prediction]
    assert column in table


def test_an_answer_of_another_task_is_an_error(tmp_path: Path) -> None:
    file = config_of("support", tmp_path)
    with http_server(lambda method, path, body: (200, {"predictions": [[0.5]]})) as url:
        env = {"DRIFTLINE__ENDPOINTS__ENVOY": url}
        shown = run("predict", MODEL, "--rows", '{"fare": 12.5}', config=file, env=env)
    assert shown.exit_code == 1
    assert "3 numbers" in shown.stderr


def test_an_experiment_compares_the_metric_of_the_task(config: Path) -> None:
    task, log = Deployment.load(config).task(MODEL), MemoryLog()
    words = ("experiment", "start", MODEL, "--arm", "2=20", "--for", "7d", "--yes")
    wrong = run(*words, "--metric", "positives", log=log, config=config)
    assert wrong.exit_code == 2
    assert "metric positives does not fit" in wrong.stderr
    names = ("rmse", "poisson_deviance", "pinball")
    measured = tuple(Metric(name=name, slice="", value=3.0, n=900) for name in names)
    log.append([replace(version(1), evaluation=measured), promotion(1), version(2)])
    with replying(log, result_id="e1") as daemon:
        shown = run(*words, log=log, config=config)
    assert shown.exit_code == 0, shown.stderr
    experiment = daemon.commands[0].experiment
    assert experiment is not None
    expected = (
        ("log_loss", 0.0) if task.classes else ("loss", 9.0 if task.loss == "squared" else 3.0)
    )
    assert (experiment.metric, experiment.loss_scale) == expected
    if task.kind == "regression":
        log.append([replace(version(1), record_id="again", evaluation=())])
        refused = run(*words, log=log, config=config)
        assert refused.exit_code == 2
        assert "has no mean loss above 0" in refused.stderr


@pytest.fixture(scope="module", params=[SQUARED, MULTICLASS], ids=["numbers", "classes"])
def world(request: pytest.FixtureRequest) -> TaskWorld:
    """Ten quiet windows, then four whose labels depart from the predictions."""
    world = TaskWorld(Population(task=request.param))
    for number in range(14):
        world.window(Change(slope=0.2, spread=3.0) if number >= 10 else NO_CHANGE)
    return world


def verdicts_of(world: TaskWorld) -> list[QualityVerdict]:
    return [msgspec.structs.replace(verdict, model=MODEL) for verdict in world.verdicts]


def test_the_table_names_the_measures_of_the_task(world: TaskWorld) -> None:
    log = MemoryLog()
    log.append(verdicts_of(world))
    shown = run("quality", MODEL, log=log)
    assert shown.exit_code == 0, shown.stderr
    expected = (
        ("macro F1", "estimated accuracy", "top 3 accuracy")
        if world.population.task.classes
        else ("RMSE", "mean error", "Not estimated for this task")
    )
    for word in (*expected, "degraded (concept)"):
        assert word in shown.stdout
    assert "AUC" not in shown.stdout


def test_the_chart_is_that_of_the_task(world: TaskWorld, tmp_path: Path) -> None:
    verdicts = verdicts_of(world)
    log, file = MemoryLog(), tmp_path / "quality.svg"
    log.append(verdicts)
    shown = run("quality", MODEL, "--plot", str(file), log=log)
    assert shown.exit_code == 0, shown.stderr
    drawn, is_classes = file.read_text(), bool(world.population.task.classes)
    assert ("Calibration" in drawn) == is_classes
    assert ("Labels above the prediction" in drawn) == (not is_classes)
    moved = "macro F1 of version 1 fell from" if is_classes else "RMSE of version 1 rose from"
    assert headline(verdicts).startswith(moved)
    assert note(verdicts).startswith(moved.split(" of", maxsplit=1)[0])


def test_labels_of_a_biased_model_lie_above_its_predictions() -> None:
    world = TaskWorld(Population(task=SQUARED))
    for _ in range(4):
        world.window(Change(shift=0.5))
    bins = level_bins(world.realised(), "all")
    assert len(bins) == 10
    assert all(row["above"] > 0.5 for row in bins)
    assert [row["level"] for row in bins] == sorted(row["level"] for row in bins)
