"""Makes the smaller variants of a trained net: float16 or int8 weights, the same signatures.

A variant is a SavedModel like the original, so every server runs it. It must be a functional or
sequential Keras net; its embeddings and dense layers are compressed, everything else is copied. The
variants lie in the folder ``Compressed`` beside the exported model. Each has the files for later
trainings of the original, and probe rows with its own answers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import keras
import structlog

from retrain.engines.tfx.compressed_layers import CompressedDense, CompressedTable
from retrain.engines.tfx.exporter import Exporter
from retrain.training_options import Kind
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model_manifest import EXTRA

log = structlog.get_logger()

FOLDER = "Compressed"
"""Folder beside ``Format-Serving`` with a SavedModel for each kind."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_COMPRESSED: dict[type, Callable[[Any, Kind], Any]] = {
    keras.layers.Embedding: CompressedTable,
    keras.layers.Dense: CompressedDense,
}


def compressed(model: Any, kind: Kind) -> Any:
    """The net with compressed weights.

    Raises
    ------
    ConfigurationError
        When the net is no functional or sequential one, or has nothing to compress.
    """
    if not isinstance(model, keras.Sequential) and type(model).call is not _functional_call():
        raise ConfigurationError(
            f"A {type(model).__name__} cannot be compressed: only functional and sequential Keras"
            " nets can. Set retrain.compression to off."
        )
    replaced: list[str] = []

    def clone(layer: Any) -> Any:
        make = _COMPRESSED.get(type(layer))
        if make is not None and getattr(layer, "lora_enabled", False) is False:
            replaced.append(layer.name)
            return make(layer, kind)
        return type(layer).from_config(layer.get_config())

    smaller = keras.models.clone_model(model, clone_function=clone)
    if not replaced:
        raise ConfigurationError(
            "The net has neither an embedding nor a dense layer, so there is nothing to compress."
            " Set retrain.compression to off."
        )
    for layer in model.layers:
        if layer.name not in replaced and layer.weights:
            smaller.get_layer(layer.name).set_weights(layer.get_weights())
    return smaller


def write_variants(
    servable: Path,
    kinds: tuple[Kind, ...],
    exporter: Exporter,
    net: Any,
    *,
    rows: list[bytes],
    model: str,
) -> None:
    """Write a SavedModel of each kind beside `servable`, with its extra files.

    A net that cannot be compressed gets none, and the log says why.

    Parameters
    ----------
    servable:
        The exported original, ``…/Format-Serving``.
    kinds:
        Which variants.
    exporter:
        The original's exporter.
    net:
        The trained net.
    rows:
        Serialized rows of the probe and the warm-up requests.
    model:
        Name of the model.
    """
    for kind in kinds:
        folder = variant_folder(servable, kind)
        try:
            smaller = exporter.of(compressed(net, kind))
        except ConfigurationError as error:  # the version itself is good
            log.warning("compression.skipped", kind=kind, reason=str(error))
            continue
        smaller.save(str(folder))
        shutil.copytree(servable / EXTRA, folder / EXTRA)
        smaller.write_extras(str(folder), rows, model=model)


def variant_folder(servable: Path, kind: str) -> Path:
    """Where the variant of an exported model lies."""
    return servable.parent / FOLDER / kind


def _functional_call() -> Any:
    inputs = keras.Input((1,))
    return type(keras.Model(inputs, inputs)).call
