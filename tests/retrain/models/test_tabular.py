"""Labels and dense columns of the default preprocessing; whole trainings are in `test_tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import BINARY, Task

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]


def column(values: list[Any], dtype: Any) -> Any:
    """A column as Transform gives it; None = missing."""
    import tensorflow as tf

    rows = [number for number, value in enumerate(values) if value is not None]
    indices = np.array([[row, 0] for row in rows], np.int64).reshape(-1, 2)
    present = np.array([values[row] for row in rows], dtype)
    return tf.SparseTensor(indices, present, (len(values), 1))


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 0, None], np.int64, [1, 0, 0]),
        ([1.0, 0.0, None], np.float32, [1, 0, 0]),
        (["Yes", "no", None, "TRUE", "0"], np.object_, [1, 0, 0, 1, 0]),
    ],
)
def test_a_binary_label_is_read_from_numbers_and_texts(
    values: list[Any], dtype: Any, expected: list[int]
) -> None:
    from retrain.models import tabular

    assert tabular.label(column(values, dtype), BINARY).numpy().ravel().tolist() == expected


def test_a_number_that_is_missing_is_no_label_and_no_class_is_the_empty_text() -> None:
    from retrain.models import tabular

    number = tabular.label(column([2, None], np.int64), Task(kind="regression")).numpy()
    assert number[0, 0] == 2.0
    assert np.isnan(number[1, 0])
    classes = Task(kind="multiclass", classes=("7", "8"))
    assert tabular.label(column([7, None], np.int64), classes).numpy().tolist() == [[b"7"], [b""]]


def test_a_column_with_several_values_keeps_the_first() -> None:
    import tensorflow as tf

    from retrain.models import tabular

    several = tf.SparseTensor([[0, 0], [0, 1], [2, 0]], [1.0, 9.0, 3.0], (3, 2))
    assert tabular.dense(several, -1.0).numpy().tolist() == [[1.0], [-1.0], [3.0]]


def halved(numbers: Any, *, elementwise: bool, output_dtype: Any) -> Any:
    """Stands for the standard score, which needs a whole pass."""
    import tensorflow as tf

    assert elementwise, "each column has a mean of its own"
    return tf.cast(numbers, output_dtype) / 2.0


@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_a_number_is_two_scores_and_whether_it_is_missing(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the rows; the first of several values counts; NaN is missing."""
    import tensorflow as tf
    import tensorflow_transform as tft

    from retrain.models import tabular

    monkeypatch.setattr(tft, "scale_to_z_score", halved)
    nan = float("nan")
    given = {
        "sparse": tf.SparseTensor(
            [[0, 0], [2, 0], [2, 1], [3, 0], [4, 0]], [4.0, -1.0, 7.0, nan, 90.0], (5, 2)
        ),
        "dense": tf.constant([[4.0], [nan], [-1.0], [nan], [90.0]]),
    }
    features = (FeatureSpec(name="fee", kind="number"),)
    (columns,) = tabular.columns({"fee": given[form]}, features).values()
    log5, log2, log91 = np.log1p([4.0, 1.0, 90.0]) / 2.0
    expected = [[2.0, log5, 0], [0, 0, 1], [-0.5, -log2, 0], [0, 0, 1], [10.0, log91, 0]]
    np.testing.assert_allclose(columns.numpy(), expected, atol=1e-6)


