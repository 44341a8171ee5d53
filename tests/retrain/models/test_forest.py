"""A forest predicts what scikit-learn does, also from a SavedModel in TF Serving's C++ loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

FEATURES = tuple(FeatureSpec(name=name, kind="number") for name in ("a", "b", "c"))
NAMES = [feature.name for feature in FEATURES]


def rows(count: int, seed: int) -> NDArray[np.float32]:
    """Three columns; one value in ten is missing."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, 3)).astype(np.float32)
    return np.where(generator.random((count, 3)) < 0.1, np.float32(np.nan), values)


def signal(values: NDArray[np.float32]) -> NDArray[np.float64]:
    known = np.nan_to_num(values).astype(np.float64)
    return np.asarray(known[:, 0] * known[:, 1] + np.abs(known[:, 2]))


def fitted(kind: str) -> tuple[Any, Any]:
    """An estimator and the link of its task."""
    import tensorflow as tf
    from sklearn import ensemble

    values = rows(3_000, 1)
    if kind == "regression":
        regressor = ensemble.HistGradientBoostingRegressor(max_iter=60, random_state=1)
        return regressor.fit(values, signal(values) * 100.0), tf.identity
    labels = np.digitize(signal(values), [0.5] if kind == "binary" else [0.2, 1.0])
    classifier = ensemble.HistGradientBoostingClassifier(max_iter=40, random_state=1)
    return classifier.fit(values, labels), tf.sigmoid if kind == "binary" else tf.nn.softmax


def expected(kind: str, estimator: Any, values: NDArray[np.float32]) -> Any:
    if kind == "regression":
        return estimator.predict(values)[:, np.newaxis]
    probabilities = estimator.predict_proba(values)
    return probabilities[:, 1:] if kind == "binary" else probabilities


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_session_loader_predicts_what_scikit_learn_does(kind: str, tmp_path: Path) -> None:
    import tensorflow as tf

    from retrain.engines.tfx.exporter import ServedModule
    from retrain.models.forest import Forest

    estimator, link = fitted(kind)
    forest = Forest(estimator, NAMES, link)

    def serve(**columns: Any) -> dict[str, Any]:
        return {"output": forest(columns)}

    inputs = {name: tf.TensorSpec([None, 1], tf.float32, name=name) for name in NAMES}
    signature = tf.function(serve).get_concrete_function(**inputs)
    module = ServedModule(forest, None)
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": signature})

    values = rows(500, 2)
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        loaded = v1.saved_model.loader.load(session, ["serve"], str(tmp_path))
        defined = loaded.signature_def["serving_default"]
        feed = {defined.inputs[name].name: values[:, [number]] for number, name in enumerate(NAMES)}
        served = session.run(defined.outputs["output"].name, feed)
    np.testing.assert_allclose(served, expected(kind, estimator, values), rtol=1e-5, atol=1e-6)


def test_categorical_splits_are_refused() -> None:
    from sklearn import ensemble

    from retrain.models.forest import Forest

    values = np.random.default_rng(1).integers(0, 9, (500, 1)).astype(np.float64)
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=2, categorical_features=[0])
    estimator.fit(values, values.ravel() % 3)
    with pytest.raises(ConfigurationError, match="categorical features"):
        Forest(estimator, ["a"])
