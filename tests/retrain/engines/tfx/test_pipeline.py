"""The fluent pipeline: its steps, an inferred schema, two runs, publication, bulk inference."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.blessing import BlessingRules
from retrain.engines.model_store import FolderStore
from retrain.engines.tfx.pipeline import RetrainPipeline, pipeline
from retrain.models.big_tipper.contract import CODE, FEATURES
from streaming.contracts.errors import ConfigurationError
from tests.retrain.engines.taxi_trips import trips, write_shards

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

ROWS = 2_500


@pytest.fixture(scope="module", autouse=True)
def servers_end() -> Iterator[None]:
    from retrain.engines.tfx.warm_server import SERVERS

    yield
    SERVERS.close()


def new(folder: Path, **options: Any) -> RetrainPipeline:
    return pipeline("big_tipper", root=folder / "root", **options)


def write_csv(folder: Path) -> Path:
    """Trips of which one column has no value at all, and whole numbers in a column of floats."""
    folder.mkdir()
    names = [*(spec.name for spec in FEATURES), "tips"]
    rows = trips(ROWS)
    with (folder / "trips.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, names, extrasaction="ignore")
        table.writeheader()
        for row in rows:
            table.writerow(row | {"pickup_census_tract": None, "trip_miles": 2})
    return folder


def test_steps_that_lack_another_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"needs the step 'examples' first; it has none"):
        new(tmp_path).generate_statistics().build()
    with pytest.raises(ConfigurationError, match="already has a step 'statistics'"):
        new(tmp_path).generate_statistics().generate_statistics()
    with pytest.raises(ConfigurationError, match="There is no schema"):
        new(tmp_path).with_schema(tmp_path / "none.pbtxt").build()


def test_csv_with_an_inferred_schema_is_trained_published_and_predicted_twice(
    tmp_path: Path,
) -> None:
    from retrain.engines.tfx import runner
    from retrain.engines.tfx.shard_statistics import serialized_batches

    store = FolderStore(tmp_path / "models")
    twice = (
        new(tmp_path)
        .from_csv(write_csv(tmp_path / "csv"))
        .generate_statistics()
        .infer_schema()
        .validate_input_data()
        .preprocess()
        .train(steps=150)
        .evaluate_model()
        .infra_validate(server=DriftlineModelServer(), startup="120s", latency="10s")
        .push_to(tmp_path / "models", rules=BlessingRules(floor=0.55))
        .bulk_infer()
    )
    runs = [twice.run(f"run-{number}") for number in (1, 2)]
    assert store.versions("big_tipper") == (1, 2)
    for run, version in zip(runs, (1, 2), strict=True):
        store.verify("big_tipper", version)
        record = store.record("big_tipper", version)
        assert record.blessed
        assert record.training_rows == ROWS
        assert {component.name for component in run.components} == set(run.outputs)
        predicted = run.outputs["BulkInferrer"]["output_examples"] / "Split-eval"
        rows = [row for batch in serialized_batches(predicted) for row in batch]
        assert 400 < len(rows) < 600
        assert all(b"probabilities" in row and b"trip_miles" in row for row in rows)
    metadata = runner.open_store(tmp_path / "root" / "mlmd.sqlite")
    artifacts = metadata.get_artifacts()
    assert all(Path(artifact.uri).exists() for artifact in artifacts)
    own = [artifact.uri for artifact in artifacts if artifact.uri != str(tmp_path / "csv")]
    assert len(set(own)) == len(own)  # what a run reads has the same address in both


def test_a_model_that_is_not_blessed_is_not_published(tmp_path: Path) -> None:
    from retrain.engines.tfx.runner import NodeFailed

    refused = (
        new(tmp_path)
        .from_shards(write_shards(tmp_path / "examples", trips(800)))
        .generate_statistics()
        .with_schema()
        .validate_input_data()
        .preprocess()
        .train(steps=20)
        .evaluate_model()
        .push_to(tmp_path / "models", rules=BlessingRules(floor=0.999, owners_floor=True))
    )
    with pytest.raises(NodeFailed, match="The model is not published") as failed:
        refused.run()
    assert failed.value.node == "Publisher"
    assert FolderStore(tmp_path / "models").versions("big_tipper") == ()


def test_statistics_by_shard_are_those_of_all_rows_at_once(tmp_path: Path) -> None:
    import pyarrow as pa
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

    from retrain.engines.tfx.shard_statistics import record_batches, statistics_of
    from retrain.engines.tfx.shards import linked_splits

    rows = trips(3_000)
    random.Random(1).shuffle(rows)
    folder = linked_splits(write_shards(tmp_path / "x", rows), tmp_path / "linked") / "Split-train"
    whole = pa.Table.from_batches(record_batches(folder, 10_000)).combine_chunks().to_batches()[0]
    expected = stats_impl.generate_statistics_in_memory(whole, tfdv.StatsOptions()).datasets[0]
    assert len(list(record_batches(folder, 400))) > 4
    actual = statistics_of(folder, 400).datasets[0]
    assert actual.num_examples == expected.num_examples == 2_250
    features = {each.path.step[0]: each for each in actual.features}
    for each in expected.features:
        own = features[each.path.step[0]]
        kind = each.WhichOneof("stats")
        assert own.WhichOneof("stats") == kind
        first, second = getattr(each, kind), getattr(own, kind)
        assert first.common_stats.num_missing == second.common_stats.num_missing
        if kind == "num_stats":
            for name in ("mean", "std_dev", "min", "max", "num_zeros"):
                np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-9)
        else:
            assert first.unique == second.unique
            tops = [[(v.value, v.frequency) for v in s.top_values] for s in (first, second)]
            assert tops[0] == tops[1]


def test_csv_cells_of_another_kind_are_named(tmp_path: Path) -> None:
    from retrain.engines.tfx.csv_examples import write_csv_examples
    from streaming.contracts.errors import DecodeError, NotFoundError

    specs = [*FEATURES]
    with pytest.raises(NotFoundError, match=r"no file \*.csv"):
        write_csv_examples(tmp_path, tmp_path / "out", specs)
    (tmp_path / "a.csv").write_text("fare\nx\n")
    with pytest.raises(DecodeError, match=r"a\.csv cannot be read with the model's columns"):
        write_csv_examples(tmp_path, tmp_path / "out2", specs)


def test_an_inferred_column_of_another_kind_is_refused() -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    from retrain.engines.tfx.typed_schema import typed
    from streaming.contracts.errors import GateFailedError

    schema = schema_pb2.Schema()
    schema.feature.add(name="fare", type=schema_pb2.BYTES)
    with pytest.raises(GateFailedError, match="fare holds BYTES; the contract says number"):
        typed(schema, list(CODE.features))
