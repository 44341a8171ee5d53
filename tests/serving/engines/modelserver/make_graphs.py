"""Writes usual and hostile models, one folder for each: ``python make_graphs.py FOLDER``.

No model below ``usual`` may be refused: they have layers with vocabularies in files, recurrent and
convolutional layers, control flow, variables that change, and each way of saving a model. Every
model below ``hostile`` must be: each would write, read or print as soon as it is loaded and warmed
up. The folder ``touched`` gets what they write.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf

layers = keras.layers


def _export(model: Any, folder: Path) -> None:
    model.export(str(folder), verbose=False)


def _words(base: Path) -> Path:
    file = base / "words.txt"
    file.write_text("cash\ncard\n")
    return file


def _keras_models(base: Path) -> dict[str, Any]:
    words = str(_words(base))
    text = keras.Input((1,), name="text", dtype="string")
    numbers = keras.Input((8, 4), name="numbers")
    image = keras.Input((16, 16, 3), name="image")
    normal = layers.Normalization()
    normal.adapt(np.random.default_rng(0).normal(size=(16, 4)))
    lookup = layers.StringLookup(vocabulary=words, output_mode="one_hot")(text)
    vectors = layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=4)(text)
    embedded = layers.Embedding(16, 4)(vectors)
    recurrent = layers.LSTM(4)(layers.GRU(4, return_sequences=True)(normal(numbers)))
    attended = layers.MultiHeadAttention(2, 4)(numbers, numbers)
    pictures = layers.GlobalAveragePooling2D()(
        layers.BatchNormalization()(
            layers.MaxPooling2D()(layers.Conv2D(4, 3, activation="gelu")(image))
        )
    )
    crossed = layers.Hashing(8, output_mode="one_hot")(text)
    return {
        "lookup": keras.Model(text, layers.Dense(1)(lookup)),
        "words": keras.Model(text, layers.Dense(1)(layers.Flatten()(embedded))),
        "recurrent": keras.Model(numbers, layers.Dense(1)(recurrent)),
        "attention": keras.Model(numbers, layers.LayerNormalization()(attended)),
        "image": keras.Model(image, layers.Dropout(0.5)(layers.Resizing(4, 4)(image))),
        "convolution": keras.Model(image, pictures),
        "hashing": keras.Model(text, layers.Dense(1)(crossed)),
        "buckets": keras.Model(numbers, layers.Discretization([0.0, 1.0])(numbers)),
    }


class Module(tf.Module):  # type: ignore[misc]
    """Tables from files, control flow, random numbers, a counter."""

    def __init__(self, words: Path) -> None:
        super().__init__()
        self.count = tf.Variable(0, dtype=tf.int64)
        initializer = tf.lookup.TextFileInitializer(
            tf.saved_model.Asset(str(words)),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(initializer, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])  # type: ignore[untyped-decorator]
    def serve(self, text: Any) -> dict[str, Any]:
        """One output of each kind."""
        self.count.assign_add(1)
        total = tf.constant(0.0)
        for step in tf.range(3):
            if step > 1:
                total += tf.random.uniform([])
        split = tf.strings.split(text, " ").to_tensor("")
        tf.debugging.assert_less(total, 10.0)
        return {
            "index": self.table.lookup(text),
            "total": total,
            "parts": tf.strings.regex_replace(split, "a", "b"),
            "mapped": tf.map_fn(tf.strings.length, text, fn_output_signature=tf.int32),
            "count": self.count.read_value(),
        }


def _write_old(folder: Path, words: Path) -> None:
    """The way of TensorFlow 1: a session, an asset, a saver and an init operation."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], name="text")
        initializer = tf.lookup.TextFileInitializer(
            str(words),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        table = tf.lookup.StaticHashTable(initializer, -1)
        weight = v1.get_variable("weight", initializer=2.0, use_resource=False)
        index = tf.cast(table.lookup(text), tf.float32) * weight
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        v1.saved_model.simple_save(
            session, str(folder), {"text": text}, {"index": index}, v1.tables_initializer()
        )


def _raw(name: str, touched: Path) -> Any:
    """The outcome of one operation that reaches out of the model."""
    file = str(touched / name)
    raw = tf.raw_ops
    match name:
        case "write":
            return raw.WriteFile(filename=file, contents="x")
        case "read":
            return raw.ReadFile(filename="/etc/hostname")
        case "list":
            return raw.MatchingFiles(pattern="/etc/host*")
        case "save":
            return raw.SaveV2(
                prefix=file, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
            )
        case "restore":
            return raw.RestoreV2(
                prefix=file, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
            )[0]
        case "print":
            return tf.print("x", output_stream=f"file://{file}")
        case "python":
            return tf.py_function(
                lambda: touched.joinpath(name).write_bytes(b"") + 1.0, [], tf.float32
            )
        case "stateless_python":
            return tf.numpy_function(lambda: np.float32(1), [], tf.float32, stateful=False)
        case "reader":
            return raw.WholeFileReaderV2()
        case "debug":
            return raw.DebugIdentityV2(input=1.0, debug_urls=[f"file://{file}"])
        case "summary":
            return raw.CreateSummaryFileWriter(
                writer=raw.SummaryWriter(),
                logdir=file,
                max_queue=1,
                flush_millis=1,
                filename_suffix="",
            )
        case "constant_of_a_file":
            return raw.ImmutableConst(dtype=tf.float32, shape=[], memory_region_name=file)
        case "candidates":
            return raw.FixedUnigramCandidateSampler(
                true_classes=[[1]],
                num_true=1,
                num_sampled=1,
                unique=True,
                range_max=2,
                vocab_file="/etc/hostname",
            ).sampled_candidates
    return raw.Abort(error_msg="x")


OPERATIONS = (
    "write", "read", "list", "save", "restore", "print", "python", "stateless_python", "reader",
    "debug", "summary", "constant_of_a_file", "candidates", "abort",
)  # fmt: skip
PLACES = ("nested", "branch", "loop", "loop_condition", "mapped", "init", "other_signature")


class Hostile(tf.Module):  # type: ignore[misc]
    """One operation at one place."""

    def __init__(self, operation: str, place: str, touched: Path) -> None:
        super().__init__()
        self._operation, self._place, self._touched = operation, place, touched

    def reach(self) -> Any:
        """Build the operation; a number that depends on it."""
        with tf.control_dependencies([_raw(self._operation, self._touched)]):
            return tf.constant(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def serve(self, x: Any) -> dict[str, Any]:
        """The signature."""
        if self._place == "signature":
            return {"y": x + self.reach()}
        if self._place == "nested":
            return {"y": x + tf.function(lambda: tf.function(self.reach)() + 1.0)()}
        if self._place == "branch":
            return {"y": x + tf.cond(tf.size(x) > 99, self.reach, lambda: tf.constant(1.0))}
        if self._place == "loop":
            zero = [tf.constant(0.0)]
            return {"y": x + tf.while_loop(lambda i: i < 2.0, lambda i: i + self.reach(), zero)[0]}
        if self._place == "loop_condition":
            zero = [tf.constant(0.0)]
            return {"y": x + tf.while_loop(lambda i: i < self.reach(), lambda i: i + 1, zero)[0]}
        if self._place == "mapped":
            return {"y": tf.map_fn(lambda one: one + self.reach(), x)}
        return {"y": x + 1.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def other(self, x: Any) -> dict[str, Any]:
        """A second signature."""
        return {"y": x + (self.reach() if self._place == "other_signature" else 0.0)}


def _write_hostile(base: Path, operation: str, place: str) -> None:
    module = Hostile(operation, place, base / "touched")
    folder = base / "hostile" / f"{operation}_{place}" / "1"
    if place == "init":
        _write_hostile_init(folder, module)
        return
    signatures = {"serving_default": module.serve, "other": module.other}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _write_hostile_init(folder: Path, module: Hostile) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        init = tf.group(module.reach(), name="my_init")
        v1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": x + 1.0}, init)


def main() -> None:
    base = Path(sys.argv[1])
    (base / "touched").mkdir(parents=True)
    (base / "usual").mkdir()
    _write_usual(base / "usual")
    _write_endless(base / "endless")
    for operation in OPERATIONS:
        _write_hostile(base, operation, "signature")
    for place in PLACES:
        _write_hostile(base, "write", place)


def _write_usual(base: Path) -> None:
    for name, model in _keras_models(base).items():
        _export(model, base / name / "1")
    tf.saved_model.save(Module(_words(base)), str(base / "module" / "1"))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model.compile(optimizer="adam", loss="mse")
    model.fit(np.zeros((8, 4)), np.zeros((8, 2)), verbose=0)
    tf.saved_model.save(model, str(base / "trained" / "1"))
    _write_old(base / "old" / "1", _words(base))


def _write_endless(base: Path) -> None:
    """Loops without end, in the init operation and in a signature."""
    v1 = tf.compat.v1
    for place in ("init", "signature"):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None], name="x")
            forever = tf.while_loop(lambda i: i >= 0, lambda i: i, [tf.constant(0)])
            y = x + tf.cast(forever, tf.float32) if place == "signature" else x + 1.0
            init = tf.group(forever) if place == "init" else tf.no_op()
            v1.saved_model.simple_save(session, str(base / place / "1"), {"x": x}, {"y": y}, init)


if __name__ == "__main__":
    main()