def test_numbers_are_in_the_order_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the data too: a contract whose features are written in another order has the same net."""
    import tensorflow_transform as tft

    from retrain.models import tabular

    monkeypatch.setattr(tft, "scale_to_z_score", halved)
    features = [FeatureSpec(name="b", kind="number"), FeatureSpec(name="a", kind="integer")]
    inputs = {"b": column([4.0, None], np.float32), "a": column([2, 6], np.int64)}
    for order in (features, features[::-1]):
        (numbers,) = tabular.columns(inputs, order).values()
        expected = [[1.0, np.log1p(2) / 2, 0, 2.0, np.log1p(4) / 2, 0]]
        expected += [[3.0, np.log1p(6) / 2, 0, 0, 0, 1]]
        np.testing.assert_allclose(numbers.numpy(), expected, atol=1e-6)


def transformed(columns: dict[str, list[Any]], features: list[FeatureSpec], folder: Path) -> Any:
    """The numbers of the net, as TFX Transform computes them from all rows; None = missing."""
    import tensorflow as tf
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import schema_utils
    from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata

    from retrain.models import tabular

    types = {"number": tf.float32, "integer": tf.int64}
    spec = {each.name: tf.io.VarLenFeature(types[each.kind]) for each in features}
    metadata = DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    rows = [
        {name: [] if value is None else [value] for name, value in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]
    with tft_beam.Context(temp_dir=str(folder)):
        (data, _), _ = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: tabular.columns(inputs, features)
        )
    return np.array([row["every_number"] for row in data])


def test_standard_scores_are_exact_where_large_values_hardly_differ(tmp_path: Path) -> None:
    """In float32 they were half a standard deviation off, and those of a constant were 1 or -1."""
    chance = np.random.default_rng(1)
    normal = chance.normal(size=3_000)
    given: dict[str, list[Any]] = {
        "a": [int(value) for value in np.round(1e7 + 3 * normal)],
        "b": (1e6 + 3 * normal).astype(np.float32).tolist(),
        "c": (1e21 * normal).astype(np.float32).tolist(),
        "d": [
            None if row % 3 else float(value) for row, value in enumerate(normal.astype(np.float32))
        ],
        "e": [0.1] * 3_000,
        "f": [None] * 3_000,
    }
    features = [
        FeatureSpec(name=name, kind="number" if name > "a" else "integer") for name in given
    ]
    numbers = transformed(given, features, tmp_path)
    for place, values in enumerate(list(given.values())[:4]):
        score, logarithm, missing = numbers[:, 3 * place : 3 * place + 3].T
        known = np.array([value is not None for value in values])
        truth = np.array([value for value in values if value is not None])
        np.testing.assert_allclose(score[known], (truth - truth.mean()) / truth.std(), atol=1e-5)
        assert logarithm[known].mean() == pytest.approx(0.0, abs=1e-5)
        assert logarithm[known].std() == pytest.approx(1.0, abs=1e-5)
        assert (missing == ~known).all()
        assert not numbers[~known, 3 * place : 3 * place + 2].any()
    assert np.unique(numbers[:, 12:], axis=0).tolist() == [[0, 0, 0, 0, 0, 1]]


def test_a_feature_adds_few_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is optimised and prepared when a server loads the graph, and once more in training."""
    import tensorflow as tf
    import tensorflow_transform as tft

    from retrain.models import tabular

    monkeypatch.setattr(tft, "scale_to_z_score", halved)

    types = {"number": tf.float32, "text": tf.string}

    def operations(count: int) -> int:
        features = [FeatureSpec(name=f"n{number}", kind="number") for number in range(count)]
        features += [FeatureSpec(name=f"t{number}", kind="text") for number in range(count)]
        inputs = {
            each.name: tf.SparseTensorSpec([None, None], types[each.kind]) for each in features
        }
        graph = tf.function(lambda columns: tabular.columns(columns, features))
        return len(graph.get_concrete_function(inputs).graph.get_operations())

    assert (operations(30) - operations(10)) / 40 <= 20  # placeholders and constants included


