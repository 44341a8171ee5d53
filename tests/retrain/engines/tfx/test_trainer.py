"""The complete TFX pipeline on taxi trips: version 1, then version 2 against it."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.engines.model_store import FolderStore, folder_digest
from retrain.engines.tfx.trainer import TfxTrainer
from retrain.models.big_tipper.contract import CODE, FEATURES
from retrain.ports import AFTER_SHIFT_SLICE, Progress, TrainingFailed, TrainingResult
from retrain.training_options import ModelTraining, TunerOptions
from streaming.contracts.errors import GateFailedError
from streaming.contracts.records import Artifact, Metric, ModelVersion, SchemaChange
from streaming.contracts.requests import instance
from streaming.engines.tfdv import schema_text
from tests.retrain.engines.taxi_trips import shifted, training_job, trips, write_shards
from tests.retrain.engines.tfx.recorded_runs import kinds_after_publication, run_of

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # TFX's libraries warn about each other
]

ROWS = 6_000
SECOND_SCHEMA: dict[str, Any] = {"schema_version": 7, "schema_digest": "d7"}
NODES = (
    "ExampleImporter",
    "ImportSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "AnomalyGate",
    "Transform",
    "Trainer",
    "Evaluator",
    "ServingValidator",
)


@dataclass
class Trained:
    """Two versions, trained and published by one trainer in one process."""

    trainer: TfxTrainer
    store: FolderStore
    results: dict[int, TrainingResult]
    progress: dict[int, list[Progress]]

    def metric(self, version: int, name: str, of_slice: str = "") -> Metric:
        metrics = [
            m for m in self.results[version].metrics if (m.name, m.slice) == (name, of_slice)
        ]
        assert len(metrics) == 1, f"{name} on '{of_slice}': {metrics}"
        return metrics[0]


def record_of(version: int, result: TrainingResult) -> ModelVersion:
    return ModelVersion(
        record_id=f"version-{version}",
        model="big_tipper",
        at=2.0,
        version=version,
        request_id=f"request-{version}",
        artifact=Artifact(uri="", digest=""),
        base_version=version - 1,
        blessed=result.blessed,
        reason=result.reason,
        evaluation=result.metrics,
        components=result.components,
        training_rows=ROWS,
        window_start=0.0,
        window_end=1.0,
        load_seconds=result.load_seconds,
        warm_predict_seconds=result.warm_predict_seconds,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    from retrain.engines.tfx.infra_validation import ServingLimits

    home = tmp_path_factory.mktemp("home")
    # How fast the server is on a machine that does other work, too, is no matter of these tests.
    limits = ServingLimits(load_seconds=120.0, warm_predict_seconds=10.0)
    trainer = TfxTrainer(home, server=DriftlineModelServer(), serving=limits)
    both = Trained(trainer, FolderStore(home / "models"), {}, {})
    before = [*trips(5_200), *trips(ROWS - 5_200)]
    # One row in 6,000 outside its domain, and one without a required value, fail no run.
    odd = next(n for n, trip in enumerate(before) if trip["payment_type"] == "Credit Card")
    before[odd] = before[odd] | {"fare": -1.0}
    before[17] = before[17] | {"trip_seconds": None}
    champion = None
    for version, rows in ((1, before), (2, shifted(before))):
        examples = write_shards(home / f"examples-{version}", rows)
        reports = both.progress.setdefault(version, [])
        job = training_job(home / f"work-{version}", examples, version, champion)
        if version == 2:
            job = dataclasses.replace(job, schema=accepted_schema(home), **SECOND_SCHEMA)
        result = both.trainer.train(job, reports.append)
        both.results[version] = result
        both.store.publish(record_of(version, result), result.servable)
        champion = both.store.path("big_tipper", version)
    yield both
    trainer.close()


def accepted_schema(folder: Path) -> Path:
    """The taxi schema after a new column and a new payment type were accepted."""
    changes = (
        SchemaChange(
            act="add_column", feature="surge", safe=True, reason="", cost="", type="number"
        ),
        SchemaChange(
            act="extend_domain", feature="payment_type", safe=True, reason="", cost="",
            values=("Crypto",),
        ),
        *(
            SchemaChange(act="ignore_column", feature=name, safe=True, reason="", cost="")
            for name in ("is_shared", "stops", "meter", "always null", "mixed.kinds")
        ),
    )  # fmt: skip
    path = folder / "accepted.pbtxt"
    path.write_text(schema_text.apply_changes(CODE.schema.read_text(), changes))
    return path


def test_an_accepted_but_unused_column_does_not_stop_the_retrain(trained: Trained) -> None:
    run = run_of(trained.trainer.metadata, "request-2")
    assert run.state == "trained"
    assert (run.schema_version, run.schema_digest) == (7, "d7")


def test_the_first_version_learns_the_tip(trained: Trained) -> None:
    auc = trained.metric(1, "auc")
    assert auc.value > 0.94
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < auc.value < auc.high
    assert (auc.n, auc.champion) == (ROWS // 4, None)
    assert trained.results[1].blessed, trained.results[1].reason


def test_the_second_version_beats_the_first_after_the_shift(trained: Trained) -> None:
    difference = trained.metric(2, "auc_diff", AFTER_SHIFT_SLICE)
    assert difference.low is not None
    assert difference.low > 0.1
    own = trained.metric(2, "auc", AFTER_SHIFT_SLICE)
    assert own.champion is not None
    assert own.value - own.champion == pytest.approx(difference.value, abs=1e-9)
    assert trained.results[2].blessed, trained.results[2].reason


def test_the_evaluation_is_the_one_of_tfmas_evaluator(trained: Trained, tmp_path: Path) -> None:
    import tensorflow_model_analysis as tfma
    from apache_beam.options.pipeline_options import PipelineOptions

    from retrain.engines.tfx import evaluation, shard_evaluation
    from retrain.engines.tfx.shards import linked_splits

    home = trained.trainer.metadata.parents[1]
    rows = linked_splits(home / "examples-2", tmp_path / "linked") / "Split-eval"
    own, live = (trained.store.path("big_tipper", version) for version in (2, 1))
    config = evaluation.eval_config(CODE, champion=live, seed=0)
    models = [
        tfma.default_eval_shared_model(str(folder), model_name=name, eval_config=config)
        for name, folder in (("challenger", own), ("champion", live))
    ]
    tfma.run_model_analysis(
        models,
        eval_config=config,
        data_location=f"{rows}/*",
        output_path=str(tmp_path / "tfma"),
        pipeline_options=PipelineOptions(["--runner=FnApiRunner"]),
    )
    options = evaluation.EvaluationOptions(
        task=CODE.task, label=CODE.label, slices=CODE.slices, entity=CODE.entity, seed=0
    )
    results = shard_evaluation.evaluate(rows, own, live, options)
    shard_evaluation.write_results(tmp_path / "own", results, own, live, options)
    first, second = (
        evaluation.read_metrics(tmp_path / name, champion=True) for name in ("tfma", "own")
    )
    assert [(m.name, m.slice, m.n) for m in first] == [(m.name, m.slice, m.n) for m in second]
    assert len(first) > 20
    for expected, actual in zip(first, second, strict=True):
        for part in ("value", "low", "high", "champion"):
            assert getattr(actual, part) == pytest.approx(getattr(expected, part), abs=1e-6)


def test_a_champion_that_cannot_predict_the_rows_is_named_without_a_row(
    trained: Trained, tmp_path: Path
) -> None:
    from retrain.engines.tfx import evaluation, shard_evaluation
    from retrain.engines.tfx.shards import linked_splits

    rows = trips(40)
    examples = write_shards(tmp_path / "examples", rows, without=frozenset({"tips"}))
    folder = linked_splits(examples, tmp_path / "linked") / "Split-eval"
    options = evaluation.EvaluationOptions(
        task=CODE.task, label=CODE.label, slices=(), entity="", seed=0
    )
    own, gone = trained.store.path("big_tipper", 2), tmp_path / "gone"
    with pytest.raises(GateFailedError, match="The champion cannot predict"):
        shard_evaluation.evaluate(folder, own, gone, options)


def test_the_champions_transform_graph_is_used_while_code_and_schema_stand(
    trained: Trained, tmp_path: Path
) -> None:
    from retrain.engines.tfx.data_steps import FROZEN

    home = trained.trainer.metadata.parents[1]
    job = training_job(tmp_path, home / "examples-1", 9, trained.store.path("big_tipper", 1))
    for changed, frozen in (
        (job, True),
        (dataclasses.replace(job, schema=accepted_schema(tmp_path)), False),
    ):
        built = trained.trainer.plan(changed).build()
        assert (built.node("transform") == FROZEN) is frozen


def test_a_slice_with_a_single_class_has_no_auc_and_does_not_stop_the_retrain(
    trained: Trained,
) -> None:
    cash = trained.metric(1, "auc", "payment_type:Cash")
    assert (cash.low, cash.high) == (None, None)


def test_every_component_is_reported_twice_and_timed(trained: Trained) -> None:
    for version, nodes in ((1, NODES), (2, ("Champion", *NODES))):
        reports = trained.progress[version]
        assert sorted({p.component for p in reports}) == sorted(nodes)
        assert [p.state for p in reports] == ["started", "done"] * len(nodes)
        assert [p.step for p in reports[::2]] == list(range(1, len(nodes) + 1))
        assert all(p.steps == len(nodes) for p in reports)
        timed = {run.name: run.seconds for run in trained.results[version].components}
        assert set(timed) == set(nodes)
        assert timed["Trainer"] > 0.1


@pytest.mark.parametrize("tuner", [None, TunerOptions()])
def test_the_number_of_steps_is_that_of_the_runs_nodes(
    trained: Trained, tmp_path: Path, tuner: TunerOptions | None
) -> None:
    training = {"big_tipper": ModelTraining(tuner=tuner, warm_start=True)}
    home = trained.trainer.metadata.parents[1]
    trainer = TfxTrainer(home, server=DriftlineModelServer(), training=training)
    job = training_job(tmp_path, home / "examples-1", 2, trained.store.path("big_tipper", 1))
    assert trainer.steps_of(job.request) == len(trainer.plan(job).build().pipeline.components)


def test_the_real_server_has_loaded_each_version_and_answered(trained: Trained) -> None:
    for result in trained.results.values():
        assert result.load_seconds > 0.0
        assert result.warm_predict_seconds > 0.0


@pytest.mark.parametrize("version", [1, 2])
def test_the_session_loader_predicts_what_the_trainer_did(trained: Trained, version: int) -> None:
    """TF Serving's C++ loader restores variables in the same way; `tf.saved_model.load` hides
    errors of Keras 3's export."""
    folder = trained.store.path("big_tipper", version)
    probe = json.loads((folder / "assets.extra" / "probe.json").read_text())
    rows = [instance(FEATURES, values) for values in probe["instances"]]
    columns = {spec.name: np.array([row[spec.name] for row in rows]) for spec in FEATURES}
    predictions = session_predict(folder, columns)
    assert predictions.shape == (len(rows), 1)
    np.testing.assert_allclose(predictions.ravel(), probe["probabilities"], atol=1e-5)


