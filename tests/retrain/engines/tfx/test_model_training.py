"""A version that is searched for and compressed, and the next one that starts from it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.compression_choice import TOLERANCES, Variant
from retrain.engines.model_store import FolderStore
from retrain.engines.tfx.trainer import TfxTrainer
from retrain.engines.tfx.warm_files import TRIALS, read_training
from retrain.ports import Progress, TrainingJob, TrainingResult
from retrain.training_options import ModelTraining, TunerOptions
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import Artifact, ModelVersion, Promotion, RetrainRequest
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from tests.deploy.cli.runner import data, run
from tests.retrain.engines.orders_training import orders, write_orders
from tests.retrain.engines.small_models.orders.contract import CODE

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

MODULE = "tests.retrain.engines.small_models.orders"
CONTRACT = ModelContract(
    model="orders", module=MODULE, events_topic="orders", labels_topic="returns", key="id",
    time="at", features=CODE.features,
)  # fmt: skip
SEARCH = TunerOptions(trials=2, seconds=300.0, parallel=1)


@dataclass
class Trained:
    """Two versions in a store."""

    home: Path
    store: FolderStore
    results: dict[int, TrainingResult]
    nodes: dict[int, list[str]]

    def servable(self, version: int) -> Path:
        return self.store.path("orders", version)


def job(home: Path, examples: Path, version: int, champion: Path | None) -> TrainingJob:
    request = RetrainRequest(
        record_id=f"request-{version}", model="orders", at=1.0, cause="manual", reason="because",
        events=(), labels=(), window_start=0.0, window_end=1.0, base_version=version - 1,
        deadline=9e9,
    )  # fmt: skip
    work = home / f"work-{version}"
    work.mkdir()
    return TrainingJob(
        request=request, contract=CONTRACT, version=version, examples=examples, rows=3_000,
        rows_after_shift=0, champion=champion, work_dir=work,
    )  # fmt: skip


def publish(store: FolderStore, version: int, result: TrainingResult) -> None:
    store.publish(
        ModelVersion(
            record_id=f"version-{version}", model="orders", at=2.0, version=version,
            request_id=f"request-{version}", artifact=Artifact(uri="", digest=""),
            base_version=version - 1, blessed=result.blessed, reason=result.reason,
            evaluation=result.metrics, components=result.components, training_rows=3_000,
            window_start=0.0, window_end=1.0, load_seconds=0.0, warm_predict_seconds=0.0,
        ),
        result.servable,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from retrain.engines.tfx.infra_validation import ServingLimits

    home = tmp_path_factory.mktemp("home")
    # How fast the server is on a machine that does other work, too, is no matter of these tests.
    limits = ServingLimits(load_seconds=120.0, warm_predict_seconds=10.0)
    trainer = TfxTrainer(home, server=DriftlineModelServer(), serving=limits)
    examples = write_orders(home / "examples", orders(4_000))
    both = Trained(home, FolderStore(home / "models"), {}, {})
    wishes = {
        1: ModelTraining(tuner=SEARCH, compression="int8"),
        2: ModelTraining(warm_start=True),
    }
    for version, training in wishes.items():
        trainer._training = {"orders": training}
        reports: list[Progress] = []
        champion = both.servable(version - 1) if version > 1 else None
        result = trainer.train(job(home, examples, version, champion), reports.append)
        both.results[version] = result
        both.nodes[version] = [report.component for report in reports if report.state == "done"]
        publish(both.store, version, result)
    yield both
    trainer.close()


def test_the_search_runs_before_the_training_and_its_best_values_reach_it(
    trained: Trained,
) -> None:
    nodes = trained.nodes[1]
    assert nodes.index("Transform") < nodes.index("Tuner") < nodes.index("Trainer")
    (file,) = trained.home.glob("work-1/tfx/Tuner/tuner_results/*/tuner_results.json")
    trials = json.loads(file.read_text())
    best = min(trials, key=lambda trial: trial["score"])
    record = read_training(trained.servable(1))
    assert record is not None
    assert len(trials) == 2
    assert record.hyperparameters["units"] == best["units"]
    assert record.hyperparameters["learning_rate"] == best["learning_rate"]
    kept = json.loads((trained.servable(1) / TRIALS).read_text())
    assert sorted(trial["id"] for trial in kept) == ["0", "1"]
    assert not (trained.servable(2) / TRIALS).exists()
    assert not list((trained.home / "training").iterdir()), "the state goes with the request"


def test_a_small_net_is_not_worth_compressing(trained: Trained) -> None:
    result = trained.results[1]
    assert result.blessed, result.reason
    assert "Not compressed: not worth it, int8 saves" in result.reason
    assert result.servable.name == "Format-Serving"


def test_the_next_version_takes_over_graph_and_weights(trained: Trained) -> None:
    first, second = (read_training(trained.servable(version)) for version in (1, 2))
    assert first is not None
    assert second is not None
    assert "Transform" not in trained.nodes[2]
    assert (first.start, second.start) == ("cold", "warm")
    assert second.curve.loss[0] is not None
    assert first.curve.loss[0] is not None
    assert second.curve.loss[0] < 0.9 * first.curve.loss[0]
    assert first.out_of_vocabulary == {"item_number": 0.0}


def test_a_vocabulary_that_knows_too_few_values_is_learnt_again(
    trained: Trained, tmp_path: Path
) -> None:
    from retrain.engines.tfx.warm_start import MAX_NEW, reusable_graph

    few, many = int(400 * MAX_NEW / 2), int(400 * MAX_NEW * 2)
    for new, reused in ((few, True), (many, False)):
        rows = [*orders(400 - new), *orders(new, seed=2, prefix="new")]
        np.random.default_rng(3).shuffle(rows)  # type: ignore[arg-type]
        examples = write_orders(tmp_path / f"{new}", rows)
        reuse = reusable_graph(trained.servable(2), CODE, CODE.schema, examples)
        assert (reuse.graph is not None) == reused, reuse.reason
    assert "of item_number that the champion's vocabulary does not know" in reuse.reason


def test_a_variant_is_evaluated_blessed_and_served_before_it_is_chosen(
    trained: Trained, tmp_path: Path
) -> None:
    from retrain.engines.tfx import variant_choice
    from retrain.engines.tfx.compression import variant_folder
    from retrain.engines.tfx.infra_validation import ServingLimits

    original = trained.results[1].servable
    result = trained.results[1]
    trainer = TfxTrainer(tmp_path, server=DriftlineModelServer())
    judged = job(tmp_path, tmp_path, 9, None)
    judge = variant_choice.VariantJudge(
        model="orders", version=9, code=CODE,
        rows=next(trained.home.glob("work-1/tfx/examples/Split-eval")), champion=None, seed=1,
        bless=lambda metrics: trainer.bless(judged, metrics),
        server=DriftlineModelServer().command(),
        limits=ServingLimits(load_seconds=120.0, warm_predict_seconds=10.0),
    )  # fmt: skip
    chosen = judge.smallest(result, ("int8",))
    assert chosen.servable == original
    assert "not worth it" in chosen.reason
    variant, measured = judge._measured(variant_folder(original, "int8"), original, "int8")
    assert variant.refusal == ""
    assert 0.0 < variant.difference < TOLERANCES["int8"]
    assert measured.load_seconds > 0.0
    timed_when_idle = Variant(kind="float32", bytes=1, predict_seconds=1e-9)
    timed_when_busy = replace(variant, predict_seconds=9.0)
    whole, variants = judge._timed_again(timed_when_idle, {"int8": timed_when_busy}, original)
    assert whole.predict_seconds > 1e-6
    assert variants["int8"].predict_seconds < 9.0


def deployment(trained: Trained, folder: Path) -> tuple[Path, MemoryLog]:
    """Settings of the model, and a log on which version 2 is live."""
    log = MemoryLog()
    log.ensure([*RECORD_TOPICS, applications_topic("orders", partitions=1)])
    promotion = Promotion(
        record_id="p", model="orders", at=3.0, version=2, replaced=1, change="promoted", reason="",
        artifact=Artifact(uri=trained.servable(2).as_uri(), digest="d"), reference=None,
        window_start=0.0, window_end=1.0,
    )  # fmt: skip
    log.append([promotion])
    config = folder / "driftline.yaml"
    config.write_text(
        f"models:\n  orders:\n    module: {MODULE}\n"
        "    events: {topic: orders, key: id, time: at}\n"
        "    labels: {topic: returns, key: id}\n"
        f"artifacts: {{root: {trained.home}}}\n"
    )
    return config, log


def expected_of(servable: Path, rows: list[Any]) -> Any:
    import tensorflow as tf

    signature = tf.saved_model.load(str(servable)).signatures["serving_default"]
    answers = signature(
        item=tf.constant([[row["item"]] for row in rows]),
        price=tf.constant([[row["price"]] for row in rows], tf.float32),
    )
    return answers["probabilities"].numpy().ravel()


def written_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_of_a_file_are_predicted_as_the_server_would(trained: Trained, tmp_path: Path) -> None:
    config, log = deployment(trained, tmp_path)
    rows = orders(250, seed=9)
    lines = [f"{n},{row['item']},{row['price']!r}" for n, row in enumerate(rows)]
    (tmp_path / "rows.csv").write_text("\n".join(["order,item,price", *lines, "250,x,much"]))
    words = ("predict", "orders", "--bulk", str(tmp_path / "rows.csv"), "--part", "100")
    target = tmp_path / "out.csv"
    shown = data(run(*words, "--to", str(target), "--json", log=log, config=config))
    assert (shown["version"], shown["rows"], shown["unusable"]) == (2, 251, 1)
    written = written_rows(target)
    assert [row["order"] for row in written] == [f"{n}" for n in range(251)]
    numbers = [float(row["predicted_probability"]) for row in written[:-1]]
    np.testing.assert_allclose(numbers, expected_of(trained.servable(2), rows), atol=1e-6)
    assert written[-1]["problem"] == "price: 'much' is not a number"


def test_events_of_a_topic_are_predicted_as_the_server_would(
    trained: Trained, tmp_path: Path
) -> None:
    config, log = deployment(trained, tmp_path)
    rows = orders(30, seed=9)
    events = [
        {"id": f"k{n}", "at": 1_700_000_000 + n, "item": row["item"], "price": row["price"]}
        for n, row in enumerate(rows)
    ]
    log.append_raw("orders", [(None, json.dumps(event).encode()) for event in events])
    target = tmp_path / "out.csv"
    words = ("predict", "orders", "--from-topic", "--to", str(target), "--version", "1")
    shown = data(run(*words, "--json", log=log, config=config))
    assert (shown["version"], shown["rows"], shown["unusable"]) == (1, 30, 0)
    written = written_rows(target)
    assert [row["event_key"] for row in written] == [f"k{n}" for n in range(30)]
    numbers = [float(row["predicted_probability"]) for row in written]
    np.testing.assert_allclose(numbers, expected_of(trained.servable(1), rows), atol=1e-6)
