"""The retrain worker as the deployment composes it, with two models."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.services import worker as worker_service
from deploy.services.model_server_launcher import DriftlineModelServer
from deploy.services.worker import retrain_worker, serve_one, tfx_trainer
from retrain.blessing import Blessing
from retrain.engines.memory import InMemoryRequestQueue, InMemoryRequests
from retrain.ports import ExampleSet, OnProgress, Progress, TrainingJob, TrainingResult
from streaming.contracts.codec import decode
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Metric, ModelVersion, RetrainFailure, RetrainRequest
from streaming.contracts.topics import MODEL_VERSIONS, RECORD_TOPICS, RETRAIN_FAILURES, Topic
from tests.retrain.builders import request, servable

FAR_AHEAD = 9e9
AUC = Metric(name="auc", slice="", value=0.75, low=0.72, high=0.78, n=1_000)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Models `lenient` and `strict`, which differ in their AUC floor."""
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path / "home"))
    models: dict[str, Any] = {
        name: {
            "module": "retrain.models.big_tipper",
            "events": {"topic": f"{name}.trips", "key": "trip_id"},
            "labels": {"topic": f"{name}.tips", "key": "trip_id"},
            "retrain": {"auc_floor": floor, "debounce": "5m", "beam": [f"--job_name={name}"]},
        }
        for name, floor in (("lenient", 0.6), ("strict", 0.8))
    }
    file = tmp_path / "driftline.yaml"
    file.write_text(yaml.safe_dump({"local": {"served_models": ["strict"]}, "models": models}))
    return Deployment.load(file)


def bless(deployment: Deployment, model: str, folder: Path) -> Blessing:
    job = TrainingJob(
        request=replace(request(), model=model),
        contract=deployment.contract(model),
        version=1,
        examples=folder,
        rows=1_000,
        rows_after_shift=0,
        champion=None,
        work_dir=folder,
    )
    return tfx_trainer(deployment).bless(job, (AUC,))


def test_each_model_is_judged_by_its_own_auc_floor(deployment: Deployment, tmp_path: Path) -> None:
    assert bless(deployment, "lenient", tmp_path).blessed
    assert not bless(deployment, "strict", tmp_path).blessed


def test_the_debounce_reaches_the_trigger(deployment: Deployment) -> None:
    assert deployment.retrain_rules("strict").debounce_seconds == 300.0


def test_each_models_beam_options_reach_its_trainer(deployment: Deployment) -> None:
    trainer = tfx_trainer(deployment)
    for model in ("lenient", "strict"):
        expected = ("--runner=FnApiRunner", f"--job_name={model}")
        assert trainer.beam_options(model) == expected


def test_the_launcher_starts_the_model_server_of_this_environment(tmp_path: Path) -> None:
    command = DriftlineModelServer().command()
    arguments = command.fill(model="taxi", base_path=tmp_path, grpc_port=1, rest_port=2)
    assert arguments[:3] == [sys.executable, "-m", "serving.engines.modelserver"]
    options = dict(zip(arguments[3::2], arguments[4::2], strict=True))
    assert options["--model-name"] == "taxi"
    assert options["--base-path"] == str(tmp_path)
    assert (options["--grpc-port"], options["--rest-port"]) == ("1", "2")
    assert "--allow-op" not in options


def test_the_check_allows_the_operations_that_the_stack_allows(tmp_path: Path) -> None:
    command = DriftlineModelServer(["PrintV2", "MyOp"]).command()
    arguments = command.fill(model="taxi", base_path=tmp_path, grpc_port=1, rest_port=2)
    assert arguments[-4:] == ["--allow-op", "PrintV2", "--allow-op", "MyOp"]


class OneFailingModel:
    """A trainer whose code of the model `strict` is broken."""

    def steps_of(self, request: RetrainRequest) -> int:
        return 1

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        on_progress(Progress(component="Trainer", state="started", step=1, steps=1))
        if job.request.model == "strict":
            raise ZeroDivisionError("division by zero")
        return TrainingResult(
            servable=servable(job.work_dir / "model"),
            metrics=(AUC,),
            components=(),
            load_seconds=0.1,
            warm_predict_seconds=0.01,
            blessed=True,
            reason="Because.",
        )


class NoExamples:
    """Builds no files."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        return ExampleSet(folder=folder, rows=800, rows_after_shift=0, unlabelled=0, unusable=0)


def test_a_failing_retrain_of_one_model_leaves_the_worker_running_for_the_other(
    deployment: Deployment,
) -> None:
    log = MemoryLog()
    log.ensure(RECORD_TOPICS)
    requests = InMemoryRequests()
    for model in ("strict", "lenient"):
        requests.put(replace(request(f"r-{model}", deadline=FAR_AHEAD), model=model))
    worker = retrain_worker(
        deployment,
        log,
        requests=InMemoryRequestQueue(requests),
        trainer=OneFailingModel(),
        examples=NoExamples(),
        name="w1",
        report=lambda progress: None,
    )

    def records(topic: Topic) -> list[Any]:
        return [decode(m.value or b"") for s in log.spans(topic.name) for m in log.read(s)]

    worker.run(lambda: not records(MODEL_VERSIONS))
    (failure,), (version,) = records(RETRAIN_FAILURES), records(MODEL_VERSIONS)
    assert isinstance(failure, RetrainFailure)
    assert (failure.model, failure.component) == ("strict", "Trainer")
    assert isinstance(version, ModelVersion)
    assert version.model == "lenient"
    assert (deployment.artifact_root / "models" / "lenient" / "1").is_dir()


@dataclass
class IdleWorker:
    """Has its first request after some polls."""

    polls: int

    def run_once(self, timeout_seconds: float) -> str:
        self.polls -= 1
        return "published" if self.polls < 0 else "no-request"


@pytest.mark.parametrize(("reachable", "awaited"), [(True, "a request"), (False, "Kafka")])
def test_a_worker_for_one_request_tells_what_it_waits_for(
    reachable: bool, awaited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with structlog.testing.capture_logs() as lines:
        monkeypatch.setattr(worker_service, "log", structlog.get_logger())
        idle = IdleWorker(polls=2 * worker_service.POLLS_PER_LINE)
        serve_one(idle, stop=lambda: False, kafka_answers=lambda: reachable)  # type: ignore[arg-type]
    assert [line["seconds"] for line in lines] == [15, 30]
    assert all(line["waits_for"].startswith(awaited) for line in lines)