def test_a_row_with_all_values_missing_gives_a_finite_prediction(trained: Trained) -> None:
    folder = trained.store.path("big_tipper", 1)
    row = instance(FEATURES, {})
    columns = {spec.name: np.array([row[spec.name]]) for spec in FEATURES}
    predictions = session_predict(folder, columns)
    assert np.isfinite(predictions).all()


def session_predict(folder: Path, columns: dict[str, Any]) -> Any:
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        loaded = v1.saved_model.loader.load(session, ["serve"], str(folder))
        signature = loaded.signature_def["serving_default"]
        assert set(signature.inputs) == set(columns)
        feed = {signature.inputs[name].name: values for name, values in columns.items()}
        return session.run(signature.outputs["probabilities"].name, feed)


def test_the_warm_up_requests_cover_both_predict_signatures(trained: Trained) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    file = trained.store.path("big_tipper", 1) / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    signatures = {log.predict_log.request.model_spec.signature_name for log in logs}
    assert signatures == {"serving_default", "serving_examples"}


def test_publishing_again_changes_nothing(trained: Trained) -> None:
    result = trained.results[1]
    other_number = replace(record_of(1, result), version=9)
    assert trained.store.publish(other_number, result.servable).version == 1
    assert trained.store.versions("big_tipper") == (1, 2)
    trained.store.verify("big_tipper", 1)


