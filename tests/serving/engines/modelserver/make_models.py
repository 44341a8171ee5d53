"""Writes versions 1, 2 and 3 of a small model, and TensorFlow's own predictions.

Run in a separate process: ``python -m tests.serving.engines.modelserver.make_models FOLDER``. The
inputs of the model are a number, an integer and a text; version 3 has warm-up requests. The folder
``loop`` below has version 1 of a model that takes as many steps as its request says; the folder
``conformance`` a model with a signature for each rule of TF Serving.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tests.serving.engines.modelserver.make_conformance_model import write_conformance

ROWS = [(12.5, 3, "Cash"), (7.0, 23, "Credit Card"), (0.2, 0, ""), (99.0, 5, "x" * 40)]
_INPUTS = [
    tf.TensorSpec([None, 1], tf.float32, name="fare"),
    tf.TensorSpec([None, 1], tf.int64, name="hour"),
    tf.TensorSpec([None, 1], tf.string, name="payment"),
]
_EXAMPLE = {
    "fare": tf.io.FixedLenFeature([1], tf.float32),
    "hour": tf.io.FixedLenFeature([1], tf.int64),
    "payment": tf.io.FixedLenFeature([1], tf.string),
}


def _model(seed: int) -> Any:
    keras.utils.set_random_seed(seed)
    inputs = [
        keras.Input((1,), name="fare"),
        keras.Input((1,), name="hour", dtype="int64"),
        keras.Input((1,), name="payment", dtype="string"),
    ]
    payment = keras.layers.StringLookup(vocabulary=["Cash", "Credit Card"], output_mode="one_hot")
    parts = [inputs[0], keras.ops.cast(inputs[1], "float32"), payment(inputs[2])]
    hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Concatenate()(parts))
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))


def _write(folder: Path, seed: int) -> list[float]:
    model = _model(seed)

    @tf.function(input_signature=_INPUTS)  # type: ignore[untyped-decorator]
    def serve(fare: Any, hour: Any, payment: Any) -> dict[str, Any]:
        return {"probabilities": model([fare, hour, payment])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])  # type: ignore[untyped-decorator]
    def examples(examples: Any) -> dict[str, Any]:
        parsed = tf.io.parse_example(examples, _EXAMPLE)
        probabilities = model([parsed["fare"], parsed["hour"], parsed["payment"]])
        return {"probabilities": probabilities, "payment_bytes": parsed["payment"]}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve)
    archive.add_endpoint("serving_examples", examples)
    archive.write_out(str(folder), verbose=False)
    columns = [tf.constant([[row[i]] for row in ROWS], _INPUTS[i].dtype) for i in range(3)]
    return [float(probability) for probability in model(columns).numpy()[:, 0]]


def _write_loop(folder: Path) -> None:
    class Loop(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="steps")])  # type: ignore[untyped-decorator]
        def run(self, steps: Any) -> dict[str, Any]:
            zero = tf.constant(0, tf.int64)
            _, total = tf.while_loop(
                lambda at, total: at < steps,
                lambda at, total: (at + 1, total + 0.5),
                [zero, tf.constant(0.0)],
            )
            return {"total": total}

    loop = Loop()
    tf.saved_model.save(loop, str(folder), signatures={"serving_default": loop.run})


def _warm_up(folder: Path) -> None:
    request = predict_pb2.PredictRequest()
    for spec, value in zip(_INPUTS, ROWS[0], strict=True):
        proto = tf.make_tensor_proto([[value]], spec.dtype)
        request.inputs[spec.name].CopyFrom(proto)
    log = prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
    (folder / "assets.extra").mkdir()
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(log.SerializeToString())


def main() -> None:
    base = Path(sys.argv[1])
    expected = {version: _write(base / str(version), version) for version in (1, 2, 3)}
    _warm_up(base / "3")
    _write_loop(base / "loop" / "1")
    write_conformance(base / "conformance" / "1")
    (base / "expected.json").write_text(json.dumps({"rows": ROWS, "expected": expected}))


if __name__ == "__main__":
    main()
