"""The commands of the retrain README for each part of the pipeline, as written, on real trips."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import RECORD_TOPICS
from tests.deploy.cli.builders import MODEL, promotion
from tests.deploy.cli.runner import data, run
from tests.taxi_excerpt import read_rows

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

ROWS = 3_000
STEPS = ("--steps", "200")


@dataclass(frozen=True)
class TrainedHome:
    """A state with version 1, and the rows that it was trained on."""

    home: Path
    rows: Path
    first: Mapping[str, Any]
    """What the command that made version 1 showed."""

    @property
    def root(self) -> Path:
        return self.home / "demo-stack"


def invoke(home: Path, *words: str, log: MemoryLog | None = None) -> Any:
    shown = run(*words, "--json", env={"DRIFTLINE_HOME": str(home)}, log=log)
    assert shown.exit_code == 0, shown.stdout + shown.stderr
    return data(shown)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> TrainedHome:
    folder = tmp_path_factory.mktemp("commands")
    rows = folder / "rows"
    rows.mkdir()
    trips = read_rows()[:ROWS]
    with (rows / "trips.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(trips[0]))
        table.writeheader()
        table.writerows(trips)
    home = folder / "home"
    first = invoke(
        home, "pipeline", "run", MODEL, "--csv", str(rows), "--infer-schema", "--push", *STEPS
    )
    return TrainedHome(home, rows, first)


def nodes(shown: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {node["node"]: node["outputs"] for node in shown["nodes"]}


def auc(shown: Mapping[str, Any]) -> float:
    (metric,) = (m for m in shown["metrics"] if (m["name"], m["slice"]) == ("auc", ""))
    return float(metric["value"])


def test_csv_statistics_schema_validation_and_push(place: TrainedHome) -> None:
    outputs_of = nodes(place.first)
    assert {"CsvExamples", "StatisticsGen", "ExampleValidator", "AnomalyGate"} <= set(outputs_of)
    schema = next(outputs["schema"] for outputs in outputs_of.values() if "schema" in outputs)
    assert [*Path(schema).glob("schema.pbtxt")]
    assert auc(place.first) > 0.85
    assert (place.root / "artifacts" / "models" / MODEL / "1" / "saved_model.pb").is_file()


def test_sharded_input_against_a_version_with_a_search_and_bulk_inference(
    place: TrainedHome,
) -> None:
    shards = nodes(place.first)["CsvExamples"]["examples"]
    shown = invoke(
        place.home, "pipeline", "run", MODEL, "--tfrecord", shards, "--against", "1",
        "--tune", "2", "--parallel", "1", "--bulk", str(place.rows), *STEPS,
    )  # fmt: skip
    outputs_of = nodes(shown)
    assert abs(auc(shown) - auc(place.first)) < 0.03
    assert "auc_diff" in {metric["name"] for metric in shown["metrics"]}, "against version 1"
    trials = Path(outputs_of["Tuner"]["tuner_results"]) / "tuner_results.json"
    assert trials.is_file()
    predicted = next(
        outputs for name, outputs in outputs_of.items() if name.startswith("BulkInferrer")
    )
    assert any(file.stat().st_size for file in Path(predicted["output_examples"]).rglob("*.gz"))


def test_tfx_own_components_give_the_same_model_from_csv(place: TrainedHome) -> None:
    shown = invoke(
        place.home, "pipeline", "run", MODEL, "--csv", str(place.rows), "--engine", "tfx", *STEPS
    )
    assert auc(shown) == pytest.approx(auc(place.first), abs=0.005)
    evaluation = Path(nodes(shown)["Evaluator"]["evaluation"])
    assert (evaluation / "eval_config.json").is_file()


@pytest.mark.parametrize("version", [("--version", "1"), ()], ids=["named", "live"])
def test_many_rows_are_predicted_by_a_published_version(
    place: TrainedHome, tmp_path: Path, version: tuple[str, ...]
) -> None:
    log = MemoryLog()
    log.ensure(RECORD_TOPICS)
    log.append([promotion(1)])
    file, target = place.rows / "trips.csv", tmp_path / "out.parquet"
    words = ("predict", MODEL, "--bulk", str(file), "--to", str(target), *version)
    invoke(place.home, *words, log=log)
    assert parquet.read_metadata(target).num_rows == ROWS


def test_the_pipeline_is_compiled_for_kubeflow(place: TrainedHome, tmp_path: Path) -> None:
    target = tmp_path / "pipeline.yaml"
    shown = invoke(
        place.home, "pipeline", "compile", MODEL, "--csv", "gs://taxi/trips", "--to", str(target),
        "--image", "driftline:1", "--root", "gs://taxi/runs",
    )  # fmt: skip
    assert {"CsvExamples", "Trainer", "Evaluator", "ServingValidator"} <= set(shown["nodes"])
    assert "gs://taxi/trips" in target.read_text()