def test_ml_metadata_leads_from_the_digest_to_the_offsets(trained: Trained) -> None:
    digest = trained.store.record("big_tipper", 2).artifact.digest
    assert digest == folder_digest(trained.results[2].servable)
    run = run_of(trained.trainer.metadata, "request-2")
    expected = training_job(trained.trainer.metadata.parent / "x", Path(), 2, Path()).request
    assert (run.model, run.digest, run.attempts) == ("big_tipper", digest, 1)
    assert (run.events, run.labels) == (expected.events, expected.labels)
    assert (run.caused_by, run.base_version) == (("verdict-2",), 1)
    assert run.metrics == trained.results[2].metrics
    assert run.components == trained.results[2].components
    assert run.parameters["learning_rate"] > 0
    assert len(run.curve.val_loss) == len(run.curve.loss) > 1
    assert list(Path(run.logs).rglob("events.out.tfevents.*"))


def test_the_run_is_a_graph_whose_files_outlive_the_attempt(trained: Trained) -> None:
    place, version = trained.trainer.metadata, trained.store.record("big_tipper", 2)
    kept = kinds_after_publication(place, version, work=place.parents[1] / "work-2")
    assert {"Examples", "ExampleStatistics", "Model", "ModelEvaluation", "ModelRun"} <= kept


