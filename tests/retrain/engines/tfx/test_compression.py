"""Compressed variants answer alike everywhere, within their tolerance, and are smaller."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.services.model_server_launcher import DriftlineModelServer
from retrain.compression_choice import TOLERANCES
from retrain.engines.model_store import folder_digest
from retrain.engines.tfx.warm_files import (
    WEIGHTS,
    TrainingRecord,
    read_training,
    write_warm_files,
)
from retrain.training_options import Kind
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model_manifest import served_size
from tests.retrain.engines.orders_training import orders, write_orders
from tests.retrain.engines.small_models.orders.contract import CODE
from tests.retrain.engines.tfx import net_jobs

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

KINDS: tuple[Kind, ...] = ("float16", "int8")


@dataclass
class Exported:
    """A model with a table of 10,000 rows, its variants, and rows to predict."""

    servable: Path
    rows: list[bytes]

    def folder(self, kind: str) -> Path:
        from retrain.engines.tfx.compression import variant_folder

        return variant_folder(self.servable, kind) if kind in KINDS else self.servable


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    import tensorflow as tf

    from retrain.engines.tfx.compression import write_variants
    from retrain.engines.tfx.exporter import Exporter
    from retrain.engines.tfx.net_training import untrained
    from retrain.models.heads import head_of

    class Layer(tf.Module):  # type: ignore[misc]
        """Stands for the transform layer: a hash for the vocabulary."""

        def __call__(self, raw: dict[str, Any]) -> dict[str, Any]:
            number = tf.strings.to_hash_bucket_fast(raw["item"], 9_999)
            columns = {"item_number": number, "price_score": tf.math.log1p(raw["price"]) - 3.0}
            return columns | ({"returned": raw["returned"]} if "returned" in raw else {})

    head, net_job = head_of(CODE.task), net_jobs.job({"rows": 10_000, "embedding_size": 64})
    net = untrained(net_job, net_jobs.rows(10).inputs(), head)
    exporter = Exporter(
        net,
        Layer(),
        {
            "item": tf.io.FixedLenFeature([1], tf.string),
            "price": tf.io.FixedLenFeature([1], tf.float32),
            "returned": tf.io.FixedLenFeature([1], tf.int64),
        },
        columns=["item_number", "price_score"],
        features=CODE.features,
        label="returned",
        head=head,
    )
    home = tmp_path_factory.mktemp("compression")
    rows = serialized(home / "rows", orders(300))
    servable = home / "Format-Serving"
    exporter.save(str(servable))
    exporter.write_extras(str(servable), rows[:32], model="orders")
    record = TrainingRecord(code_digest="c", schema_digest="s", hyperparameters={})
    write_warm_files(servable, model=net, transform_graph=home / "absent", record=record)
    write_variants(servable, KINDS, exporter, net, rows=rows[:32], model="orders")
    return Exported(servable, rows)


def serialized(folder: Path, rows: list[Any]) -> list[bytes]:
    from retrain.engines.tfx.exporter import first_rows

    write_orders(folder, rows)
    return first_rows([str(folder / "*.gz")], len(rows))


def in_tensorflow(folder: Path, rows: list[bytes]) -> Any:
    import tensorflow as tf

    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == {"serving_default", "serving_examples", "transform_features"}
    return signatures["serving_examples"](tf.constant(rows))["probabilities"].numpy()


def in_session(folder: Path, rows: list[bytes]) -> Any:
    """The answers of the C++ loader, which TF Serving uses."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        loaded = v1.saved_model.loader.load(session, ["serve"], str(folder))
        signature = loaded.signature_def["serving_examples"]
        feed = {signature.inputs["examples"].name: rows}
        return session.run(signature.outputs["probabilities"].name, feed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_variant_answers_like_the_original_within_its_tolerance(
    exported: Exported, kind: str
) -> None:
    original = in_tensorflow(exported.servable, exported.rows)
    answers = in_tensorflow(exported.folder(kind), exported.rows)
    assert 0.0 < np.abs(answers - original).max() < TOLERANCES[kind] / 5
    np.testing.assert_allclose(in_session(exported.folder(kind), exported.rows), answers, atol=1e-6)


def test_the_embedded_server_loads_int8_and_answers_as_the_net_in_memory(
    exported: Exported, tmp_path: Path
) -> None:
    from retrain.engines.tfx.server_check import check_serving

    check = check_serving(
        exported.folder("int8"), model="orders", version=1, features=CODE.features,
        server=DriftlineModelServer().command(), log_file=tmp_path / "log",
    )  # fmt: skip
    assert check.largest_difference < 1e-5


def test_a_large_table_shrinks_to_a_half_and_to_less_than_a_half(exported: Exported) -> None:
    sizes = {kind: served_size(exported.folder(kind)) for kind in ("float32", *KINDS)}
    assert sizes["float16"] < 0.65 * sizes["float32"]
    assert sizes["int8"] < 0.65 * sizes["float16"]


def test_a_variant_keeps_what_later_trainings_need_and_has_its_own_probe(
    exported: Exported,
) -> None:
    original, smaller = exported.servable, exported.folder("int8")
    assert read_training(smaller) == read_training(original)
    assert (smaller / WEIGHTS).read_bytes() == (original / WEIGHTS).read_bytes()
    probes = [
        json.loads((folder / "assets.extra" / "probe.json").read_text())
        for folder in (original, smaller)
    ]
    assert probes[0]["instances"] == probes[1]["instances"]
    assert probes[0]["probabilities"] != probes[1]["probabilities"]
    assert folder_digest(smaller) != folder_digest(original)


def test_what_cannot_be_compressed_is_refused_with_the_next_step() -> None:
    import keras

    from retrain.engines.tfx.compression import compressed

    class Own(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs

    inputs = keras.Input((2,))
    for model, why in (
        (Own(), "A Own cannot be compressed"),
        (keras.Model(inputs, keras.layers.ReLU()(inputs)), "neither an embedding nor a dense"),
    ):
        with pytest.raises(ConfigurationError, match=f"{why}.*retrain.compression to off"):
            compressed(model, "int8")


def test_other_layers_are_copied_and_shared_layers_stay_shared() -> None:
    import keras

    from retrain.engines.tfx.compression import compressed

    keras.utils.set_random_seed(3)
    inputs = {"a": keras.Input((1,), name="a", dtype="int64"), "b": keras.Input((3,), name="b")}
    table, dense = keras.layers.Embedding(5, 3), keras.layers.Dense(3, activation="relu")
    hidden = keras.layers.BatchNormalization()(dense(inputs["b"]) + 0.5)
    joined = keras.layers.Concatenate()(
        [keras.layers.Flatten()(table(inputs["a"] + 1)), dense(hidden)]
    )
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False)(joined))
    model.layers[-1].set_weights([np.full((6, 2), 0.25, np.float32)])
    rows = {"a": np.array([[0], [3]]), "b": np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 9.0]])}
    expected = np.asarray(model(rows, training=False))
    for kind, tolerance in (("float16", 0.01), ("int8", 0.1)):
        small = compressed(model, kind)  # type: ignore[arg-type]
        np.testing.assert_allclose(
            np.asarray(small(rows, training=False)), expected, atol=tolerance
        )
        names = [layer.name for layer in small.layers]
        assert sorted(names) == sorted(layer.name for layer in model.layers)
