"""A compiled pipeline: all nodes, no folder of this machine, and each node runs by itself."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.blessing import BlessingRules
from retrain.engines.model_store import FolderStore
from retrain.engines.tfx.pipeline import RetrainPipeline, pipeline
from retrain.ports import ServerCommand
from streaming.contracts.errors import ConfigurationError
from tests.retrain.engines.compiled_nodes import Container, in_a_process, run_nodes
from tests.retrain.engines.taxi_trips import CONTRACT
from tests.retrain.engines.tfx.test_pipeline import write_csv

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

FLINK = ("--runner=PortableRunner", "--job_endpoint=jobserver:8099")


@pytest.fixture(scope="module", autouse=True)
def servers_end() -> Iterator[None]:
    from retrain.engines.tfx.warm_server import SERVERS

    yield
    SERVERS.close()


def new(folder: Path, **options: Any) -> RetrainPipeline:
    return pipeline("big_tipper", root=folder / "root", **options)


def server() -> ServerCommand:
    """That of an image, where ``python`` is the interpreter."""
    command = DriftlineModelServer().command()
    return ServerCommand(arguments=("python", *command.arguments[1:]), environment={})


def whole(plan: RetrainPipeline) -> RetrainPipeline:
    return (
        plan.generate_statistics()
        .infer_schema()
        .validate_input_data()
        .preprocess()
        .train(steps=60)
        .evaluate_model()
        .infra_validate(server=server(), startup="120s", latency="10s")
        .push_to("gs://taxi/models", rules=BlessingRules(floor=0.55))
        .bulk_infer(csv="gs://taxi/new")
    )


def compiled(plan: RetrainPipeline, file: Path, **options: Any) -> tuple[str, ...]:
    return plan.compile_to("kubeflow", file, image="driftline:1", root="gs://taxi/runs", **options)


def in_this_process(mounts: Path) -> Container:
    """Runs the module of the container's command here, because TFX's import takes ten seconds."""

    def run(command: list[str], arguments: list[str]) -> None:
        from retrain.engines.tfx import kubeflow_node

        assert command == ["python", "-m", kubeflow_node.__name__]
        kubeflow_node.run(arguments, mounts)

    return run


def test_each_node_runs_by_itself_as_its_container_would(tmp_path: Path) -> None:
    bucket = tmp_path / "mounts" / "gcs" / "taxi"
    bucket.mkdir(parents=True)
    write_csv(bucket / "csv")
    write_csv(bucket / "new")
    file = tmp_path / "pipeline.yaml"
    nodes = compiled(whole(new(tmp_path).from_csv("gs://taxi/csv")), file)
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with patch.dict(os.environ, {"PATH": paths}):
        outputs = run_nodes(file, in_this_process(tmp_path / "mounts"), tmp_path / "reports")
    assert set(outputs) == set(nodes)
    uris = [each["uri"] for outs in outputs.values() for each in outs.values()]
    assert all(uri.startswith("gs://taxi/") for uri in uris)
    assert outputs["Blessing"]["blessing"]["metadata"]["blessed"] == 1
    assert FolderStore(bucket / "models").versions("big_tipper") == (1,)
    predicted = outputs["BulkInferrer"]["output_examples"]["uri"].removeprefix("gs://taxi/")
    assert list((bucket / predicted / "Split-unlabelled").iterdir())


def test_the_containers_command_fails_with_the_gates_reason(tmp_path: Path) -> None:
    """The first node in a process of its own, over a file that it must refuse."""
    folder = tmp_path / "s3" / "taxi" / "csv"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("fare\nx\n")
    file = tmp_path / "pipeline.yaml"
    compiled(new(tmp_path).from_csv("s3://taxi/csv"), file)
    with pytest.raises(RuntimeError, match=r"a\.csv cannot be read with the model's columns"):
        run_nodes(file, in_a_process(tmp_path), tmp_path / "reports")


def test_every_node_of_a_replay_is_in_the_file_with_its_beam_options(tmp_path: Path) -> None:
    from streaming.contracts.records import OffsetRange, RetrainRequest

    spans = (OffsetRange(topic="trips", partition=0, start=5, stop=9),)
    request = RetrainRequest(
        record_id="r", model="big_tipper", at=1.0, cause="manual", reason="", events=spans,
        labels=spans, window_start=0.0, window_end=1.0, base_version=1, deadline=9.0,
    )  # fmt: skip
    log = "streaming.engines.kafka.log.KafkaLog"
    plan = new(tmp_path, engine="tfx", beam=FLINK)
    plan.from_kafka(request, CONTRACT, bootstrap="kafka:9092", log=log).generate_statistics()
    plan.with_schema().validate_input_data().preprocess().tune(trials=2)
    plan.start_from("gs://taxi/champion").train().against("gs://taxi/champion").evaluate_model()
    plan.infra_validate(server=server()).push_to("/state/models").bulk_infer()
    file = tmp_path / "pipeline.yaml"
    nodes = compiled(plan, file, mounts={"state": "/state"})
    spec, platform = yaml.safe_load_all(file.read_text())
    assert set(spec["root"]["dag"]["tasks"]) == set(nodes) >= {
        "KafkaExamples", "StatisticsGen", "GivenSchema", "ExampleValidator", "AnomalyGate",
        "Transform", "Tuner", "BaseModel", "Trainer", "Champion", "Evaluator",
        "ServingValidator", "Blessing", "Publisher", "BulkInferrer",
    }  # fmt: skip
    executors = spec["deploymentSpec"]["executors"]
    arguments = {
        name: executors[f"{name}_executor"]["container"]["args"]
        for name in nodes
        if "container" in executors[f"{name}_executor"]
    }
    for name in ("StatisticsGen", "Transform", "Evaluator", "BulkInferrer"):
        assert set(FLINK) <= set(arguments[name])
    mounts = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(mounts) == {f"{name}_executor" for name in arguments}
    tasks = spec["root"]["dag"]["tasks"]
    for name in ("Transform", "Tuner", "Trainer"):
        assert "AnomalyGate" in tasks[name]["dependentTasks"]
    given = tasks["KafkaExamples"]["inputs"]["parameters"]["request"]["runtimeValue"]["constant"]
    assert json.loads(given)["events"][0]["start"] == 5


def test_what_only_this_machine_has_is_refused_with_its_step(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"

    def rows() -> RetrainPipeline:
        return new(tmp_path).from_csv("gs://taxi/csv").generate_statistics().with_schema()

    with pytest.raises(ConfigurationError, match="'csv_files' names /tmp/rows"):
        compiled(new(tmp_path).from_csv(Path("/tmp/rows")), file)
    trained = rows().preprocess().train().evaluate_model()
    with pytest.raises(ConfigurationError, match="'serving' names /"):
        compiled(trained.infra_validate(server=DriftlineModelServer()), file)
    with pytest.raises(ConfigurationError, match="'root' names runs"):
        rows().compile_to("kubeflow", file, image="driftline:1", root="runs")
    on_loopback = new(tmp_path, beam=("--runner=PortableRunner", "--job_endpoint=localhost:8099"))
    with pytest.raises(ConfigurationError, match="'beam' names localhost:8099"):
        compiled(on_loopback.from_csv("gs://taxi/csv"), file)
    with pytest.raises(ConfigurationError, match="no compiler for airflow"):
        rows().compile_to("airflow", file, image="driftline:1", root="gs://a")  # type: ignore[arg-type]
    assert not file.exists()