def test_broken_examples_stop_at_the_gate(trained: Trained, tmp_path: Path) -> None:
    rows = trips(800)
    examples = write_shards(tmp_path / "examples", rows, without=frozenset({"fare"}))
    reports: list[Progress] = []
    with pytest.raises(TrainingFailed, match=r"fare in .*SCHEMA_MISSING_COLUMN") as failure:
        trained.trainer.train(training_job(tmp_path / "work", examples, 3, None), reports.append)
    assert failure.value.component == "AnomalyGate"
    assert failure.value.advice
    assert reports[-1].state == "failed"
    assert "Trainer" not in {progress.component for progress in reports}

    run = run_of(trained.trainer.metadata, "request-3")
    assert run.outcome.startswith("failed: AnomalyGate")
    assert "ExampleAnomalies" in {artifact.kind for artifact in run.artifacts}


def test_more_than_a_few_rows_outside_a_domain_stop_at_the_gate(
    trained: Trained, tmp_path: Path
) -> None:
    rows = [trip | {"fare": -1.0} if n % 50 == 0 else trip for n, trip in enumerate(trips(2_000))]
    examples = write_shards(tmp_path / "examples", rows)
    with pytest.raises(TrainingFailed, match=r"fare in .*FLOAT_TYPE_SMALL_FLOAT, \d+ rows"):
        trained.trainer.train(training_job(tmp_path / "work", examples, 5, None), lambda _: None)


def test_a_truncated_shard_fails_the_examples(trained: Trained, tmp_path: Path) -> None:
    examples = write_shards(tmp_path / "examples", trips(100))
    shard = sorted(examples.glob("eval-*"))[0]
    shard.write_bytes(gzip.compress(gzip.decompress(shard.read_bytes())[:-5]))
    with pytest.raises(TrainingFailed, match="ends within a record") as failure:
        trained.trainer.train(training_job(tmp_path / "work", examples, 4, None), lambda _: None)
    assert failure.value.component == "Examples"


def test_a_model_that_predicts_other_values_than_its_trainer_is_refused(
    trained: Trained, tmp_path: Path
) -> None:
    import shutil

    from retrain.engines.tfx.server_check import PROBE, check_serving
    from streaming.contracts.model_manifest import MANIFEST, RECORD

    copy = tmp_path / "copy"
    shutil.copytree(trained.store.path("big_tipper", 1), copy)
    probe = json.loads((copy / PROBE).read_text())
    probe["probabilities"][0] += 0.01
    (copy / PROBE).chmod(0o644)
    (copy / PROBE).write_text(json.dumps(probe))
    for proof in (MANIFEST, RECORD):  # they would show that the file was changed
        (copy / proof).unlink()
    with pytest.raises(GateFailedError, match="differ from the trainer"):
        check_serving(
            copy,
            model="big_tipper",
            version=1,
            features=FEATURES,
            server=DriftlineModelServer().command(),
            log_file=tmp_path / "server.log",
        )
