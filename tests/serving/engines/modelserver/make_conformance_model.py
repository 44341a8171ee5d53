"""Writes the model of the conformance tests: one signature for each rule of TF Serving.

Imported by ``make_models.py``, in a process of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

ECHOED: tuple[str, ...] = (
    "float32",
    "float64",
    "int32",
    "int64",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "uint32",
)
ECHOED += ("uint64", "bool", "string", "float16", "complex64")


class Conformance(tf.Module):  # type: ignore[misc]
    """Functions by the name of their signature; an input of texts is serialized examples."""

    def echo(self, dtype: Any) -> Any:
        """Returns what it is given, of any shape."""

        @tf.function(input_signature=[tf.TensorSpec(None, dtype, name="x")])  # type: ignore[untyped-decorator]
        def run(x: Any) -> dict[str, Any]:
            return {"y": tf.identity(x)}

        return run

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def double(self, x: Any) -> dict[str, Any]:
        return {"y": x * 2}

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int64, name="b"),
        ]
    )
    def two(self, a: Any, b: Any) -> dict[str, Any]:
        return {"sum": a + tf.cast(b, tf.float32), "b_bytes": tf.strings.as_string(b)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def uneven(self, x: Any) -> dict[str, Any]:
        return {"one": x, "two": tf.concat([x, x], 0)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def failing(self, x: Any) -> dict[str, Any]:
        with tf.control_dependencies([tf.debugging.assert_less(x, 1.0, message="too large")]):
            return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def classify(self, inputs: Any) -> dict[str, Any]:
        x = _feature(inputs)
        classes = tf.tile([["no", "yes"]], [tf.size(x), 1])
        return {"classes": classes, "scores": tf.stack([1 - x, x], 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def scores(self, inputs: Any) -> dict[str, Any]:
        return {"scores": _feature(inputs)[:, None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def flat_scores(self, inputs: Any) -> dict[str, Any]:
        return {"scores": _feature(inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def double_scores(self, inputs: Any) -> dict[str, Any]:
        return {"scores": tf.cast(_feature(inputs)[:, None], tf.float64)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def short_scores(self, inputs: Any) -> dict[str, Any]:
        return {"scores": _feature(inputs)[:1, None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def unlike_scores(self, inputs: Any) -> dict[str, Any]:
        x = _feature(inputs)
        return {"classes": tf.tile([["a", "b"]], [tf.size(x), 1]), "scores": x[:, None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def regress(self, inputs: Any) -> dict[str, Any]:
        return {"outputs": _feature(inputs) * 10}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def wide(self, inputs: Any) -> dict[str, Any]:
        x = _feature(inputs)
        return {"outputs": tf.stack([x, x], 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def short(self, inputs: Any) -> dict[str, Any]:
        return {"outputs": _feature(inputs)[:1]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def whole(self, inputs: Any) -> dict[str, Any]:
        return {"outputs": tf.cast(_feature(inputs), tf.int64)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])  # type: ignore[untyped-decorator]
    def other(self, inputs: Any) -> dict[str, Any]:
        return {"value": _feature(inputs)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])  # type: ignore[untyped-decorator]
    def texts(self, texts: Any) -> dict[str, Any]:
        return {"outputs": _feature(texts)}


def _feature(examples: Any) -> Any:
    """The float feature x of serialized examples; 0.5 without one."""
    spec = {"x": tf.io.FixedLenFeature([], tf.float32, default_value=0.5)}
    return tf.io.parse_example(examples, spec)["x"]


_NAMES: tuple[str, ...] = (
    "two",
    "uneven",
    "failing",
    "classify",
    "scores",
    "flat_scores",
    "double_scores",
    "wide",
)
_NAMES += ("short_scores", "unlike_scores", "regress", "short", "whole", "other", "texts")


def write_conformance(folder: Path) -> None:
    """Write the model to a version's folder."""
    module = Conformance()
    signatures = {"serving_default": module.double}
    signatures |= {name: getattr(module, name) for name in _NAMES}
    signatures |= {f"echo_{name}": module.echo(getattr(tf, name)) for name in ECHOED}
    signatures["with_default"] = module.two
    tf.saved_model.save(module, str(folder), signatures=signatures)
    _add_default(folder / "saved_model.pb")


def _add_default(file: Path) -> None:
    """Give the input b of the signature ``with_default`` the value 7."""
    saved = SavedModel.FromString(file.read_bytes())
    definition = saved.meta_graphs[0].signature_def["with_default"]
    definition.defaults["b"].CopyFrom(tf.make_tensor_proto([7], tf.int64))
    file.write_bytes(saved.SerializeToString())