def test_a_category_is_an_embedding_of_its_own() -> None:
    """Whether the buckets come in one column, or in one for each category as in older graphs."""
    import keras

    from retrain.models import tabular

    shapes = ({"every_category": 4}, {"a_category": 2, "b_category": 2})
    for widths in shapes:
        inputs = {
            name: keras.Input((width,), name=name, dtype="int64") for name, width in widths.items()
        }
        model = tabular.build_model(inputs, {"embedding_size": 3}, BINARY)
        tables = [each for each in model.layers if isinstance(each, keras.layers.Embedding)]
        assert [table.input_dim for table in tables] == [4 * tabular.BUCKETS] * 2
        same = np.array([[5, 1_005, 5, 1_005]])
        names = list(widths)
        split = np.split(same, len(names), axis=1)
        place = keras.Model(inputs, tables[0].input)
        places = place(dict(zip(names, split, strict=True)))
        assert np.asarray(places).tolist() == [[5, 1_005, 2_005, 3_005]]


def test_categories_that_share_a_bucket_differ_in_the_other() -> None:
    from retrain.models import tabular

    texts = [f"category {number}" for number in range(3_000)]
    feature = FeatureSpec(name="c", kind="text", categorical=True)
    outputs = tabular.columns({"c": column(texts, np.object_)}, [feature])
    buckets = outputs["every_category"].numpy()
    assert len(np.unique(buckets[:, 0])) < len(texts)
    assert len(np.unique(buckets, axis=0)) > 0.99 * len(texts)
    assert buckets.min() >= 0
    assert buckets.max() < 2 * tabular.BUCKETS


def test_a_list_has_the_buckets_of_its_values_and_none_where_it_is_empty() -> None:
    from retrain.models import tabular
    from streaming.contracts.listed import MAX_VALUES

    feature = FeatureSpec(name="t", kind="text", categorical=True, multivalent=True)
    full = "\n".join(f"t{number:03}" for number in range(MAX_VALUES))
    texts = ["bar\nwifi", "bar", None, "", full]
    buckets = tabular.columns({"t": column(texts, np.object_)}, [feature])["t_list"].numpy()
    assert buckets.shape == (5, 2 * MAX_VALUES)
    assert (buckets >= 0).sum(axis=1).tolist() == [4, 2, 0, 0, 2 * MAX_VALUES]
    assert buckets[0, 0] == buckets[1, 0]
    assert buckets[0, MAX_VALUES] == buckets[1, MAX_VALUES] >= tabular.BUCKETS


def test_the_embedding_of_a_list_is_the_mean_of_its_values() -> None:
    import keras

    from retrain.models import tabular

    table = keras.layers.Embedding(2 * tabular.BUCKETS + 1, 3)
    buckets = np.array([[4, 9, -1], [4, -1, -1], [-1, -1, -1]])
    means = np.asarray(tabular._mean_embedding(table, keras.ops.convert_to_tensor(buckets)))
    rows = np.asarray(table(np.array([5, 10])))
    np.testing.assert_allclose(means, [rows.mean(axis=0), rows[0], np.zeros(3)], atol=1e-7)


def test_a_label_of_several_columns_needs_a_function_of_its_own() -> None:
    import dataclasses

    from retrain.models import tabular
    from retrain.models.big_tipper.contract import CODE

    several = dataclasses.replace(CODE, label_columns=("tips", "fare"))
    with pytest.raises(ConfigurationError, match="computed from 2 columns"):
        tabular.preprocessing_fn(several)


@pytest.mark.parametrize("task", [BINARY, Task(kind="multiclass", classes=("a", "b", "c"))])
def test_the_net_takes_numbers_alone_categories_alone_and_both(task: Task) -> None:
    import keras

    from retrain.models import tabular
    from retrain.models.heads import checked_width, head_of

    numbers = {"a_number": ((3,), "float32")}
    categories = {"b_category": ((2,), "int64"), "c_category": ((2,), "int64")}
    lists = {"d_list": ((200,), "int64")}
    every = numbers | categories | lists
    for parts in (numbers, categories, lists, numbers | categories, every):
        inputs = {
            name: keras.Input(shape, name=name, dtype=dtype)
            for name, (shape, dtype) in parts.items()
        }
        model = tabular.build_model(inputs, {"units": (8,), "dropout": 0.1}, task)
        checked_width(model, head_of(task))
